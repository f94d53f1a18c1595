"""The breakers: a campaign pauses itself when its tasks fail, or when no machine can run them."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, CampaignState, StateChange
from tests.factories import active_campaign, at, claim_one, fail, failure, finish, worker
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import FailureClass as WireFailureClass

pytestmark = pytest.mark.django_db


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
    assert running.state_reason == (
        "10 of the last 10 attempts failed, most by script error, on 10 workers."
    )


def test_failures_among_enough_good_results_do_not_pause() -> None:
    running = active_campaign(40)
    for number in range(22):
        seconds = number * 2
        attempt = claim_one(worker(), now=at(seconds))
        (fail if number % 3 == 0 else finish)(attempt, now=at(seconds))
    running.refresh_from_db()
    assert running.state == CampaignState.ACTIVE


def test_losses_never_pause_a_campaign() -> None:
    running = active_campaign(15)
    spend(12, 0, "lost")
    running.refresh_from_db()
    assert running.state == CampaignState.ACTIVE


def test_what_machines_could_not_run_is_no_failure_of_the_tasks() -> None:
    running = active_campaign(40)
    spend(9, 0)
    spend(1, 30, "env_error")
    spend(1, 40, "lost")
    assert is_active(running)
    spend(1, 50)
    assert not is_active(running)


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


def is_active(running: Campaign) -> bool:
    return Campaign.objects.get(pk=running.pk).state == CampaignState.ACTIVE


def let_fail(
    by: Worker, seconds: float, failure_class: str = "script_error", message: str = "exit code 1"
) -> None:
    """Let the worker claim a task and fail it at once, whatever pause it had."""
    Worker.objects.filter(pk=by.pk).update(paused_until=None)
    attempt = claim_one(by, now=at(seconds))
    body = failure(WireFailureClass(failure_class), message)
    lifecycle.submit(by, attempt.lease_id, body, now=at(seconds))


def fleet(count: int, seconds: float = 0, **columns: Any) -> list[Worker]:
    """Workers that have just called, so that they are online until 45 s later."""
    machines = [worker(**columns) for _ in range(count)]
    for machine in machines:
        worker_lifecycle.see(machine, now=at(seconds))
    return machines


# --- failures of one worker -----------------------------------------------------------------------


def test_one_worker_that_fails_ten_tasks_at_once_does_not_pause_a_campaign_of_others() -> None:
    running = active_campaign(40)
    failing, honest = fleet(2)
    for number in range(10):
        let_fail(failing, number)
    assert is_active(running)
    finish(claim_one(honest, now=at(11)), now=at(12))
    for number in range(10):
        let_fail(failing, 13 + number)
    assert is_active(running)


@pytest.mark.parametrize("machines", [2, 3, 5])
def test_a_fleet_of_which_every_worker_fails_pauses_the_campaign(machines: int) -> None:
    running = active_campaign(60)
    workers = fleet(machines)
    for number in range(11):
        for machine in workers:
            if is_active(running):
                let_fail(machine, number)
    running.refresh_from_db()
    assert running.state == CampaignState.PAUSED
    assert running.state_reason.startswith("10 of the last 10 attempts failed")


def test_a_worker_that_is_alone_online_pauses_a_campaign_alone() -> None:
    running = active_campaign(40)
    (alone,) = fleet(1)
    fleet(1, seconds=-60)  # gone
    fleet(1, simulates=True)  # online, but its results do not count here
    for number in range(10):
        let_fail(alone, number)
    running.refresh_from_db()
    assert running.state_reason == (
        "10 of the last 10 attempts failed, most by script error, on 1 worker."
    )


# --- trouble of several workers -------------------------------------------------------------------


@pytest.mark.parametrize("failure_class", ["env_error", "refused"])
def test_a_campaign_that_three_workers_cannot_run_pauses_itself(failure_class: str) -> None:
    running = active_campaign(20)
    machines = fleet(5)
    for number, machine in enumerate(machines[:2]):
        let_fail(machine, number, failure_class)
    assert is_active(running)
    let_fail(machines[2], 3, failure_class, "exit code 3")
    running.refresh_from_db()
    assert (running.state, running.paused_at) == (CampaignState.PAUSED, at(3))
    assert running.state_reason == ("3 workers could not run its tasks. The last said: exit code 3")
    line = StateChange.objects.filter(subject="campaign").latest("pk")
    assert (line.actor_name, line.reason) == ("failure breaker", running.state_reason)


def test_one_worker_in_trouble_never_pauses_a_campaign() -> None:
    running = active_campaign(20)
    (machine,) = fleet(1)
    for number in range(12):
        let_fail(machine, number, "env_error")
    assert is_active(running)


def test_where_two_machines_are_online_both_must_be_in_trouble() -> None:
    running = active_campaign(20)
    first, second = fleet(2)
    for number in range(6):
        let_fail(first, number, "env_error")
    assert is_active(running)
    let_fail(second, 7, "env_error")
    assert not is_active(running)


def test_a_campaign_that_more_workers_can_run_than_cannot_goes_on() -> None:
    running = active_campaign(30)
    machines = fleet(7)
    for machine in machines[:2]:
        finish(claim_one(machine, now=at(1)), now=at(2))
    for machine in machines[2:4]:
        claim_one(machine, now=at(3))
    for number, machine in enumerate(machines[4:]):
        let_fail(machine, 4 + number, "env_error")
    assert is_active(running)
    # Now one of the others, too: as many cannot as can.
    let_fail(machines[0], 8, "env_error")
    assert not is_active(running)


def test_a_worker_that_could_not_run_a_task_and_then_did_is_in_no_trouble() -> None:
    running = active_campaign(30)
    machines = fleet(3)
    for machine in machines[:2]:
        let_fail(machine, 1, "env_error")
        Worker.objects.filter(pk=machine.pk).update(paused_until=None)
        finish(claim_one(machine, now=at(2)), now=at(3))
    let_fail(machines[2], 4, "env_error")
    assert is_active(running)


def test_a_campaign_resumed_after_trouble_is_judged_by_new_attempts_alone() -> None:
    running = active_campaign(30)
    machines = fleet(3)
    for machine in machines:
        let_fail(machine, 1, "env_error")
    lifecycle.resume(running, now=at(10))
    for machine in machines[:2]:
        let_fail(machine, 11, "env_error")
    assert is_active(running)
    let_fail(machines[2], 12, "env_error")
    assert not is_active(running)
