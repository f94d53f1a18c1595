"""The journal: who changed a state and why, written with the change, and where it is read."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from campaigns import lifecycle, steering
from campaigns.lifecycle import claims, journal
from campaigns.models import Attempt, Campaign, StateChange, Task
from tests import factories, invariants
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db

Line = tuple[str, str, str, str, str, str]


def lines_of(**filters: Any) -> list[Line]:
    """The journal's lines, oldest first: subject, from, to, kind of actor, actor, reason."""
    columns = "subject", "from_state", "to_state", "actor_kind", "actor_name", "reason"
    lines: Any = StateChange.objects.filter(**filters).order_by("pk").values_list(*columns)
    return list(lines)


# --- who and why ----------------------------------------------------------------------------------


def test_a_task_is_followed_from_worker_to_worker_to_its_end() -> None:
    first, second = factories.worker("lab-1"), factories.worker("lab-2")
    attempt = factories.leased_task(first)
    lifecycle.expire(now=factories.at(60))
    again = factories.claim_one(second, now=factories.at(61))
    factories.finish(again, now=factories.at(70))
    factories.finish(attempt, now=factories.at(80))  # the first attempt's result, late

    silent = "The worker was not heard of for the lease time."
    assert lines_of(task=attempt.task) == [
        ("task", "pending", "leased", "worker", "lab-1", ""),
        ("attempt", "", "running", "worker", "lab-1", ""),
        ("task", "leased", "pending", "system", "lease sweep", silent),
        ("attempt", "running", "lost", "system", "lease sweep", silent),
        ("task", "pending", "leased", "worker", "lab-2", ""),
        ("attempt", "", "running", "worker", "lab-2", ""),
        ("task", "leased", "completed", "worker", "lab-2", ""),
        ("attempt", "running", "completed", "worker", "lab-2", ""),
        ("attempt", "lost", "late", "worker", "lab-1", ""),
    ]
    instants = StateChange.objects.filter(task=attempt.task).order_by("pk")
    assert list(instants.values_list("at", flat=True)) == [
        factories.at(seconds) for seconds in (0, 0, 60, 60, 61, 61, 70, 70, 80)
    ]
    named = StateChange.objects.filter(subject="task").order_by("pk")
    assert list(named.values_list("attempt__number", flat=True)) == [1, 1, 2, 2]


def test_what_people_do_is_told_with_their_names_and_reasons() -> None:
    owner = factories.user("ada")
    campaign = factories.campaign(owner=owner, task_count=1)
    steering.launch(owner, campaign, now=factories.at(1))
    attempt = factories.claim_one(factories.worker("lab-1"), now=factories.at(2))
    steering.pause(owner, campaign, now=factories.at(3), reason="the data set is wrong")
    steering.cancel(None, campaign, now=factories.at(4))
    assert lines_of(subject="campaign") == [
        ("campaign", "draft", "active", "person", "ada", "Tasks made: 1."),
        ("campaign", "active", "paused", "person", "ada", "the data set is wrong"),
        ("campaign", "paused", "cancelled", "person", "command line", ""),
    ]
    by_hand = ("person", "command line", "Cancelled by a person.")
    assert lines_of(task=attempt.task)[2:] == [
        ("task", "leased", "cancelled", *by_hand),
        ("attempt", "running", "cancelled", *by_hand),
    ]


def test_what_the_server_does_by_itself_is_told_with_its_reason() -> None:
    campaign = factories.active_campaign(20)
    agent = factories.worker()
    for _ in range(10):
        factories.fail(factories.claim_one(agent, now=factories.at(1)), now=factories.at(1))
    (_, paused) = lines_of(subject="campaign")
    assert paused[:5] == ("campaign", "active", "paused", "system", "failure breaker")
    assert paused[5] == Campaign.objects.get(pk=campaign.pk).state_reason
    factories.completed_task()
    assert lines_of(subject="campaign", to_state="completed") == [
        ("campaign", "active", "completed", "system", "server", "No task is open.")
    ]


def test_a_retry_runs_a_completed_campaign_again_in_the_persons_name() -> None:
    owner = factories.user("ada")
    task = factories.failed_task()
    Campaign.objects.update(owner=owner)
    steering.retry_task(owner, Task.objects.get(), now=factories.at(9))
    assert lines_of(at=factories.at(9)) == [
        ("task", "failed", "pending", "person", "ada", "One more try."),
        ("campaign", "completed", "active", "person", "ada", "A task was given one more try."),
    ]
    assert task.changes.filter(subject="task").count() == 3


def test_a_renewal_is_no_change() -> None:
    attempt = factories.leased_task()
    before = StateChange.objects.count()
    lifecycle.renew(attempt.worker, attempt.lease_id, now=factories.at(5))
    assert StateChange.objects.count() == before


# --- written with the change ----------------------------------------------------------------------

ATTEMPT_VERBS: dict[str, Callable[[Attempt], Any]] = {
    "claim": lambda attempt: factories.claim_one(attempt.worker, now=factories.at(9)),
    "release": lambda attempt: lifecycle.release(
        attempt.worker, attempt.lease_id, now=factories.at(9)
    ),
    "submit a result": lambda attempt: factories.finish(attempt, now=factories.at(9)),
    "submit a failure": lambda attempt: factories.fail(attempt, now=factories.at(9)),
    "cancel_task": lambda attempt: lifecycle.cancel_task(attempt.task, now=factories.at(9)),
    "pause": lambda attempt: lifecycle.pause(attempt.task.campaign, now=factories.at(9)),
    "cancel": lambda attempt: lifecycle.cancel(attempt.task.campaign, now=factories.at(9)),
}


