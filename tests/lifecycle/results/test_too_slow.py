"""Runs of a work budget that take too long: who gets what then, and when an arm is given up."""

from __future__ import annotations

import math
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.fleet.budgets import MAX_WORK_SECONDS
from campaigns.models import Arm, Attempt, CampaignState, TaskState
from tests import invariants
from tests.factories import (
    NOW,
    active_campaign,
    at,
    claim,
    claim_one,
    completed,
    fail,
    finish,
    leased_task,
)
from tests.lifecycle.test_work_budgets import calibrated, online, seconds, space, steps
from workers.models import Worker
from workers.protocol import FailureClass, Verdict

pytestmark = pytest.mark.django_db


def too_slow(attempt: Attempt, *, now: Any = None) -> lifecycle.Answer:
    """Submit the half of the steps."""
    half = (attempt.task.max_steps or 0) // 2
    return finish(attempt, steps_completed=half, now=now)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps_completed": 99},
        {"eval_bytes": 16_384, "eval_tokens": 16_384, "eval_nll_nats": 3.0 * 16_384 * math.log(2)},
        {"val_bpb": None, "stop_reason": "no_time_to_evaluate", "eval_nll_nats": None},
        {"val_bpb": None, "stop_reason": "budget_too_small", "steps_completed": 0},
    ],
)
def test_a_result_that_lacks_some_of_its_work_is_too_slow(changes: dict[str, Any]) -> None:
    online()
    attempt = leased_task(**steps())
    body = completed(attempt.task)
    body["metrics"] = (body["metrics"] or {}) | changes
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=NOW)
    attempt.refresh_from_db()
    assert (answer.verdict, attempt.failure_class) == (Verdict.RETRY, "too_slow")
    attempt.task.refresh_from_db()
    assert (attempt.task.state, attempt.task.failed_attempts) == (TaskState.PENDING, 0)
    assert attempt.worker.paused_until is None
    invariants.check()


def test_a_run_that_diverged_early_or_is_simulated_counts_and_more_steps_do_not() -> None:
    active_campaign(3, **steps(), allow_simulated=True)
    machine = online()
    diverged = {"val_bpb": None, "diverged": True, "eval_nll_nats": None, "train_loss": None}
    for changes, simulated in (diverged | {"steps_completed": 9}, False), ({}, True):
        attempt = claim_one(machine)
        body: Any = completed(attempt.task, steps_completed=5)
        body["metrics"] |= changes
        body["simulated"] = simulated
        answer = lifecycle.submit(machine, attempt.lease_id, body, now=NOW)
        assert answer.verdict is Verdict.ACCEPTED
    more = finish(claim_one(machine), steps_completed=101)
    assert more.verdict is Verdict.REFUSED
    assert "it made 101 steps, and the task is over after 100" in more.message


@pytest.mark.parametrize(
    ("budget", "reported", "ran", "booked"),
    [
        (steps(), FailureClass.TIMEOUT, None, "too_slow"),
        (steps(), FailureClass.TIMEOUT, MAX_WORK_SECONDS + 15, "too_slow"),
        # It hung after its last step.
        (steps(), FailureClass.TIMEOUT, 100.0, "timeout"),
        (steps(), FailureClass.SCRIPT_ERROR, MAX_WORK_SECONDS, "script_error"),
        ({}, FailureClass.TIMEOUT, 25.0, "timeout"),
        ({}, FailureClass.TOO_SLOW, 25.0, "timeout"),
    ],
)
def test_the_end_at_the_guard_is_too_slow(
    budget: dict[str, Any], reported: FailureClass, ran: float | None, booked: str
) -> None:
    attempt = leased_task(**budget)
    body: Any = {"outcome": "failed", "failure_class": reported, "wall_time_seconds": ran}
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=NOW)
    attempt.refresh_from_db()
    assert attempt.failure_class == booked


