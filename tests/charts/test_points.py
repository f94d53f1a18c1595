"""campaigns.charts.points: the points of the hero chart, their order, time and sample."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.charts.points import chart_points, ended_count, newest_points
from campaigns.models import Attempt, Campaign
from tests.factories import (
    active_campaign,
    at,
    claim_one,
    fail,
    finish,
    in_another_class,
    run,
    worker,
)

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

    drawn = chart_points(running)

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


def test_only_results_of_the_wanted_class_count_and_make_records() -> None:
    running = active_campaign(3)
    for second, value in enumerate((3.0, 2.0, 2.5), start=1):
        run(value, seconds=second)
    in_another_class(running.results.filter(value=2.0))
    (kept,) = running.results.filter(value=3.0).values_list("result_class", flat=True)
    points = chart_points(running, result_class=kept).points
    assert [(point.counts, point.is_record) for point in points] == [
        (True, True),
        (False, False),
        (True, True),
    ]
    assert [point.is_record for point in chart_points(running).points] == [True, True, False]


def test_worker_time_adds_up_and_includes_the_tries_that_failed() -> None:
    active_campaign(2, max_failed_attempts=2)
    running = Campaign.objects.get()
    run(3.0, seconds=1, wall_time_seconds=9.5)
    # A failed try of one second, then a result.
    fail(claim_one(worker(), now=at(2)), now=at(2))
    later = at(600)
    finish(claim_one(worker(), now=later), 2.5, now=later)
    first, second = chart_points(running).points
    assert first.spent_seconds == pytest.approx(9.5)
    tries = Attempt.objects.filter(task__number=second.number)
    own = sum(row.wall_time_seconds or 0.0 for row in tries)
    assert tries.count() == 2
    assert second.spent_seconds == pytest.approx(9.5 + own)


def test_the_newest_points_are_those_at_the_end_of_all() -> None:
    running = active_campaign(6, max_failed_attempts=1)
    for second in range(1, 5):
        run(3.0 - second / 10, seconds=second)
    fail(claim_one(worker(), now=at(5)), now=at(5))
    run(2.9, seconds=6)
    everything = chart_points(running).points
    newest = newest_points(running, total=ended_count(running), limit=4)
    assert [point.number for point in newest] == [2, 3, 4, 5]
    for point, same in zip(newest, everything[-4:], strict=True):
        own = same.spent_seconds - everything[same.order - 2].spent_seconds
        assert point.spent_seconds == pytest.approx(own)
        assert point == replace(
            same, is_record=False, params=None, spent_seconds=point.spent_seconds
        )
    assert newest_points(running, total=6, limit=1)[0].order == 6


def test_a_sample_keeps_every_record_and_the_newest_task() -> None:
    running = active_campaign(30)
    for number in range(30):
        run(2.0 if number == 13 else 3.0 + number / 100, seconds=number + 1)
    drawn = chart_points(running, most=8)
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
    drawn = chart_points(running, most=6)
    assert len(drawn.points) <= 6
    assert drawn.points[-1].value == pytest.approx(3.81)


def test_one_query_however_many_tasks(django_assert_num_queries: Any) -> None:
    running = active_campaign(9)
    for second in range(6):
        run(seconds=second)
    with django_assert_num_queries(1):
        assert len(chart_points(running, most=4).points) == 4
