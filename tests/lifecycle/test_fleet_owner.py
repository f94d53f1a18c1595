"""All workers of a fleet's token are one owner: for the breakers, and for what others try first."""

from __future__ import annotations

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, CampaignState, Task
from tests.factories import (
    active_campaign,
    at,
    claim,
    claim_one,
    fail,
    failure,
    pending_task,
    work_campaign,
    worker,
)
from tests.fleets import fleet_token, fleet_worker
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def online(*machines: Worker, seconds: float) -> None:
    for machine in machines:
        worker_lifecycle.see(machine, now=at(seconds))


def fleet(count: int) -> list[Worker]:
    _, secret = fleet_token()
    return [fleet_worker(secret) for _ in range(count)]


def let_fail(by: Worker, seconds: float, how: FailureClass = FailureClass.SCRIPT_ERROR) -> None:
    Worker.objects.filter(pk=by.pk).update(paused_until=None)
    attempt = claim_one(by, now=at(seconds))
    lifecycle.submit(by, attempt.lease_id, failure(how, "exit code 1"), now=at(seconds))


def is_active(campaign: Campaign) -> bool:
    return Campaign.objects.get(pk=campaign.pk).state == CampaignState.ACTIVE


def test_owners_are_the_fleets_and_every_other_worker() -> None:
    fleet(3)
    fleet(2)
    worker()
    worker()
    assert Worker.objects.owner_count() == 4


def test_a_fleet_of_which_every_worker_fails_pauses_no_campaign_that_others_run() -> None:
    running = active_campaign(60)
    machines, honest = fleet(5), worker()
    for number in range(20):
        online(*machines, honest, seconds=number)
        let_fail(machines[number % 5], number)
    assert is_active(running)


def test_a_fleet_that_is_alone_pauses_the_campaign_that_it_fails() -> None:
    running = active_campaign(60)
    machines = fleet(5)
    for number in range(10):
        online(*machines, seconds=number)
        let_fail(machines[number % 5], number)
    assert not is_active(running)


def test_trouble_of_a_whole_fleet_is_that_of_one_owner() -> None:
    running = active_campaign(60)
    machines, others = fleet(4), [worker(), worker()]
    online(*machines, *others, seconds=0)
    for number, machine in enumerate(machines):
        let_fail(machine, number, FailureClass.ENV_ERROR)
    assert is_active(running)
    for number, machine in enumerate(others):
        let_fail(machine, 10 + number, FailureClass.ENV_ERROR)
    assert not is_active(running)


def test_after_a_failure_another_owner_comes_first() -> None:
    pending_task(max_failed_attempts=9)
    (failing, beside), other = fleet(2), worker()
    fail(claim_one(failing), now=at(0))
    assert claim(beside, now=at(2)).attempts == []
    assert len(claim(other, now=at(2)).attempts) == 1


def test_a_task_that_a_fleet_failed_goes_to_others_while_there_are_any() -> None:
    pending_task(max_failed_attempts=9)
    (failing, beside), other = fleet(2), worker()
    fail(claim_one(failing), now=at(0))
    online(failing, beside, other, seconds=100)
    assert claim(beside, now=at(100)).attempts == []
    online(beside, seconds=1000)  # the other one is gone
    assert len(claim(beside, now=at(1000)).attempts) == 1


def test_a_task_had_three_times_for_nothing_by_a_fleet_goes_to_others() -> None:
    pending_task()
    machines, other = fleet(4), worker()
    for number, machine in enumerate(machines[:3]):
        online(*machines, other, seconds=number * 100)
        attempt = claim_one(machine, now=at(number * 100))
        lifecycle.release(machine, attempt.lease_id, now=at(number * 100))
    online(*machines, other, seconds=300)
    assert claim(machines[3], now=at(300)).attempts == []
    assert len(claim(other, now=at(300)).attempts) == 1


def test_other_fleets_are_other_owners_whose_tries_count_together() -> None:
    pending_task(max_failed_attempts=9)
    (first, second), (third, fourth) = fleet(2), fleet(2)
    fail(claim_one(first), now=at(0))
    online(first, second, third, fourth, seconds=100)
    fail(claim_one(third, now=at(100)), now=at(100))
    # Both have failed it, each with one of its workers: all may try again.
    online(first, second, third, fourth, seconds=200)
    assert len(claim(second, now=at(200)).attempts) == 1


def test_the_losses_of_a_fleet_count_once_while_others_could_run_the_task() -> None:
    task = pending_task()
    machines, other = fleet(2), worker()
    for number, machine in enumerate(machines):
        online(machine, other, seconds=number * 100)
        claim_one(machine, now=at(number * 100))
        online(other, seconds=number * 100 + 46)
        lifecycle.expire(now=at(number * 100 + 46))
    assert Task.objects.get(pk=task.pk).lost_attempts == 1


def test_a_fleet_alone_gives_up_no_arm_as_too_slow_while_others_could_be_fast_enough() -> None:
    campaign = work_campaign(1)
    at_its_guard = failure(FailureClass.TIMEOUT) | {"wall_time_seconds": None}
    for number, machine in enumerate(fleet(3)):
        worker(last_seen_at=at(number * 100))
        attempt = claim_one(machine, now=at(number * 100))
        lifecycle.submit(machine, attempt.lease_id, at_its_guard, now=at(number * 100))
    assert set(campaign.tasks.get().attempts.values_list("failure_class", flat=True)) == {
        "too_slow"
    }
    assert campaign.tasks.get().state == "pending"