def test_who_was_too_slow_gets_nothing_with_as_much_work_and_smaller_work_still() -> None:
    slow, fast = online(), online()
    sizes = space(d_model=[64, 128, 256])
    sizes["parameters"].pop(0)
    active_campaign(6, sampler="grid", **seconds(100, work_unit="steps", search_space=sizes))
    first, second = claim(slow, 2).attempts
    assert [first.task.params["d_model"], second.task.params["d_model"]] == [64, 128]
    too_slow(second)
    # It may still have 64, not the other 128, nor the larger 256.
    got = claim(slow, 6, now=at(30))
    assert [attempt.task.params["d_model"] for attempt in got.attempts] == [64]
    assert "too slow for" in got.reason
    assert len(claim(fast, 6, now=at(30)).attempts) == 4
    # Another campaign is another matter.
    active_campaign(1, **seconds())
    assert claim_one(slow, now=at(30)).task.campaign != second.task.campaign


def test_after_three_workers_the_arm_is_given_up() -> None:
    machines = [online() for _ in range(5)]
    launched = active_campaign(2, **seconds(10))
    for number, machine in enumerate(machines[:3]):
        attempt = next(
            a for a in claim(machine, 2, now=at(number * 40)).attempts if a.task.number == 0
        )
        too_slow(attempt, now=at(number * 40))
        for other in machine.leased_tasks.all():
            lifecycle.release(machine, other.lease_id, now=at(number * 40))
    task = launched.tasks.get(number=0)
    assert (task.state, task.failure_class) == (TaskState.FAILED, "too_slow")
    assert task.arm.infeasible.startswith("too slow for this fleet: 3 workers")
    assert launched.tasks.get(number=1).state == TaskState.PENDING
    # A person may want another try, for a worker that has come since.
    lifecycle.retry_task(task, now=at(200))
    assert Arm.objects.exclude(infeasible="").count() == 0
    done = claim(machines[4], 2, now=at(200)).attempts
    assert [finish(attempt, now=at(200)).verdict for attempt in done] == [Verdict.ACCEPTED] * 2
    invariants.check()


def test_a_result_after_all_makes_the_arm_feasible_again() -> None:
    launched = active_campaign(1, **seconds(10))
    lifecycle.enqueue(launched, launched.arms.get().params, now=NOW)
    fast = claim_one(online())
    for number in range(3):
        too_slow(claim_one(online(), now=at(2 * number)), now=at(2 * number))
    assert launched.arms.exclude(infeasible="").count() == 1
    assert finish(fast, now=at(9)).verdict is Verdict.ACCEPTED
    assert launched.arms.exclude(infeasible="").count() == 0


def test_where_nobody_is_fast_enough_the_campaign_ends_and_says_so() -> None:
    launched = active_campaign(20, **seconds())
    alone = online()
    too_slow(claim_one(alone))
    launched.refresh_from_db()
    assert launched.state == CampaignState.COMPLETED
    assert set(launched.tasks.values_list("state", "failure_class")) == {("failed", "too_slow")}
    assert set(launched.arms.values_list("infeasible", flat=True)) == {
        "too slow for this fleet: every worker was too slow for as much work"
    }
    invariants.check()


def test_nothing_is_given_up_while_a_machine_may_come_back() -> None:
    launched = active_campaign(2, **seconds())
    slow = online()
    online(now=at(-1000), name="rebooting")
    too_slow(claim_one(slow))
    Worker.objects.filter(pk=slow.pk).update(last_seen_at=at(5000))
    assert lifecycle.give_up_slow_tasks(now=at(2000)) == 0
    assert lifecycle.give_up_slow_tasks(now=at(5000)) == 2
    launched.refresh_from_db()
    assert launched.state == CampaignState.COMPLETED


def test_too_slow_neither_pauses_the_campaign_nor_sends_other_failures_nowhere() -> None:
    # The slow worker is no other machine for what failed on the only one that may run it.
    slow, able = online(), online()
    launched = active_campaign(1, **seconds(max_failed_attempts=5))
    too_slow(claim_one(slow))
    fail(claim_one(able, now=at(40)), now=at(40))
    Worker.objects.update(last_seen_at=at(60))
    assert claim_one(able, now=at(80)).task.campaign == launched


def test_a_flagged_machine_is_no_other_machine_for_work() -> None:
    flagged, able = online(), online()
    calibrated(flagged, 1.0, flagged=True)
    launched = active_campaign(1, **seconds(max_failed_attempts=5))
    fail(claim_one(able))
    Worker.objects.update(last_seen_at=at(40))
    assert claim_one(able, now=at(40)).task.campaign == launched
