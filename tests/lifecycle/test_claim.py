"""lifecycle.claim: which tasks a worker gets, their lease times, and why it may get fewer."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import connection

from campaigns import lifecycle
from campaigns.lifecycle.claimants import with_tasks
from campaigns.models import Attempt, AttemptOutcome, Campaign, Task, TaskState
from tests.factories import (
    NOW,
    active_campaign,
    at,
    campaign,
    claim,
    fail,
    finish,
    leased_task,
    pending_task,
    worker,
)
from workers import lifecycle as worker_lifecycle
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def test_a_claim_leases_the_oldest_tasks_of_each_campaign_in_turn() -> None:
    first = active_campaign(3, now=at(10))
    second = active_campaign(2, now=NOW)

    answer = claim(worker(), 4, now=at(20))

    assert {(attempt.task.campaign, attempt.task.number) for attempt in answer.attempts} == {
        (campaign, number) for campaign in (first, second) for number in (0, 1)
    }
    assert answer.reason == ""


def test_a_leased_task_names_its_attempt_its_worker_and_both_ends() -> None:
    active_campaign(1, time_budget_seconds=10.0)
    holder = worker()

    (attempt,) = claim(holder).attempts

    task = Task.objects.get()
    assert (task.state, task.worker, task.lease_id) == (TaskState.LEASED, holder, attempt.lease_id)
    assert task.lease_expires_at == at(45)
    assert task.deadline_at == at(60 + 10 + 15 + 60)
    assert (attempt.number, attempt.outcome, attempt.started_at, attempt.ended_at) == (
        1,
        AttemptOutcome.RUNNING,
        NOW,
        None,
    )


def test_a_lease_never_outlasts_the_deadline(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"LEASE_SECONDS": 1000.0}
    task = leased_task(time_budget_seconds=10.0).task
    assert task.lease_expires_at == task.deadline_at == at(145)


def test_a_claim_brings_at_most_what_was_asked_and_what_is_there() -> None:
    active_campaign(3)
    assert len(claim(worker(), 2).attempts) == 2
    remainder = claim(worker(), 2)
    assert len(remainder.attempts) == 1
    assert remainder.reason == "No task waits."


def test_the_same_claim_again_brings_the_same_leases() -> None:
    active_campaign(5)
    holder, claim_id = worker(), uuid.uuid4()
    first = lifecycle.claim(holder, claim_id=claim_id, count=2, now=NOW)
    again = lifecycle.claim(holder, claim_id=claim_id, count=4, now=at(5))
    assert [a.lease_id for a in again.attempts] == [a.lease_id for a in first.attempts]
    assert Attempt.objects.count() == 2
    assert Task.objects.filter(lease_expires_at=at(45)).count() == 2


def test_the_same_claim_id_of_another_worker_is_another_claim() -> None:
    active_campaign(2)
    claim_id = uuid.uuid4()
    first_worker, second_worker = worker(), worker()
    (first,) = lifecycle.claim(first_worker, claim_id=claim_id, count=1, now=NOW).attempts
    (second,) = lifecycle.claim(second_worker, claim_id=claim_id, count=1, now=NOW).attempts
    assert first.task_id != second.task_id
    assert (first.worker, second.worker) == (first_worker, second_worker)


def test_an_empty_claim_asked_again_may_find_what_came_meanwhile() -> None:
    holder, claim_id = worker(), uuid.uuid4()
    assert lifecycle.claim(holder, claim_id=claim_id, count=1, now=NOW).attempts == []
    pending_task()
    assert len(lifecycle.claim(holder, claim_id=claim_id, count=1, now=NOW).attempts) == 1


def end(running: Campaign, verb: str) -> None:
    getattr(lifecycle, verb)(running, now=NOW)


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_campaign_that_is_not_active_hands_out_nothing(verb: str) -> None:
    end(active_campaign(2), verb)
    campaign()
    assert claim(worker()).attempts == []


def test_a_task_is_not_handed_out_before_it_is_available() -> None:
    task = pending_task(now=at(10))
    assert claim(worker(), now=at(9)).attempts == []
    assert claim(worker(), now=at(10)).attempts[0].task == task


@pytest.mark.parametrize(("verb", "word"), [("drain", "draining"), ("disable", "disabled")])
def test_a_worker_that_is_not_active_gets_nothing_and_the_reason(verb: str, word: str) -> None:
    pending_task()
    claimant = worker()
    getattr(worker_lifecycle, verb)(claimant)
    assert claim(claimant) == lifecycle.Claim(
        [], f"This worker is {word}; an operator can resume it."
    )


def test_a_paused_worker_gets_nothing_until_its_pause_is_over() -> None:
    pending_task()
    claimant = worker()
    worker_lifecycle.pause_after_env_error(claimant, "no torch", now=NOW)
    early = claim(claimant, now=at(59))
    assert early.attempts == []
    assert early.reason == "This worker is paused for 1 s more: no torch"
    assert len(claim(claimant, now=at(60)).attempts) == 1


def test_a_simulating_worker_gets_only_tasks_that_may_be_simulated() -> None:
    active_campaign(1)
    claimant = worker(simulates=True)
    refused = claim(claimant)
    assert refused.attempts == []
    assert "this worker has no torch and simulates" in refused.reason

    allowed = active_campaign(1, allow_simulated=True)
    (attempt,) = claim(claimant).attempts
    assert attempt.task.campaign == allowed


def test_a_failed_task_goes_to_another_worker_first(settings: Any) -> None:
    head_start = settings.XEENET["OTHER_WORKER_FIRST_SECONDS"]
    failing_worker, other_worker = worker(), worker()
    attempt = leased_task(failing_worker)
    fail(attempt)

    refused = claim(failing_worker, now=at(5))
    assert refused.attempts == []
    assert refused.reason == (
        "The tasks that wait are to be tried a little later or by another worker first. A task "
        "that this worker failed, or had 3 times for nothing, goes to others."
    )
    (second,) = claim(other_worker, now=at(5)).attempts
    assert (second.task, second.number) == (attempt.task, 2)
    lifecycle.release(other_worker, second.lease_id, now=at(6))
    # No other worker came: the worker that failed may try again.
    assert len(claim(failing_worker, now=at(6 + head_start)).attempts) == 1


def test_a_failed_task_waits_a_moment_before_anybody_gets_it() -> None:
    fail(leased_task())
    assert claim(worker(), now=at(0.5)).attempts == []
    assert len(claim(worker(), now=at(1)).attempts) == 1


def test_a_worker_that_lost_a_task_gets_none_for_one_lease_time_and_others_come_first(
    settings: Any,
) -> None:
    settings.XEENET = settings.XEENET | {"OTHER_WORKER_FIRST_SECONDS": 60.0}
    attempt = leased_task()
    silent = claim(attempt.worker, now=at(46))
    assert silent == lifecycle.Claim(
        [],
        "This worker is paused for 45 s more: It lost a task: it was not heard of for the lease "
        "time.",
    )
    assert claim(attempt.worker, now=at(90.9)).attempts == []
    # No longer paused, but the task is kept for other workers a little longer.
    assert "by another worker first" in claim(attempt.worker, now=at(91)).reason
    newer = active_campaign(1, now=at(92))
    (other,) = claim(attempt.worker, now=at(92)).attempts
    assert other.task.campaign == newer
    # No other worker came.
    (again,) = claim(attempt.worker, now=at(106)).attempts
    assert again.task == attempt.task
    assert again.lease_id != attempt.lease_id


def test_a_claim_takes_back_expired_leases_itself() -> None:
    attempt = leased_task()
    (again,) = claim(worker(), now=at(46)).attempts
    assert (again.task, again.number) == (attempt.task, 2)
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.failure_class) == (AttemptOutcome.LOST, FailureClass.LOST)


def test_a_finished_task_is_never_handed_out_again() -> None:
    finish(leased_task())
    assert claim(worker(), 5, now=at(1000)).attempts == []


def test_a_claim_costs_the_same_queries_for_one_task_and_for_eight(
    django_assert_num_queries: Any,
) -> None:
    active_campaign(10)
    claimant = worker()
    # Read overdue leases, the worker, an earlier answer to this claim id, how many leases it holds,
    # whose turn it is, tasks and their last attempts; write leases, attempts and journal; read the
    # answer; around them a savepoint.
    with django_assert_num_queries(11 + 2):
        claim(claimant)
    with django_assert_num_queries(11 + 2):
        attempts = claim(claimant, 8, now=at(1)).attempts
        # Building the answer needs no further query.
        assert len({str(attempt.task.config | {"n": attempt.number}) for attempt in attempts}) == 8


def rows_read(plan: dict[str, Any]) -> int:
    """The most rows that any step of an analysed plan read, counting those it filtered out."""
    this_step = sum(
        int(plan.get(name, 0)) * int(plan["Actual Loops"])
        for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    )
    return max([this_step, *map(rows_read, plan.get("Plans", []))])


@pytest.mark.postgresql_only
@pytest.mark.parametrize("why", ["paused", "needs a sandbox"])
def test_a_claim_reads_none_of_the_many_older_tasks_that_it_may_not_give(why: str) -> None:
    older = active_campaign(3_000, required_isolation="T1" if why == "needs a sandbox" else "T0")
    if why == "paused":
        lifecycle.pause(older, now=NOW)
    newer = active_campaign(30, now=at(1))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE campaigns_task")
    claimant = worker()

    campaigns = Campaign.objects.handing_out_to(claimant).runnable_by(claimant)
    tasks = Task.objects.claimable(claimant, at(2))
    takers = with_tasks(campaigns, tasks, claimant)
    for query in (takers, tasks.filter(campaign=newer)[:1]):
        plan = json.loads(query.explain(format="json", analyze=True))[0]["Plan"]
        assert rows_read(plan) < 100
    assert [campaign for campaign, *_ in takers] == [newer.pk]


def test_who_could_not_begin_in_one_campaign_gets_others_first() -> None:
    unfetchable = active_campaign(3, now=NOW)
    other_campaign = active_campaign(1, now=at(1))
    claimant = worker()
    (attempt,) = claim(claimant, now=at(2)).attempts
    assert attempt.task.campaign == unfetchable
    fail(attempt, FailureClass.ENV_ERROR, now=at(3))

    (attempt,) = claim(claimant, now=at(63)).attempts
    assert attempt.task.campaign == other_campaign
    # No other task waits: the claimant gets one of this campaign again, which may work by now.
    (attempt,) = claim(claimant, now=at(64)).attempts
    assert attempt.task.campaign == unfetchable
