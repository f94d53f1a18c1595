"""lifecycle.submit of a failure: which counter it raises, and when it pauses the campaign."""

from __future__ import annotations

import pytest

from campaigns import lifecycle
from campaigns.lifecycle.retry import CHARGES, Charge
from campaigns.models import AttemptOutcome, Campaign, CampaignState, Task, TaskState
from tests.factories import active_campaign, at, claim_one, fail, finish, leased_task, worker
from workers.models import Worker
from workers.protocol import INFRASTRUCTURE_FAILURES, Verdict
from workers.protocol import FailureClass as WireFailureClass

pytestmark = pytest.mark.django_db


def test_every_failure_class_has_somebody_who_pays() -> None:
    assert set(map(str, CHARGES)) == set(map(str, WireFailureClass))
    free = {str(failure) for failure, charge in CHARGES.items() if charge is not Charge.FAILURE}
    assert free == set(map(str, INFRASTRUCTURE_FAILURES))


@pytest.mark.parametrize(
    ("failure_class", "counters"),
    [
        ("script_error", (1, 0)),
        ("no_json", (1, 0)),
        ("invalid_result", (1, 0)),
        ("timeout", (1, 0)),
        ("oom", (1, 0)),
        ("disk_full", (1, 0)),
        ("output_flood", (1, 0)),
        ("lost", (0, 1)),
        ("env_error", (0, 0)),
        ("refused", (0, 0)),
    ],
)
def test_a_failure_is_charged_to_whom_it_belongs(
    failure_class: str, counters: tuple[int, int]
) -> None:
    attempt = leased_task()
    answer = fail(attempt, WireFailureClass(failure_class), now=at(10))
    assert answer.verdict is Verdict.RETRY
    task = Task.objects.get()
    assert (task.failed_attempts, task.lost_attempts) == counters
    assert (task.state, task.available_at, task.last_failed_worker) == (
        TaskState.PENDING,
        at(11),
        attempt.worker,
    )
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.failure_class, attempt.message, attempt.exit_code) == (
        AttemptOutcome.FAILED,
        failure_class,
        "exit code 1",
        1,
    )


@pytest.mark.parametrize("failure_class", ["script_error", "timeout", "oom"])
def test_the_second_failure_fails_the_task_for_good(failure_class: str) -> None:
    fail(leased_task(), WireFailureClass(failure_class))
    second = claim_one(worker(), now=at(20))
    answer = fail(second, WireFailureClass(failure_class), now=at(30))
    assert answer.verdict is Verdict.FAILED
    task = Task.objects.get()
    assert (task.state, task.failure_class, task.finished_at) == (
        TaskState.FAILED,
        failure_class,
        at(30),
    )
    assert Campaign.objects.get().state == CampaignState.COMPLETED


def test_what_the_worker_is_to_blame_for_never_uses_up_the_task() -> None:
    active_campaign(1)
    for number in range(8):
        fail(claim_one(worker(), now=at(number * 60)), WireFailureClass.ENV_ERROR)
    task = Task.objects.get()
    assert (task.state, task.failed_attempts, task.lost_attempts) == (TaskState.PENDING, 0, 0)


def test_an_environment_error_pauses_the_worker_and_a_good_result_ends_its_row() -> None:
    active_campaign(2)
    holder = worker()
    fail(claim_one(holder), WireFailureClass.ENV_ERROR, now=at(1))
    holder.refresh_from_db()
    assert (holder.paused_until, holder.pause_reason) == (at(61), "exit code 1")
    assert holder.consecutive_env_errors == 1
    finish(claim_one(holder, now=at(61)), now=at(70))
    holder.refresh_from_db()
    assert (holder.paused_until, holder.pause_reason, holder.consecutive_env_errors) == (
        None,
        "",
        0,
    )


def test_the_same_environment_error_sent_twice_pauses_the_worker_once() -> None:
    attempt = leased_task()
    for seconds in (1, 30):
        fail(attempt, WireFailureClass.ENV_ERROR, now=at(seconds))
    assert Worker.objects.get().paused_until == at(61)


# --- the breaker ----------------------------------------------------------------------------------


def spend(failures: int, start: float, failure_class: str = "script_error") -> None:
    for number in range(failures):
        seconds = start + number * 2
        fail(claim_one(worker(), now=at(seconds)), WireFailureClass(failure_class), now=at(seconds))


def test_half_of_the_last_twenty_attempts_failing_pauses_the_campaign_with_the_reason() -> None:
    running = active_campaign(30)
    spend(9, 0)
    running.refresh_from_db()
    assert running.state == CampaignState.ACTIVE
    spend(1, 100)
    running.refresh_from_db()
    assert (running.state, running.paused_at) == (CampaignState.PAUSED, at(100))
    assert running.state_reason == "10 of the last 10 attempts failed, most by script error."


def test_failures_among_enough_good_results_do_not_pause() -> None:
    running = active_campaign(40)
    for number in range(22):
        seconds = number * 2
        attempt = claim_one(worker(), now=at(seconds))
        (fail if number % 3 == 0 else finish)(attempt, now=at(seconds))
    running.refresh_from_db()
    assert running.state == CampaignState.ACTIVE


@pytest.mark.parametrize("failure_class", ["lost", "env_error", "refused"])
def test_failures_of_machines_and_networks_never_pause_a_campaign(failure_class: str) -> None:
    running = active_campaign(15)
    spend(12, 0, failure_class)
    running.refresh_from_db()
    assert running.state == CampaignState.ACTIVE


def test_a_resumed_campaign_is_judged_by_new_attempts_alone() -> None:
    running = active_campaign(40)
    spend(10, 0)
    lifecycle.resume(running, now=at(100))
    spend(9, 101)
    running.refresh_from_db()
    assert running.state == CampaignState.ACTIVE
    spend(1, 200)
    running.refresh_from_db()
    assert running.state == CampaignState.PAUSED


def test_a_failing_campaign_hinders_no_other() -> None:
    failing = active_campaign(20)
    spend(10, 0)
    healthy = active_campaign(1, now=at(50))
    assert claim_one(worker(), now=at(60)).task.campaign == healthy
    failing.refresh_from_db()
    assert failing.state == CampaignState.PAUSED
