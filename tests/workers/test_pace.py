"""workers.pace: how often agents send heartbeats, by the number of workers online."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, at, worker
from workers import fleet_size, lifecycle
from workers.models import Worker, WorkerSession
from workers.pace import Pace, for_fleet, longest, pace_of, usual

LONG = dt.timedelta(seconds=135)


@pytest.mark.parametrize(
    ("workers", "heartbeat", "lease"),
    [
        (0, 10.0, 45.0),
        (5_000, 10.0, 45.0),
        (5_001, 15.0, 67.5),
        (7_501, 20.0, 90.0),
        (10_000, 20.0, 90.0),
        (10_001, 25.0, 112.5),
        (12_501, 30.0, 135.0),
        (1_000_000, 30.0, 135.0),
    ],
)
def test_interval_and_lease_grow_with_the_fleet_in_the_settings_ratio(
    workers: int, heartbeat: float, lease: float
) -> None:
    assert for_fleet(workers).shortest == Pace(heartbeat, lease)


@given(st.integers(0, 15_000))
def test_no_fleet_sends_more_heartbeats_than_the_setting_says(workers: int) -> None:
    assert workers / for_fleet(workers).shortest.heartbeat_seconds <= 500


def test_a_setting_above_the_longest_interval_holds_for_every_fleet(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"HEARTBEAT_SECONDS": 40.0, "LEASE_SECONDS": 120.0}
    assert for_fleet(1_000_000).shortest == for_fleet(0).longest == Pace(40.0, 120.0)


def test_short_durations_have_short_steps(settings: Any) -> None:
    changes = {"HEARTBEAT_SECONDS": 1.0, "LEASE_SECONDS": 4.0, "HEARTBEATS_PER_SECOND": 10.0}
    settings.XEENET = settings.XEENET | changes
    assert for_fleet(10).shortest == Pace(1.0, 4.0)
    assert for_fleet(12).shortest == Pace(1.5, 6.0)
    assert for_fleet(1_000).shortest == Pace(30.0, 120.0)


def test_a_worker_stays_at_its_pace_until_a_much_smaller_fleet_is_online() -> None:
    pace = usual()
    paces = []
    for workers in (5_000, 5_001, 4_999, 4_001, 4_000, 4_001, 5_000):
        pace = for_fleet(workers).nearest(pace)
        paces.append(pace.heartbeat_seconds)
    assert paces == [10.0, 15.0, 15.0, 15.0, 10.0, 10.0, 10.0]


@given(st.integers(0, 20_000), st.lists(st.integers(-300, 300), max_size=6))
def test_processes_that_counted_a_little_differently_do_not_move_a_worker_to_and_fro(
    workers: int, differences: list[int]
) -> None:
    pace = for_fleet(workers).nearest(usual())
    paces = [pace]
    for difference in differences * 2:
        pace = for_fleet(max(0, workers + difference)).nearest(pace)
        if pace != paces[-1]:
            paces.append(pace)
    assert len(paces) <= 2


def test_the_pace_of_a_row_lies_within_the_settings_of_today(settings: Any) -> None:
    assert pace_of(None) == usual() == Pace(10.0, 45.0)
    assert pace_of(LONG) == longest() == Pace(30.0, 135.0)
    settings.XEENET = settings.XEENET | {"LEASE_SECONDS": 40.0}
    assert pace_of(LONG) == Pace(30.0, 120.0)
    settings.XEENET = settings.XEENET | {"HEARTBEAT_SECONDS": 20.0, "LEASE_SECONDS": 200.0}
    assert pace_of(LONG) == Pace(20.0, 200.0)


@pytest.mark.django_db
@pytest.mark.parametrize(("lease_time", "last"), [(None, 45), (LONG, 135), (LONG * 2, 135)])
def test_a_worker_is_online_for_its_own_lease_time(
    lease_time: dt.timedelta | None, last: int
) -> None:
    machine = worker(last_seen_at=NOW, lease_time=lease_time)
    for seconds, online in ((0, True), (last, True), (last + 1, False)):
        assert machine.is_online(at(seconds)) is online
        assert Worker.objects.online(at(seconds)).exists() is online


@pytest.mark.django_db
def test_a_session_ends_after_its_workers_own_lease_time() -> None:
    usual_one, far_one = worker(), worker(lease_time=LONG)
    for machine in (usual_one, far_one):
        WorkerSession.objects.create(
            worker=machine, boot_id="7" * 32, started_at=NOW, last_seen_at=NOW
        )
    open_of = WorkerSession.objects.filter(ended_at=None).values_list("worker", flat=True)
    assert lifecycle.close_silent_sessions(now=at(45)) == 0
    assert lifecycle.close_silent_sessions(now=at(46)) == 1
    assert list(open_of) == [far_one.pk]
    assert lifecycle.close_silent_sessions(now=at(135)) == 0
    assert lifecycle.close_silent_sessions(now=at(136)) == 1


@pytest.mark.django_db
def test_a_loss_pauses_a_worker_for_its_own_lease_time() -> None:
    for lease_time, seconds in ((None, 45), (LONG, 135)):
        machine = worker(lease_time=lease_time)
        lifecycle.pause_after_loss([machine], now=NOW)
        machine.refresh_from_db()
        assert machine.paused_until == at(seconds)


@pytest.mark.django_db
def test_the_fleet_is_counted_once_in_five_seconds(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.XEENET = settings.XEENET | {"HEARTBEATS_PER_SECOND": 0.1}
    for _ in range(2):
        worker(last_seen_at=at(10))
    with django_assert_num_queries(1):
        assert fleet_size.fleet_pace(NOW).shortest.heartbeat_seconds == 20.0
    worker(last_seen_at=at(10))
    with django_assert_num_queries(0):
        assert fleet_size.fleet_pace(at(4.9)).shortest.heartbeat_seconds == 20.0
    with django_assert_num_queries(1):
        assert fleet_size.fleet_pace(at(5)).shortest.heartbeat_seconds == 30.0