@pytest.mark.parametrize("verb", sorted(ATTEMPT_VERBS))
def test_a_change_whose_line_cannot_be_written_is_not_made(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.active_campaign(2)
    attempt = factories.claim_one(factories.worker())

    def disk_full(*_: Any, **__: Any) -> None:
        raise DatabaseError("no space left")

    monkeypatch.setattr(journal, "_keys", disk_full)
    monkeypatch.setattr(journal, "_record_each", disk_full)
    with pytest.raises(DatabaseError, match="no space left"):
        ATTEMPT_VERBS[verb](attempt)
    invariants.check()
    assert sorted(Task.objects.values_list("state", flat=True)) == ["leased", "pending"]
    assert Attempt.objects.get().outcome == "running"


def test_an_expiry_whose_line_cannot_be_written_is_left_for_the_next_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factories.leased_task()

    def disk_full(*_: Any) -> None:
        raise DatabaseError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_record_each", disk_full)
        assert lifecycle.expire(now=factories.at(60)) == 0
        invariants.check()
    assert lifecycle.expire(now=factories.at(61)) == 1
    invariants.check()


def test_a_lease_of_a_task_that_is_not_pending_after_all_is_refused() -> None:
    attempt = factories.leased_task()
    choice = claims._Choice(
        factories.worker(),
        attempt.claim_id,
        count=1,
        now=factories.at(1),
        slots=64,
        calibrates=False,
        boot_id=None,
        longest_budget=math.inf,
        among=None,
        runs_own_script=False,
    )
    with pytest.raises(lifecycle.WrongState, match="taken meanwhile; claim again"):
        claims._move_to_leased([attempt.task], {}, choice.worker, choice)


def test_the_journal_begins_with_where_everything_stands() -> None:
    factories.failed_task()
    factories.completed_task()
    factories.lost_attempt()
    factories.cancelled_task()
    factories.campaign()
    factories.leased_task()
    StateChange.objects.all().delete()  # a database from before the journal
    migration: Any = importlib.import_module("campaigns.migrations.0004_journal_of_state_changes")
    with connection.cursor() as cursor:
        for select in migration.KNOWN:
            cursor.execute(migration.INSERT + select + migration.IN_ORDER)
    assert StateChange.objects.count() == 5 + 7 + 4  # campaigns, attempts, tasks
    invariants.check()


# --- read -----------------------------------------------------------------------------------------


def test_the_page_of_a_task_tells_its_history(client: Client) -> None:
    task = factories.failed_task(FailureClass.OOM)
    page = client.get(reverse("task", args=task.name)).text
    history = page.partition('id="history-title"')[2]
    assert history.count("<tr") == 1 + 4
    assert "exit code 1" in history
    waiting = client.get(reverse("task", args=factories.pending_task().name)).text
    assert "history-title" not in waiting


def test_the_log_of_a_campaign_shows_every_change_when_asked(client: Client) -> None:
    campaign = factories.completed_task().campaign
    path = reverse("campaign-log", args=[campaign.pk])
    page = client.get(path, {"every": "1"}).text
    for line in (
        "draft → active",
        "pending → leased by attempt 1",
        "attempt 1: claimed → running",
        "leased → completed by attempt 1",
        "attempt 1: running → completed",
        "active → completed",
    ):
        assert line in page
    assert "pending → leased" not in client.get(path).text


def test_the_pages_of_every_change_hold_each_once(client: Client) -> None:
    campaign = factories.active_campaign(60)
    lifecycle.cancel(campaign, now=factories.at(1))  # 61 lines of the same instant, and the launch
    path = reverse("campaign-log", args=[campaign.pk])
    newest = client.get(path, {"every": "1"})
    older = newest.context["older"]
    oldest = client.get(path, {"every": "1", "before": str(older)})
    pages = [event.position.pk for page in (newest, oldest) for event in page.context["events"]]
    assert (len(pages), len(set(pages))) == (62, 62)
    assert oldest.context["older"] is None


def test_the_journal_of_a_task_comes_over_the_api_oldest_first(
    django_assert_num_queries: Any,
) -> None:
    task = factories.completed_task(by=factories.worker("lab-1"))
    factories.completed_task()
    with django_assert_num_queries(2):  # task, page
        reply = APIClient().get(f"/api/v1/tasks/{task.pk}/journal").json()
    lines = [(line["subject"], line["to_state"], line["attempt"]) for line in reply["results"]]
    assert lines == [
        ("task", "leased", 1),
        ("attempt", "running", 1),
        ("task", "completed", 1),
        ("attempt", "completed", 1),
    ]
    assert reply["results"][0] | {"id": 0} == {
        "id": 0,
        "at": "2026-01-05T12:00:00Z",
        "subject": "task",
        "task": str(task.name),
        "attempt": 1,
        "worker": "lab-1",
        "from_state": "pending",
        "to_state": "leased",
        "actor_kind": "worker",
        "actor_name": "lab-1",
        "reason": "",
    }


def test_the_journal_of_a_campaign_comes_in_pages_newest_first_and_can_be_narrowed() -> None:
    campaign = factories.active_campaign(3)
    lifecycle.cancel(campaign, now=factories.at(1))
    path = f"/api/v1/campaigns/{campaign.pk}/journal"
    first = APIClient().get(path, {"page_size": 3}).json()
    second = APIClient().get(first["next"]).json()
    ids = [line["id"] for line in first["results"] + second["results"]]
    assert ids == sorted(StateChange.objects.values_list("pk", flat=True), reverse=True)
    assert second["next"] is None
    narrowed = APIClient().get(path, {"subject": "task", "to_state": "cancelled"}).json()
    assert len(narrowed["results"]) == 3
    assert APIClient().get(path, {"subject": "nobody"}).status_code == 400
    assert APIClient().get("/api/v1/campaigns/999/journal").status_code == 404
