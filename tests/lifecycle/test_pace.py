"""lifecycle.next_pace: which interval a heartbeat's answer tells, and that leases come first."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction

from campaigns import lifecycle
from campaigns.answers.leases import claim_reply
from campaigns.models import Attempt, Task, TaskState
from tests import factories
from tests.concurrency import in_parallel
from tests.factories import NOW, active_campaign, at, leased_task, worker
from workers import fleet_size
from workers.models import Worker

pytestmark = pytest.mark.django_db
LONG = dt.timedelta(seconds=135)


@pytest.fixture
def few_heartbeats(settings: Any) -> None:
    """Let a fleet of two be a large one."""
    settings.XEENET = settings.XEENET | {"HEARTBEATS_PER_SECOND": 0.07}


def beat(machine: Worker, seconds: float, *attempts: Attempt) -> float:
    """Renew these leases, and return the interval of the answer."""
    machine.refresh_from_db()
    for attempt in attempts:
        lifecycle.renew(machine, attempt.lease_id, now=at(seconds))
    return lifecycle.next_pace(machine, now=at(seconds)).heartbeat_seconds


def expiry(attempt: Attempt) -> Any:
    return Task.objects.get(pk=attempt.task_id).lease_expires_at


def lease_time(machine: Worker) -> Any:
    return Worker.objects.get(pk=machine.pk).lease_time


def test_with_few_workers_nothing_is_written(django_assert_num_queries: Any) -> None:
    machine = worker(last_seen_at=NOW)
    fleet_size.fleet_pace(NOW)
    with django_assert_num_queries(0):
        assert lifecycle.next_pace(machine, now=NOW).heartbeat_seconds == 10.0
    assert lease_time(machine) is None


@pytest.mark.usefixtures("few_heartbeats")
def test_a_longer_lease_is_granted_before_the_longer_interval_is_told() -> None:
    machine = worker(last_seen_at=at(100))
    worker(last_seen_at=at(100))
    named, unnamed = (leased_task(machine, time_budget_seconds=300.0) for _ in range(2))
    assert beat(machine, 10, named) == 30.0
    # Also that of a lease which this heartbeat, of a run that just ended, did not name.
    assert expiry(named) == expiry(unnamed) == at(145)
    assert lease_time(machine) == LONG


@pytest.mark.usefixtures("few_heartbeats")
def test_a_lease_that_ran_out_is_not_revived_by_a_longer_one() -> None:
    machine = worker(last_seen_at=at(100))
    worker(last_seen_at=at(100))
    gone = leased_task(machine)
    assert beat(machine, 46) == 30.0
    assert expiry(gone) == at(45)


@pytest.mark.usefixtures("few_heartbeats")
def test_a_longer_lease_does_not_outlast_the_deadline() -> None:
    machine = worker(last_seen_at=at(100))
    worker(last_seen_at=at(100))
    attempt = leased_task(machine, time_budget_seconds=1.0)
    beat(machine, 10, attempt)
    assert expiry(attempt) == Task.objects.get().deadline_at == at(136)


def test_a_shorter_interval_is_told_while_leases_last_long_until_the_next_heartbeat() -> None:
    machine = worker(last_seen_at=NOW, lease_time=LONG)
    attempt = leased_task(machine, time_budget_seconds=300.0)
    assert beat(machine, 20, attempt) == 10.0
    assert expiry(attempt) == at(155)
    assert lease_time(machine) is None
    assert beat(machine, 30, attempt) == 10.0
    assert expiry(attempt) == at(155)
    assert beat(machine, 120, attempt) == 10.0
    assert expiry(attempt) == at(165)


def test_a_claim_tells_the_pace_of_the_last_heartbeat() -> None:
    machine = worker(last_seen_at=NOW, lease_time=LONG)
    active_campaign(time_budget_seconds=300.0)
    stale = Worker(pk=machine.pk, name=machine.name)
    claim = lifecycle.claim(stale, claim_id=uuid.uuid4(), count=1, now=NOW)
    reply = claim_reply(claim, 1, NOW)
    assert reply["heartbeat_seconds"] == 30.0
    assert reply["leases"][0]["lease_seconds"] == 135.0
    assert expiry(claim.attempts[0]) == at(135)


@pytest.mark.usefixtures("few_heartbeats")
def test_a_persons_own_program_keeps_the_settings_pace() -> None:
    machine = worker(last_seen_at=NOW, is_program=True)
    worker(last_seen_at=NOW)
    assert beat(machine, 0) == 10.0
    assert lease_time(machine) is None


@pytest.mark.postgresql_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("few_heartbeats")
def test_a_heartbeat_does_not_wait_for_a_lease_that_is_locked_to_tell_a_longer_interval() -> None:
    machine = worker(last_seen_at=at(100))
    worker(last_seen_at=at(100))
    attempt = leased_task(machine, time_budget_seconds=300.0)
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=attempt.task_id)
        assert in_parallel([lambda: beat(machine, 10)]) == [10.0]
    assert lease_time(machine) is None
    assert beat(machine, 20, attempt) == 30.0
    assert expiry(attempt) == at(155)


# --- a fleet that grows and shrinks ---------------------------------------------------------------

CROWD = 10_000
# At these seconds so many workers of the crowd are online.
SIZES = {0: 10, 60: 6_000, 120: 10_000, 300: 10_000, 420: 3_000, 480: 10}


@dataclass
class SimulatedAgent:
    """Sends heartbeats as agents do: at the interval told last, with jitter, from the last one."""

    worker: Worker
    chance: random.Random
    loses_answers: bool
    interval: float = 10.0
    lease_seconds: float = 45.0
    last_beat: float = 0.0
    next_beat: float = 0.0
    next_claim: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    least_share: float = 1.0
    intervals: set[float] = field(default_factory=set)

    def claim(self, second: float) -> None:
        self.next_claim = second + self.chance.uniform(5.0, 40.0)
        waiting = len(self.attempts) < 3
        claim = lifecycle.claim(
            self.worker, claim_id=uuid.uuid4(), count=int(waiting), now=at(second)
        )
        self.attempts += claim.attempts
        self.listen(claim.pace.heartbeat_seconds, claim.pace.lease_seconds)

    def beat(self, second: float) -> None:
        self.look(second)
        self.worker.refresh_from_db()
        for attempt in self.attempts:
            lifecycle.renew(self.worker, attempt.lease_id, now=at(second))
        pace = lifecycle.next_pace(self.worker, now=at(second))
        self.last_beat = second
        if self.loses_answers and self.chance.random() < 0.3:
            self.listen(self.interval, self.lease_seconds)
        else:
            self.listen(pace.heartbeat_seconds, pace.lease_seconds)

    def listen(self, interval: float, lease_seconds: float) -> None:
        self.interval, self.lease_seconds = interval, lease_seconds
        self.intervals.add(interval)
        self.next_beat = self.last_beat + interval * self.chance.uniform(0.9, 1.1)

    def look(self, second: float) -> None:
        """Note how much of its time is left to a lease just before it is renewed."""
        held = Task.objects.filter(worker=self.worker, state=TaskState.LEASED)
        assert held.count() == len(self.attempts)
        for expires_at in held.values_list("lease_expires_at", flat=True):
            left = (expires_at - at(second)).total_seconds()
            self.least_share = min(self.least_share, left / self.lease_seconds)


def crowd() -> list[int]:
    rows = [
        Worker(name=f"crowd-{number}", token_hash=f"{number:064}", enrolled_at=NOW)
        for number in range(CROWD)
    ]
    return [row.pk for row in Worker.objects.bulk_create(rows, batch_size=500)]


def put_online(first: int, number: int) -> None:
    """Let so many of the crowd have called at the end of the test, and the others long ago."""
    Worker.objects.filter(pk__gte=first, pk__lt=first + number).update(last_seen_at=at(1_000))
    Worker.objects.filter(pk__gte=first + number).exclude(last_seen_at=None).update(
        last_seen_at=at(-1_000)
    )


@pytest.mark.long
@pytest.mark.parametrize(("loses_answers", "least"), [(False, 0.5), (True, 0.0)])
def test_no_lease_of_the_living_runs_out_while_a_fleet_grows_to_10000_and_shrinks(
    loses_answers: bool, least: float
) -> None:
    chance = random.Random(5)
    active_campaign(60, time_budget_seconds=3_000.0)
    agents = [
        SimulatedAgent(factories.worker(f"agent-{number}"), chance, loses_answers)
        for number in range(4)
    ]
    first = min(crowd())
    sizes = dict(SIZES)
    while (second := min(min(agent.next_beat, agent.next_claim) for agent in agents)) < 600:
        while sizes and next(iter(sizes)) <= second:
            put_online(first, sizes.pop(next(iter(sizes))))
        for agent in agents:
            if agent.next_claim == second:
                agent.claim(second)
            elif agent.next_beat == second:
                agent.beat(second)
        assert lifecycle.expire(now=at(second)) == 0
    for agent in agents:
        assert agent.least_share >= least
        assert {10.0, 15.0, 20.0} <= agent.intervals
        assert agent.interval == 10.0
        assert len(agent.attempts) == 3
