"""lifecycle.cancel_task and retry_task: what a person may do to a single task."""

from __future__ import annotations

import uuid

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import WrongState
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    Task,
    TaskState,
)
from tests.factories import (
    active_campaign,
    at,
    cancelled_task,
    claim_one,
    completed_task,
    fail,
    failed_task,
    finish,
    leased_task,
    pending_task,
    worker,
)

pytestmark = pytest.mark.django_db


def test_a_cancelled_pending_task_is_handed_to_nobody() -> None:
    task = cancelled_task()
    assert (task.state, task.finished_at) == (TaskState.CANCELLED, at(0))
    claim = lifecycle.claim(worker(), claim_id=uuid.uuid4(), count=1, now=at(10))
    assert claim.attempts == []


def test_a_cancelled_leased_task_ends_its_attempt() -> None:
    attempt = leased_task()
    lifecycle.cancel_task(attempt.task, now=at(5))
    task = Task.objects.get()
    assert (task.state, task.lease_id, task.worker) == (TaskState.CANCELLED, None, None)
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.ended_at, attempt.message) == (
        AttemptOutcome.CANCELLED,
        at(5),
        "Cancelled by a person.",
    )


def test_cancelling_the_last_open_task_completes_the_campaign_and_no_other_touches_it() -> None:
    running = active_campaign(2)
    first, second = running.tasks.all()
    lifecycle.cancel_task(first, now=at(5))
    assert Campaign.objects.get().state == CampaignState.ACTIVE
    assert Task.objects.get(pk=second.pk).state == TaskState.PENDING
    lifecycle.cancel_task(second, now=at(6))
    done = Campaign.objects.get()
    assert (done.state, done.finished_at) == (CampaignState.COMPLETED, at(6))


def test_what_has_ended_cannot_be_cancelled() -> None:
    for task in (completed_task(), failed_task(), cancelled_task()):
        with pytest.raises(WrongState, match=f"The task is {task.state}; only a pending or"):
            lifecycle.cancel_task(task, now=at(5))
        assert Task.objects.get(pk=task.pk).state == task.state


def test_a_retried_task_gets_one_more_try_and_its_campaign_runs_again() -> None:
    task = failed_task()
    assert Campaign.objects.get().state == CampaignState.COMPLETED

    lifecycle.retry_task(task, now=at(100))

    task.refresh_from_db()
    assert (task.state, task.failure_class, task.finished_at, task.available_at) == (
        TaskState.PENDING,
        "",
        None,
        at(100),
    )
    assert (task.failed_attempts, task.max_failed_attempts) == (1, 2)
    again = Campaign.objects.get()
    assert (again.state, again.finished_at) == (CampaignState.ACTIVE, None)
    second = claim_one(worker(), now=at(101))
    assert second.number == 2
    fail(second, now=at(102))
    task.refresh_from_db()
    assert (task.state, task.failed_attempts) == (TaskState.FAILED, 2)


def test_a_task_that_was_lost_too_often_may_be_lost_once_more_after_a_retry() -> None:
    attempt = leased_task(max_lost_attempts=1)
    lifecycle.expire(now=at(46))
    lifecycle.retry_task(attempt.task, now=at(100))
    claim_one(worker(), now=at(101))
    assert lifecycle.expire(now=at(200)) == 1
    task = Task.objects.get()
    assert (task.state, task.failure_class, task.lost_attempts) == (
        TaskState.FAILED,
        FailureClass.LOST,
        2,
    )


def test_a_retried_task_can_complete_and_completes_its_campaign_again() -> None:
    lifecycle.retry_task(failed_task(), now=at(100))
    finish(claim_one(worker(), now=at(101)), now=at(110))
    assert Task.objects.get().state == TaskState.COMPLETED
    assert Campaign.objects.get().finished_at == at(110)


def test_only_a_failed_task_can_be_retried() -> None:
    for task in (completed_task(), cancelled_task(), leased_task().task, pending_task()):
        before = Task.objects.values().get(pk=task.pk)
        with pytest.raises(WrongState, match="Only a failed task can be run again"):
            lifecycle.retry_task(task, now=at(5))
        assert Task.objects.values().get(pk=task.pk) == before


def test_the_failures_of_a_completed_campaign_do_not_pause_it_at_the_first_new_one() -> None:
    retried = active_campaign(10, max_failed_attempts=1)
    for number in range(10):
        fail(claim_one(worker(), now=at(number * 2)), now=at(number * 2))
    assert Campaign.objects.get().state == CampaignState.COMPLETED
    for task in retried.tasks.all():
        lifecycle.retry_task(task, now=at(100))

    fail(claim_one(worker(), now=at(101)), now=at(102))

    assert Campaign.objects.get().state == CampaignState.ACTIVE
    assert Attempt.objects.count() == 11
