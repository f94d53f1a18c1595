"""lifecycle.claim: no worker hoards tasks, keeps losing them, or fails the claims of others."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from typing import Any

import pytest
from django.db import connection

from campaigns import lifecycle
from campaigns.lifecycle import claims
from campaigns.models import Attempt, StateChange, Task, TaskState
from tests import invariants
from tests.factories import (
    NOW,
    active_campaign,
    at,
    claim,
    fail,
    finish,
    leased_task,
    pending_task,
    worker,
)
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def test_a_worker_that_fails_silent_again_and_again_is_handed_few_tasks() -> None:
    active_campaign(300)
    silent = worker()
    handed = 0
    for second in range(0, 314, 2):
        handed += len(claim(silent, 64, now=at(second)).attempts)
    # 64 at once, and none until one lease time after their loss.
    assert handed == 4 * 64
    assert set(Task.objects.values_list("lost_attempts", flat=True)) <= {0, 1}


def test_the_program_of_a_person_is_not_paused_by_its_losses() -> None:
    attempt = leased_task(worker(is_program=True))
    active_campaign(1)
    assert len(claim(attempt.worker, now=at(46)).attempts) == 1


# --- how many a worker may hold -------------------------------------------------------------------


def test_a_worker_holds_at_most_64_leases_when_its_claims_tell_no_slots() -> None:
    active_campaign(100)
    holder = worker()
    assert len(claim(holder, 60).attempts) == 60
    rest = claim(holder, 60)
    assert len(rest.attempts) == 4
    assert rest.reason.startswith("This worker holds 64 leases, and 64 is its bound")
    full = claim(holder, 1)
    assert (full.attempts, full.reason) == ([], rest.reason)
    assert len(claim(worker(), 1).attempts) == 1


def test_a_worker_holds_at_most_the_slots_that_it_told_and_never_more_than_64() -> None:
    active_campaign(100)
    holder = worker()

    def claim_slots(slots: int, count: int = 5) -> int:
        answer = lifecycle.claim(holder, claim_id=uuid.uuid4(), count=count, slots=slots, now=NOW)
        return len(answer.attempts)

    assert [claim_slots(2), claim_slots(2), claim_slots(3)] == [2, 0, 1]
    assert claim_slots(1000, 64) == 61
    assert claim_slots(1000, 64) == 0


@pytest.mark.parametrize("end", ["submitted", "failed", "released", "expired", "cancelled"])
def test_a_lease_counts_until_it_has_ended(end: str) -> None:
    active_campaign(3)
    holder = worker(is_program=end == "expired")  # a machine would be paused after its loss

    def claim_one_slot(seconds: float) -> list[Attempt]:
        answer = lifecycle.claim(holder, claim_id=uuid.uuid4(), count=1, slots=1, now=at(seconds))
        return answer.attempts

    (attempt,) = claim_one_slot(0)
    assert claim_one_slot(1) == []
    if end == "submitted":
        finish(attempt, now=at(2))
    elif end == "failed":
        fail(attempt, now=at(2))
    elif end == "released":
        lifecycle.release(holder, attempt.lease_id, now=at(2))
    elif end == "cancelled":
        lifecycle.cancel_task(attempt.task, now=at(2))
    assert len(claim_one_slot(46 if end == "expired" else 3)) == 1


# --- not here again -------------------------------------------------------------------------------


def online(*workers: Worker, seconds: float) -> None:
    """Let the workers call, so that they count as online until a minute later."""
    for caller in workers:
        worker_lifecycle.see(caller, now=at(seconds + 15))


def have_for_nothing(holder: Worker, how: str, seconds: float) -> bool:
    """Let the worker claim the only task and bring nothing; return whether it was handed the task.

    An earlier pause is lifted, so that only the memory of the task decides.
    """
    Worker.objects.filter(pk=holder.pk).update(paused_until=None)
    attempts = claim(holder, now=at(seconds)).attempts
    for attempt in attempts:
        if how == "released":
            lifecycle.release(holder, attempt.lease_id, now=at(seconds))
        elif how == "lost":
            lifecycle.expire(now=at(seconds + 46))
        else:
            fail(attempt, FailureClass(how), now=at(seconds))
    return bool(attempts)


@pytest.mark.parametrize("how", ["released", "env_error", "refused", "lost"])
def test_a_task_had_three_times_for_nothing_goes_to_other_workers(how: str) -> None:
    task = pending_task()
    troubled, other = worker(), worker()
    handed = []
    for number in range(6):
        online(troubled, other, seconds=number * 100)
        handed.append(have_for_nothing(troubled, how, number * 100))
    assert handed == [True] * 3 + [False] * 3
    task.refresh_from_db()
    # Only the first loss counts, because another machine could have run the task.
    assert (task.state, task.lost_attempts, task.failed_attempts) == (
        TaskState.PENDING,
        int(how == "lost"),
        0,
    )
    online(other, seconds=700)
    assert len(claim(other, now=at(700)).attempts) == 1


def test_releases_losses_and_trouble_are_counted_together() -> None:
    pending_task()
    troubled, other = worker(), worker()
    handed = []
    for number, how in enumerate(["released", "env_error", "lost", "released"]):
        online(troubled, other, seconds=number * 100)
        handed.append(have_for_nothing(troubled, how, number * 100))
    assert handed == [True, True, True, False]


def test_a_task_that_a_worker_failed_goes_to_other_workers_while_there_are_any() -> None:
    task = pending_task(max_failed_attempts=9)
    failing, other = worker(), worker()
    handed = []
    for number in range(3):
        online(failing, other, seconds=number * 100)
        handed.append(have_for_nothing(failing, "script_error", number * 100))
    assert handed == [True, False, False]
    online(failing, seconds=1000)  # the other one is gone
    assert have_for_nothing(failing, "script_error", 1000)
    assert Task.objects.get(pk=task.pk).failed_attempts == 2


def test_a_task_that_every_machine_failed_is_tried_by_all_of_them_again() -> None:
    task = pending_task(max_failed_attempts=9)
    machines = [worker(), worker()]
    for number in range(4):
        online(*machines, seconds=number * 100)
        assert have_for_nothing(machines[number % 2], "script_error", number * 100)
    assert Task.objects.get(pk=task.pk).failed_attempts == 4


def test_a_task_that_every_machine_had_too_often_for_nothing_waits_and_is_tried_again() -> None:
    pending_task()
    machines = [worker(), worker()]
    handed = []
    for seconds in (0, 10, 20, 30, 640):
        online(*machines, seconds=seconds)
        handed.append([have_for_nothing(machine, "released", seconds) for machine in machines])
    assert handed == [[True, True]] * 3 + [[False, False], [True, True]]


def test_a_worker_that_fails_everything_at_once_ends_no_task() -> None:
    active_campaign(30)
    failing, busy = worker(), worker()
    for second in range(0, 314, 2):
        online(failing, busy, seconds=second)
        for attempt in claim(failing, 64, now=at(second)).attempts:
            fail(attempt, now=at(second))
    assert set(Task.objects.values_list("state", "failed_attempts")) == {(TaskState.PENDING, 1)}
    online(busy, seconds=400)
    assert len(claim(busy, 64, now=at(400)).attempts) == 30


@pytest.mark.parametrize(
    ("other_machine", "campaign_columns"),
    [
        ({"simulates": True}, {}),
        ({"state": "draining"}, {}),
        ({"is_program": True}, {}),
        ({"isolation": "T0"}, {"required_isolation": "T1"}),
        ({"isolation": ""}, {"required_isolation": "T1"}),
    ],
    ids=str,
)
def test_a_worker_whose_tasks_no_other_machine_can_run_may_try_again_later(
    other_machine: dict[str, Any], campaign_columns: dict[str, Any]
) -> None:
    pending_task(**campaign_columns)
    alone, other = worker(isolation="T1"), worker(**other_machine)
    handed = []
    for seconds in (0, 10, 20, 30, 619, 621):
        online(alone, other, seconds=seconds)
        handed.append(have_for_nothing(alone, "released", seconds))
    # Three times within ten minutes, and again when the first three are long ago.
    assert handed == [True, True, True, False, True, True]


def test_a_worker_that_is_alone_online_uses_up_the_losses_of_a_task() -> None:
    task = pending_task(max_lost_attempts=3)
    alone = worker()
    online(worker(), seconds=-100)  # gone
    for number in range(3):
        online(alone, seconds=number * 1000)
        assert have_for_nothing(alone, "lost", number * 1000)
    task.refresh_from_db()
    assert (task.state, task.failure_class) == (TaskState.FAILED, FailureClass.LOST)


def test_losses_of_several_workers_use_up_a_task_whoever_is_online() -> None:
    task = pending_task(max_lost_attempts=3)
    workers = [worker() for _ in range(3)]
    for number, loser in enumerate(workers):
        online(*workers, seconds=number * 1000)
        assert have_for_nothing(loser, "lost", number * 1000)
    task.refresh_from_db()
    assert task.state == TaskState.FAILED


def test_who_had_a_task_for_nothing_gets_the_next_one() -> None:
    active_campaign(2)
    troubled, other = worker(), worker()
    online(troubled, other, seconds=0)
    tasks = []
    for _ in range(7):
        (attempt,) = claim(troubled).attempts if len(tasks) < 6 else ([None])
        if attempt is None:
            break
        tasks.append(attempt.task_id)
        lifecycle.release(troubled, attempt.lease_id, now=NOW)
    assert Counter(tasks) == dict.fromkeys(set(tasks), 3)
    assert claim(troubled).attempts == []


# --- a task that cannot be leased -----------------------------------------------------------------


def test_a_task_that_cannot_be_leased_does_not_fail_the_claim_of_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    active_campaign(4)
    (attempt,) = claim(worker()).attempts
    poison = attempt.task
    # The next attempt's number is beyond what the column holds.
    Attempt.objects.filter(pk=attempt.pk).update(number=2**31 - 1)
    lifecycle.release(attempt.worker, attempt.lease_id, now=NOW)

    with caplog.at_level(logging.ERROR, logger="campaigns.lifecycle.claims"):
        attempts = claim(worker(), 3, now=at(1)).attempts

    if connection.vendor == "postgresql":
        assert [attempt.task.number for attempt in attempts] == [1, 2, 3]
        assert f"task {poison.name} cannot be leased" in caplog.text
        poison.refresh_from_db()
        assert (poison.state, poison.available_at) == (TaskState.PENDING, at(301))
        assert not StateChange.objects.filter(task=poison, at=at(1)).exists()
    else:  # its integers have eight bytes each
        assert len(attempts) == 3


def test_a_claim_goes_on_when_one_of_its_tasks_breaks_a_constraint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active_campaign(4)
    poison = Task.objects.order_by("number")[1]
    real = claims.lease_to

    def without_start(by: Worker, task: Task, *others: Any, **more: Any) -> Attempt:
        attempt = real(by, task, *others, **more)
        if task.pk == poison.pk:
            attempt.started_at = None
        return attempt

    monkeypatch.setattr(claims, "lease_to", without_start)
    attempts = claim(worker(), 3, now=at(1)).attempts
    assert [attempt.task.number for attempt in attempts] == [0, 2, 3]
    assert claim(worker(), 3, now=at(2)).attempts == []
    invariants.check()
    monkeypatch.undo()
    assert poison.pk in [attempt.task_id for attempt in claim(worker(), 4, now=at(301)).attempts]


def test_an_attempt_number_beyond_a_small_integer_is_no_trouble() -> None:
    attempt = leased_task()
    Attempt.objects.filter(pk=attempt.pk).update(number=40_000)
    lifecycle.release(attempt.worker, attempt.lease_id, now=at(1))
    (again,) = claim(worker(), now=at(2)).attempts
    assert again.number == 40_001
