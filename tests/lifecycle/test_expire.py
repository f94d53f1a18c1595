"""lifecycle.expire: takes back each overdue lease once, and no other lease."""

from __future__ import annotations

import logging

import pytest
from django.db import connection

from campaigns import lifecycle
from campaigns.models import AttemptOutcome, Campaign, CampaignState, FailureClass, Task, TaskState
from tests.factories import (
    active_campaign,
    at,
    claim_one,
    finish,
    leased_task,
    pending_task,
    worker,
)

pytestmark = pytest.mark.django_db


def test_an_overdue_lease_is_taken_back_and_charged_to_nobody() -> None:
    attempt = leased_task()
    assert lifecycle.expire(now=at(46)) == 1
    task = Task.objects.get()
    assert (task.state, task.available_at, task.lease_id, task.worker) == (
        TaskState.PENDING,
        at(46),
        None,
        None,
    )
    assert (task.lost_attempts, task.failed_attempts, task.failure_class) == (1, 0, "")
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.failure_class, attempt.ended_at) == (
        AttemptOutcome.LOST,
        FailureClass.LOST,
        at(46),
    )
    assert attempt.message == "The worker was not heard of for the lease time."


def test_a_lease_in_its_last_instant_is_not_overdue() -> None:
    leased_task()
    assert lifecycle.expire(now=at(45)) == 0
    assert lifecycle.expire(now=at(45.000001)) == 1
    assert lifecycle.expire(now=at(46)) == 0


def test_a_renewed_lease_is_left_alone_until_the_deadline_ends_it() -> None:
    attempt = leased_task(time_budget_seconds=10.0)
    for seconds in (40, 80, 120, 144):
        lifecycle.renew(attempt.worker, attempt.lease_id, now=at(seconds))
        assert lifecycle.expire(now=at(seconds + 1)) == 0
    assert lifecycle.expire(now=at(146)) == 1


def test_a_task_is_lost_five_times_and_then_has_failed_and_ends_its_campaign() -> None:
    task = pending_task()
    for loss in range(1, 6):
        now = at(loss * 100)
        claim_one(worker(), now=now)
        assert lifecycle.expire(now=at(loss * 100 + 46)) == 1
        task.refresh_from_db()
        assert (task.lost_attempts, task.state == TaskState.FAILED) == (loss, loss == 5)
    assert (task.failure_class, task.finished_at) == (FailureClass.LOST, at(546))
    assert Campaign.objects.get().state == CampaignState.COMPLETED


def test_only_so_many_as_asked_are_taken_back_the_longest_overdue_first() -> None:
    active_campaign(3, now=at(0))
    attempts = [claim_one(worker(), now=at(seconds)) for seconds in (2, 0, 1)]
    assert lifecycle.expire(now=at(60), limit=2) == 2
    (still_leased,) = Task.objects.filter(state=TaskState.LEASED)
    assert still_leased == attempts[0].task


def test_leases_that_are_not_due_never_stand_before_due_ones() -> None:
    active_campaign(30)
    due = claim_one(worker(), now=at(0))
    for _ in range(29):
        claim_one(worker(), now=at(20))
    assert lifecycle.expire(now=at(46), limit=1) == 1
    assert Task.objects.get(pk=due.task_id).state == TaskState.PENDING


def test_expiry_reaches_tasks_of_paused_campaigns() -> None:
    attempt = leased_task()
    lifecycle.pause(attempt.task.campaign, now=at(1))
    assert lifecycle.expire(now=at(46)) == 1


def test_a_finished_or_cancelled_task_is_not_overdue() -> None:
    finish(leased_task())
    lifecycle.cancel_task(leased_task().task, now=at(1))
    assert lifecycle.expire(now=at(10_000)) == 0


def test_a_task_that_cannot_be_written_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    poison, sound = leased_task(), leased_task()
    table = connection.ops.quote_name(Task._meta.db_table)
    # Taking this lease back would raise lost_attempts above its maximum and break a constraint.
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET lost_attempts = max_lost_attempts WHERE id = %s",
            [poison.task_id],
        )
    with caplog.at_level(logging.ERROR, logger="campaigns.lifecycle.expiry"):
        assert lifecycle.expire(now=at(46)) == 1
    assert Task.objects.get(pk=sound.task_id).state == TaskState.PENDING
    assert Task.objects.get(pk=poison.task_id).state == TaskState.LEASED
    assert f"task {poison.task.name}: its expired lease could not be taken back" in caplog.text
