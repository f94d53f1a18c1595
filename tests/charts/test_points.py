"""campaigns.charts.points: the points of the best-so-far chart, their order and their sample."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.charts.points import chart_points
from tests.factories import active_campaign, at, claim_one, fail, run, worker

pytestmark = pytest.mark.django_db


def test_ended_tasks_come_in_order_of_time_and_records_are_marked() -> None:
    running = active_campaign(7, max_failed_attempts=1, allow_simulated=True)
    run(3.0, seconds=1)
    run(1.0, seconds=2, simulated=True)
    run(3.5, seconds=3)
    run(None, seconds=4)
    fail(claim_one(worker(), now=at(5)), now=at(5))
    run(2.5, seconds=6)
    lifecycle.cancel(running, now=at(7))

    drawn = chart_points(running, simulated=True)

    assert [(point.number, point.value, point.is_record) for point in drawn.points] == [
        (0, 3.0, True),
        (1, 1.0, False),
        (2, 3.5, False),
        (3, None, False),
        (4, None, False),
        (5, 2.5, True),
    ]
    assert [point.order for point in drawn.points] == [1, 2, 3, 4, 5, 6]
    assert [point.simulated for point in drawn.points] == [False, True, *[False] * 4]
    assert [point.is_ranked for point in drawn.points] == [True, False, True, False, False, True]
    assert drawn.points[4].failure_class == "script_error"
    assert [point.finished_at for point in drawn.points] == [at(seconds) for seconds in range(1, 7)]
    assert not drawn.is_sample


def test_simulated_results_are_left_out_unless_asked_for() -> None:
    running = active_campaign(2, allow_simulated=True)
    run(1.0, simulated=True)
    run(3.0)
    assert [point.value for point in chart_points(running, simulated=False).points] == [3.0]


def test_a_sample_keeps_every_record_and_the_newest_task() -> None:
    running = active_campaign(30)
    for number in range(30):
        run(2.0 if number == 13 else 3.0 + number / 100, seconds=number + 1)
    drawn = chart_points(running, simulated=False, most=8)
    assert (len(drawn.points), drawn.total, drawn.is_sample) == (8, 30, True)
    assert [point.number for point in drawn.points if point.is_record] == [0, 13]
    assert drawn.points[-1].number == 29
    numbers = [point.number for point in drawn.points]
    assert numbers == sorted(numbers)
    gaps = [after - before for before, after in pairwise(numbers)]
    assert max(gaps) <= 6


def test_a_campaign_that_only_gets_better_is_still_bounded() -> None:
    running = active_campaign(20)
    for number in range(20):
        run(4.0 - number / 100, seconds=number + 1)
    drawn = chart_points(running, simulated=False, most=6)
    assert len(drawn.points) <= 6
    assert drawn.points[-1].value == pytest.approx(3.81)


def test_one_query_however_many_tasks(django_assert_num_queries: Any) -> None:
    running = active_campaign(9)
    for second in range(6):
        run(seconds=second)
    with django_assert_num_queries(1):
        assert len(chart_points(running, simulated=False, most=4).points) == 4
