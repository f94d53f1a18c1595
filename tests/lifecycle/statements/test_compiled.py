"""Statements that are put together once say what the ORM says, and are planned once."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection, models
from django.db.models import F
from django.db.models.functions import Greatest
from django.test.utils import CaptureQueriesContext

from campaigns.lifecycle.statements.compiled import Sql, insert, join, run, select, update
from campaigns.models import ProgressPoint, StateChange, Task, TaskState
from tests.factories import NOW, active_campaign, at, leased_task, worker
from workers.models import Worker
from xeenet_site.web.prepared import Slot

pytestmark = pytest.mark.django_db
KEY = Slot("key", models.BigIntegerField())
INSTANT = Slot("instant", models.DateTimeField())


def test_a_query_reads_instances_and_what_it_loads_of_related_ones() -> None:
    attempt = leased_task()
    rows = Task.objects.filter(state=TaskState.LEASED, pk=KEY).select_related("campaign", "worker")
    rows = rows.annotate(tries=F("failed_attempts") + 1)
    query = select(rows.defer("campaign__search_space"))
    (task,) = query.instances(run(query.sql, {"key": attempt.task_id}))
    stored = Task.objects.select_related("campaign", "worker").get(pk=attempt.task_id)
    assert {f.attname: getattr(task, f.attname) for f in Task._meta.concrete_fields} == {
        f.attname: getattr(stored, f.attname) for f in Task._meta.concrete_fields
    }
    with CaptureQueriesContext(connection) as queries:
        assert (task.campaign.name, task.worker) == (stored.campaign.name, stored.worker)
        assert task.tries == 1
    assert not queries.captured_queries
    assert run(query.sql, {"key": -1}) == []


def test_what_stays_the_same_is_written_into_the_text_and_quoted() -> None:
    odd = "it's 100 % \\ ünïcode"
    by = worker(odd)
    query = select(Worker.objects.filter(name=odd, pk=KEY, is_program=False))
    assert [parameter.name for parameter in query.sql.parameters] == ["key"]
    assert list(query.instances(run(query.sql, {"key": by.pk}))) == [by]


def test_an_update_has_the_guards_and_assignments_of_its_queryset() -> None:
    attempt = leased_task()
    held = Task.objects.filter(pk=KEY, state=TaskState.LEASED, deadline_at__gt=INSTANT)
    later = Greatest(F("lease_expires_at"), INSTANT)
    statement = update(held.order_by("pk"), lease_expires_at=later)
    returning = join("{statement} RETURNING number", statement=statement)
    values = {"key": attempt.task_id, "instant": at(50)}
    assert run(returning, values) == [(attempt.task.number,)]
    assert Task.objects.get(pk=attempt.task_id).lease_expires_at == at(50)
    assert run(returning, values | {"instant": at(100_000)}) == []


def test_an_insert_fills_in_the_defaults_and_names_what_it_cannot() -> None:
    attempt = leased_task()
    statement = insert(
        ProgressPoint, attempt_id=KEY, seq=0, elapsed_seconds=1.5, step=Sql("1 + %s", (KEY,))
    )
    run(statement, {"key": attempt.pk})
    point = attempt.progress.get()
    assert (point.step, point.elapsed_seconds, point.tokens) == (attempt.pk + 1, 1.5, None)
    with pytest.raises(ValueError, match="has no column nonsense"):
        insert(ProgressPoint, attempt_id=1, seq=0, elapsed_seconds=0.0, step=0, nonsense=1)
    with pytest.raises(ValueError, match="must be given"):
        insert(Task, campaign_id=1)


def test_an_insert_of_other_rows() -> None:
    campaign = active_campaign(tasks=3)
    before = StateChange.objects.count()
    tasks = select(Task.objects.filter(campaign=KEY).order_by("number").values("pk", "number"))
    statement = insert(
        StateChange,
        join("({tasks}) AS tasks", tasks=tasks.sql),
        subject="task",
        campaign_id=KEY,
        task_id=Sql("tasks.pk"),
        actor_kind="system",
        actor_name="server",
        from_state="pending",
        to_state="pending",
        at=INSTANT,
    )
    run(statement, {"key": campaign.pk, "instant": NOW})
    rows = StateChange.objects.order_by("-pk")[:3]
    assert StateChange.objects.count() == before + 3
    assert {row.task_id for row in rows} == set(campaign.tasks.values_list("pk", flat=True))
    assert {row.at for row in rows} == {NOW}


@pytest.mark.postgresql_only
def test_a_statement_is_prepared_once_whatever_its_numbers() -> None:
    query = select(Task.objects.filter(lease_id=Slot("lease", models.UUIDField()), pk=KEY))
    for key in (1, 70_000, 2**40):
        run(query.sql, {"key": key, "lease": uuid.uuid4()})
    list(Task.objects.filter(pk=3))
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        texts = [text for (text,) in cursor.fetchall()]
    assert sum('"campaigns_task"' in text for text in texts) == 1
