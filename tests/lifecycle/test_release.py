"""lifecycle.release: a worker gives a task back without running it, and no try is counted."""

from __future__ import annotations

import uuid

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import LeaseLost, LeaseUnknown
from campaigns.models import Attempt, AttemptOutcome, Task, TaskState
from tests.factories import at, claim_one, finish, leased_task, lost_attempt, worker

pytestmark = pytest.mark.django_db


def release(attempt: Attempt, seconds: float = 5) -> None:
    lifecycle.release(attempt.worker, attempt.lease_id, now=at(seconds), reason="draining")


def test_a_released_task_waits_again_and_nobody_is_charged() -> None:
    attempt = leased_task()
    release(attempt)
    task = Task.objects.get()
    assert (task.state, task.available_at, task.lease_id) == (TaskState.PENDING, at(5), None)
    assert (task.failed_attempts, task.lost_attempts, task.last_failed_worker) == (0, 0, None)
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.ended_at, attempt.message) == (
        AttemptOutcome.RELEASED,
        at(5),
        "draining",
    )


def test_the_same_worker_may_claim_a_released_task_again_at_once() -> None:
    attempt = leased_task()
    release(attempt)
    again = claim_one(attempt.worker, now=at(5))
    assert (again.task, again.number) == (attempt.task, 2)


def test_releasing_again_changes_nothing_even_when_another_has_the_task() -> None:
    attempt = leased_task()
    release(attempt)
    second = claim_one(worker(), now=at(6))
    release(attempt, 7)
    task = Task.objects.get()
    assert (task.state, task.lease_id) == (TaskState.LEASED, second.lease_id)
    attempt.refresh_from_db()
    assert attempt.ended_at == at(5)


def test_what_is_no_longer_held_cannot_be_released() -> None:
    lost = lost_attempt()
    done = leased_task()
    finish(done)
    stopped = leased_task()
    lifecycle.cancel_task(stopped.task, now=at(1))
    for attempt in (lost, done, stopped):
        with pytest.raises(LeaseLost, match="The lease has ended; stop the script"):
            release(attempt, 70)
        attempt.refresh_from_db()
        assert attempt.outcome != AttemptOutcome.RELEASED


def test_an_unknown_lease_and_one_of_another_worker_cannot_be_released() -> None:
    attempt = leased_task()
    for agent, lease_id in ((attempt.worker, uuid.uuid4()), (worker(), attempt.lease_id)):
        with pytest.raises(LeaseUnknown, match="check the token and the id"):
            lifecycle.release(agent, lease_id, now=at(5))
    assert Task.objects.get().state == TaskState.LEASED


def test_a_very_long_reason_is_cut_to_what_is_kept() -> None:
    attempt = leased_task()
    lifecycle.release(attempt.worker, attempt.lease_id, now=at(5), reason="é" * 5000)
    attempt.refresh_from_db()
    assert attempt.message == "é" * 1000
