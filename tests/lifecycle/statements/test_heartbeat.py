"""Heartbeats by statement: the same rows and answers as the verbs, and what they do not write."""

from __future__ import annotations

import uuid
from typing import Any, get_type_hints
from unittest import mock

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle
from campaigns.lifecycle import progress
from campaigns.lifecycle.statements.heartbeat import POINT, Beaten, heartbeat
from campaigns.models import ProgressPoint, Task
from tests.concurrency import in_parallel
from tests.factories import at, leased_task, worker_with_token
from tests.lifecycle.statements import random_history, same_rows
from tests.lifecycle.statements.agent_calls import Call
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import HeartbeatAnswer
from workers.protocol import ProgressPoint as WireProgressPoint
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db
BOOT = uuid.UUID(int=1)
GO_ON = HeartbeatAnswer.CONTINUE


def by_statement(call: Call) -> Any:
    beaten = heartbeat(call.token_hash, call.body, now=call.now)
    if beaten is None:
        return None
    return [(str(answer), reason) for _, answer, reason in beaten.answers], beaten.worker.state


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(3))
def test_random_histories_lead_to_the_same_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, times in {"heartbeat": 60, "claim": 60}.items():
        monkeypatch.setitem(random_history._STEPS, name, times)
    taken = same_rows.compare({"heartbeat": by_statement}, [seed])
    assert taken.share("heartbeat") > 0.7


def agent() -> tuple[Worker, str]:
    machine, token = worker_with_token()
    worker_lifecycle.see(machine, now=at(0), boot_id=BOOT)
    return machine, hash_token(token)


def beat(token_hash: str, seconds: float, *leases: Any, **fields: Any) -> Beaten | None:
    told = [lease if isinstance(lease, dict) else {"lease_id": lease} for lease in leases]
    body = {"boot_id": BOOT, "leases": told} | fields
    return heartbeat(token_hash, body, now=at(seconds))


def answers(beaten: Beaten | None) -> list[HeartbeatAnswer]:
    assert beaten is not None
    return [answer for _, answer, _ in beaten.answers]


def point(seq: int, **fields: Any) -> WireProgressPoint:
    return {"seq": seq, "elapsed_seconds": 1.5, "step": seq, **fields}  # type: ignore[typeddict-item]


def test_the_fields_of_a_point_are_those_of_the_protocol() -> None:
    assert POINT.keys() == get_type_hints(WireProgressPoint).keys()


def test_leases_are_renewed_to_the_lease_time_and_never_past_the_deadline() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine, time_budget_seconds=10.0)
    other = leased_task(machine)
    gone = uuid.uuid4()
    assert answers(beat(token_hash, 20, attempt.lease_id, gone, other.lease_id)) == [
        *(GO_ON, HeartbeatAnswer.LOST, GO_ON)
    ]
    ends = dict(Task.objects.values_list("pk", "lease_expires_at"))
    assert (ends[attempt.task_id], ends[other.task_id]) == (at(65), at(65))
    assert answers(beat(token_hash, 10, attempt.lease_id)) == [GO_ON]
    assert Task.objects.get(pk=attempt.task_id).lease_expires_at == at(65)
    assert answers(beat(token_hash, 140, attempt.lease_id)) == [GO_ON]
    assert Task.objects.get(pk=attempt.task_id).lease_expires_at == at(145)
    assert answers(beat(token_hash, 145, attempt.lease_id)) == [HeartbeatAnswer.LOST]


def test_a_lease_of_another_worker_is_left_alone() -> None:
    _, token_hash = agent()
    foreign = leased_task()
    points = {"lease_id": foreign.lease_id, "progress": [point(0)]}
    assert answers(beat(token_hash, 20, points)) == [HeartbeatAnswer.LOST]
    assert Task.objects.get().lease_expires_at == at(45)
    assert not ProgressPoint.objects.exists()


def test_a_cancelled_task_is_told_so_and_its_progress_is_not_stored() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine)
    lifecycle.cancel(attempt.task.campaign, now=at(1))
    points = {"lease_id": attempt.lease_id, "progress": [point(0)]}
    assert answers(beat(token_hash, 20, points)) == [HeartbeatAnswer.CANCEL]
    assert not ProgressPoint.objects.exists()


def test_a_token_that_opens_nothing_changes_nothing() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine)
    assert beat("f" * 64, 20, attempt.lease_id) is None
    worker_lifecycle.disable(machine)
    assert beat(token_hash, 20, attempt.lease_id) is None
    assert Task.objects.get().lease_expires_at == at(45)
    assert Worker.objects.get(pk=machine.pk).last_seen_at == at(0)


