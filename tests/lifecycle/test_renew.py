"""lifecycle.renew: a heartbeat extends a live lease; what it answers when the lease is gone."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Attempt, AttemptOutcome, Task, TaskState
from tests.factories import (
    active_campaign,
    at,
    claim_one,
    fail,
    finish,
    leased_task,
    lost_attempt,
    worker,
)
from workers.protocol import HeartbeatAnswer, ProgressPoint

pytestmark = pytest.mark.django_db


def renew(attempt: Attempt, seconds: float, **fields: Any) -> HeartbeatAnswer:
    return lifecycle.renew(attempt.worker, attempt.lease_id, now=at(seconds), **fields)[0]


def expiry(attempt: Attempt) -> Any:
    return Task.objects.get(pk=attempt.task_id).lease_expires_at


def test_a_renewal_moves_the_end_of_the_lease() -> None:
    attempt = leased_task()
    assert lifecycle.renew(attempt.worker, attempt.lease_id, now=at(10)) == (
        HeartbeatAnswer.CONTINUE,
        "",
    )
    assert expiry(attempt) == at(55)


def test_a_renewal_never_moves_the_lease_past_the_deadline() -> None:
    attempt = leased_task(time_budget_seconds=10.0)
    for seconds in (40, 80, 120):
        assert renew(attempt, seconds) is HeartbeatAnswer.CONTINUE
    assert expiry(attempt) == at(145)


def test_after_the_deadline_there_is_no_renewal() -> None:
    attempt = leased_task(time_budget_seconds=10.0)
    assert renew(attempt, 145) is HeartbeatAnswer.LOST


def test_a_heartbeat_that_was_overtaken_does_not_shorten_the_lease() -> None:
    attempt = leased_task()
    renew(attempt, 20)
    renew(attempt, 10)
    assert expiry(attempt) == at(65)


def test_a_lease_that_ran_out_is_renewed_while_nobody_took_the_task() -> None:
    attempt = leased_task()
    assert renew(attempt, 50) is HeartbeatAnswer.CONTINUE
    assert lifecycle.expire(now=at(90)) == 0


def test_a_lease_taken_back_is_lost() -> None:
    attempt = lost_attempt()
    answer, reason = lifecycle.renew(attempt.worker, attempt.lease_id, now=at(61))
    assert answer is HeartbeatAnswer.LOST
    assert "stop the script" in reason
    assert Task.objects.get().state == TaskState.PENDING


def test_the_renewal_of_a_former_holder_leaves_the_new_lease_alone() -> None:
    first = lost_attempt()
    second = claim_one(worker(), now=at(60))
    assert renew(first, 70) is HeartbeatAnswer.LOST
    assert expiry(second) == at(105)


def test_a_cancelled_task_or_campaign_is_answered_with_cancel() -> None:
    of_cancelled_task, of_cancelled_campaign = leased_task(), leased_task()
    lifecycle.cancel_task(of_cancelled_task.task, now=at(5))
    lifecycle.cancel(of_cancelled_campaign.task.campaign, now=at(5))
    for attempt in (of_cancelled_task, of_cancelled_campaign):
        assert lifecycle.renew(attempt.worker, attempt.lease_id, now=at(6)) == (
            HeartbeatAnswer.CANCEL,
            "Cancelled by a person.",
        )


def test_in_a_paused_campaign_what_runs_goes_on() -> None:
    attempt = leased_task()
    lifecycle.pause(attempt.task.campaign, now=at(5))
    assert renew(attempt, 10) is HeartbeatAnswer.CONTINUE


@pytest.mark.parametrize("end", [finish, fail], ids=["finished", "failed"])
def test_a_lease_that_was_decided_is_lost(end: Any) -> None:
    attempt = leased_task()
    end(attempt)
    assert renew(attempt, 10) is HeartbeatAnswer.LOST


def test_an_unknown_lease_and_one_of_another_worker_are_lost() -> None:
    attempt = leased_task()
    for agent, lease_id in ((attempt.worker, uuid.uuid4()), (worker(), attempt.lease_id)):
        answer, reason = lifecycle.renew(agent, lease_id, now=at(10))
        assert answer is HeartbeatAnswer.LOST
        assert reason == "This worker holds no lease of this id; check the token and the id."
    assert expiry(attempt) == at(45)


def test_progress_is_kept_once_however_often_it_is_sent() -> None:
    attempt = leased_task()
    first = ProgressPoint(seq=0, elapsed_seconds=1.0, step=5, val_bpb=4.5)
    second = ProgressPoint(seq=1, elapsed_seconds=2.0, step=9, tokens=99, train_loss=3.1)
    renew(attempt, 10, progress=[first])
    renew(attempt, 20, progress=[first, second])
    stored = list(attempt.progress.values_list("seq", "step", "tokens", "train_loss", "value"))
    assert stored == [(0, 5, None, None, 4.5), (1, 9, 99, 3.1, None)]


def test_progress_that_comes_after_the_end_is_not_kept_and_moves_nothing() -> None:
    attempt = lost_attempt()
    renew(attempt, 70, progress=[ProgressPoint(seq=0, elapsed_seconds=1.0, step=5)])
    assert attempt.progress.count() == 0
    assert Attempt.objects.get().outcome == AttemptOutcome.LOST


def test_a_renewal_costs_two_queries_and_with_progress_at_most_five(
    django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    active_campaign(3)
    holder = worker()
    attempt = claim_one(holder)
    attempt.worker = holder
    with django_assert_num_queries(2):
        renew(attempt, 10)
    points = [ProgressPoint(seq=n, elapsed_seconds=1.0, step=n) for n in range(50)]
    # The insert runs in a savepoint, which takes two more queries.
    with django_assert_max_num_queries(5):
        renew(attempt, 20, progress=points)
