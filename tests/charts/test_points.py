"""campaigns.charts.points: the points of the hero chart, their order, time and sample."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.charts.points import chart_points, ended_count, newest_points
from campaigns.models import Attempt, Campaign, Result
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


def _by_hand(campaign: Campaign, result_class: int | None, most: int) -> list[tuple[Any, ...]]:
    """Return (number, order, spent, is a record, params) of what should be drawn."""
    tasks = campaign.tasks.filter(state__in=["completed", "failed"]).order_by("finished_at", "pk")
    spent, best = 0.0, math.inf
    records, rest = [], []
    total = tasks.count()
    for order, task in enumerate(tasks, start=1):
        result = Result.objects.filter(task=task).first()
        tries = [attempt.wall_time_seconds or 0.0 for attempt in task.attempts.all()]
        spent += sum(tries) if result is None else result.wall_time_seconds
        counts = result is not None and result.is_ranked
        if result_class is not None and result is not None:
            counts = counts and result.result_class_id == result_class
        is_record = counts and result is not None and (result.sort_key or 0.0) < best
        if is_record and result is not None:
            best = result.sort_key or 0.0
            records.append((task.number, order, spent, True, task.params))
        elif order * 2 * most % total < 2 * most:
            rest.append((task.number, order, spent, False, None))

    def thinned(points: list[tuple[Any, ...]], wanted: int) -> list[tuple[Any, ...]]:
        if len(points) <= wanted:
            return points
        return [points[len(points) * place // wanted - 1] for place in range(1, wanted + 1)]

    records = thinned(records, most // 2)
    return sorted([*records, *thinned(rest, most - len(records))], key=lambda point: point[1])


def test_the_points_are_those_of_a_walk_over_all_tasks() -> None:
    chance = random.Random(11)
    running = active_campaign(40, max_failed_attempts=1, allow_simulated=True)
    for second in range(1, 37):
        kind = chance.random()
        # Several tasks end at the same moment.
        ends_at = second // 2
        if kind < 0.15:
            fail(claim_one(worker(), now=at(ends_at)), now=at(ends_at))
        else:
            value = None if kind < 0.25 else 4.0 - second / 20 + chance.random()
            seconds = chance.uniform(1.0, 9.0)
            run(value, seconds=ends_at, simulated=kind > 0.9, wall_time_seconds=seconds)
    in_another_class(running.results.filter(is_ranked=True, task__number__in=range(5, 15)))
    classes = running.results.filter(is_ranked=True).values_list("result_class", flat=True)
    for result_class in (None, *set(classes)):
        for most in (7, 12, 36, 100):
            drawn = chart_points(running, result_class=result_class, most=most)
            expected = _by_hand(running, result_class, most)
            points = [
                (point.number, point.order, pytest.approx(point.spent_seconds), point.is_record)
                for point in drawn.points
            ]
            assert points == [point[:4] for point in expected]
            assert [point.params for point in drawn.points] == [point[4] for point in expected]
            assert drawn.total == 36


def test_a_further_query_only_where_not_all_tasks_are_drawn(
    django_assert_num_queries: Any,
) -> None:
    running = active_campaign(9)
    for second in range(6):
        run(seconds=second)
    with django_assert_num_queries(2):
        assert len(chart_points(running, most=4).points) == 4
    with django_assert_num_queries(1):
        assert len(chart_points(running, most=9).points) == 6