def test_points_are_stored_once_with_the_value_of_their_campaigns_metric() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine)
    told = [point(0, val_bpb=2.5, tokens=7), point(1, val_bpb=None), point(2, train_loss=1.0)]
    for _ in range(2):
        beat(token_hash, 20, {"lease_id": attempt.lease_id, "progress": told})
    rows = attempt.progress.order_by("seq").values_list("seq", "value", "tokens", "train_loss")
    assert list(rows) == [(0, 2.5, 7, None), (1, None, None, None), (2, None, None, 1.0)]


def test_points_of_another_metric_have_what_they_report_under_its_name() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine)
    campaign = attempt.task.campaign
    type(campaign).objects.filter(pk=campaign.pk).update(metric="train_loss")
    told = {"lease_id": attempt.lease_id, "progress": [point(0, val_bpb=2.5, train_loss=1.0)]}
    beat(token_hash, 20, told)
    assert attempt.progress.get().value == 1.0


def test_too_many_points_are_thinned_out() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine)
    with mock.patch.object(progress, "MAX_POINTS_PER_ATTEMPT", 10):
        for first in (0, 6):
            told = [point(seq) for seq in range(first, first + 6)]
            beat(token_hash, 20, {"lease_id": attempt.lease_id, "progress": told})
    stored = list(attempt.progress.order_by("seq").values_list("seq", flat=True))
    assert stored == [0, 2, 4, 6, 8, 10, 11]


@pytest.mark.postgresql_only
def test_progress_that_the_database_refuses_is_left_to_the_verb() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine)
    told = {"lease_id": attempt.lease_id, "progress": [point(2**40)]}
    with transaction.atomic():
        assert beat(token_hash, 20, told) is None
        transaction.set_rollback(True)
    assert Task.objects.get().lease_expires_at == at(45)


def test_a_heartbeat_with_nothing_due_writes_nothing() -> None:
    machine, token_hash = agent()
    beat(token_hash, 3)  # counts the fleet
    with CaptureQueriesContext(connection) as queries:
        assert answers(beat(token_hash, 4)) == []
    assert len(queries) == 1
    assert Worker.objects.get(pk=machine.pk).last_seen_at == at(0)
    assert machine.sessions.get().last_seen_at == at(0)
    beat(token_hash, 6)
    assert Worker.objects.get(pk=machine.pk).last_seen_at == at(6)
    assert machine.sessions.get().last_seen_at == at(6)


def test_a_worker_with_a_long_lease_time_has_it_renewed_and_is_written_less_often() -> None:
    machine, token_hash = agent()
    attempt = leased_task(machine)
    Worker.objects.filter(pk=machine.pk).update(lease_time=at(90) - at(0))
    beaten = beat(token_hash, 9, attempt.lease_id)
    assert beaten is not None
    assert Task.objects.get().lease_expires_at == at(99)
    assert Worker.objects.get(pk=machine.pk).last_seen_at == at(0)


def test_a_first_heartbeat_begins_a_session_and_one_of_a_closed_session_opens_it() -> None:
    machine, token_hash = agent()
    Worker.objects.filter(pk=machine.pk).update(refused_scripts="a" * 64)
    worker_lifecycle.close_silent_sessions(now=at(100))
    Worker.objects.filter(pk=machine.pk).update(last_seen_at=at(100))
    beat(token_hash, 101)
    assert machine.sessions.get().ended_at is None
    assert Worker.objects.get(pk=machine.pk).refused_scripts
    beat(token_hash, 101, boot_id=uuid.UUID(int=2))
    assert machine.sessions.count() == 2
    assert not Worker.objects.get(pk=machine.pk).refused_scripts


def test_the_owners_pause_is_stored() -> None:
    machine, token_hash = agent()
    beat(token_hash, 1, owner_pause={"seconds": None})
    assert Worker.objects.get(pk=machine.pk).owner_pauses
    beat(token_hash, 2)
    assert not Worker.objects.get(pk=machine.pk).owner_pauses


@pytest.mark.django_db(transaction=True)
def test_a_task_that_another_transaction_holds_is_renewed_once_it_is_free() -> None:
    machine, token_hash = agent()
    held, free = leased_task(machine), leased_task(machine)

    def hold_and_beat() -> None:
        with transaction.atomic():
            Task.objects.filter(pk=held.task_id).update(seed=F("seed"))

    in_parallel(
        [
            hold_and_beat,
            lambda: beat(token_hash, 20, held.lease_id, free.lease_id),
            lambda: beat(token_hash, 20, free.lease_id, held.lease_id),
        ]
        * 3
    )
    assert set(Task.objects.values_list("lease_expires_at", flat=True)) == {at(65)}
