"""lifecycle.submit of a failure: which counter it raises, and when it pauses the worker."""

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
    running = active_campaign(1)
    for number in range(8):
        fail(claim_one(worker(), now=at(number * 60)), WireFailureClass.ENV_ERROR)
        if number % 2:  # two workers could not run it, which pauses the campaign
            lifecycle.resume(running, now=at(number * 60 + 1))
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
