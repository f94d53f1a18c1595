"""campaigns.charts.hero_columns: points as columns of small numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from campaigns.charts.hero_columns import columns, kind_of, time_step
from campaigns.charts.points import Point
from experiments.metrics import VAL_BPB
from tests.factories import NOW, at


def point(number: int, value: float | None = 3.0, **changes: Any) -> Point:
    fields: dict[str, Any] = {
        "number": number,
        "arm": number,
        "order": number + 1,
        "finished_at": at(60 * number),
        "spent_seconds": 40.0 * number,
        "failure_class": "",
        "value": value,
        "device": "cpu",
        "worker": 1,
        "is_ranked": value is not None,
        "counts": value is not None,
        "simulated": False,
        "implausible": False,
        "is_record": False,
    }
    return Point(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "o"),
        ({"counts": False}, "c"),
        ({"counts": False, "simulated": True}, "s"),
        ({"value": None, "failure_class": "oom"}, "x"),
        ({"value": None, "failure_class": "lost"}, "l"),
        ({"value": None}, "n"),
        ({"value": None, "implausible": True}, "i"),
        ({"value": None, "simulated": True}, "n"),
    ],
    ids=str,
)
def test_each_point_has_a_letter_for_what_became_of_it(changes: dict[str, Any], kind: str) -> None:
    assert kind_of(point(1, **changes)) == kind


def test_columns_hold_differences_and_whole_numbers() -> None:
    points = [
        point(4, 3.21874, order=1),
        point(5, None, order=2, device="", failure_class="oom"),
        point(3, 3.2, order=3, arm=9, device="cuda", finished_at=at(301)),
    ]
    assert columns(points, VAL_BPB, since=NOW, step=1.0) == {
        "order": 1,
        "at": [240, 60, 1],
        "spent": [160, 40, -80],
        "value": [32187, None, 32000],
        "number": [4, 1, -2],
        "arm": [0, 0, 6],
        "kind": "oxo",
        "device": "a-b",
        "devices": ["cpu", "cuda"],
    }


def test_invented_and_implausible_values_are_not_sent() -> None:
    invented = point(1, counts=False, simulated=True)
    written = columns([invented, point(2, None, implausible=True)], VAL_BPB, since=NOW, step=1.0)
    assert (written["value"], written["kind"]) == ([None, None], "si")


def test_orders_of_a_sample_are_differences_too() -> None:
    points = [point(1, order=1), point(2, order=4), point(3, order=9)]
    assert columns(points, VAL_BPB, since=NOW, step=1.0)["order"] == [1, 3, 5]


def test_rounded_times_do_not_drift() -> None:
    points = [point(n, finished_at=at(0.24 * n)) for n in range(100)]
    written = columns(points, VAL_BPB, since=NOW, step=0.1)["at"]
    assert sum(written) == round(0.24 * 99 / 0.1)


def test_long_campaigns_are_written_in_whole_seconds() -> None:
    assert time_step([point(1)], NOW) == 0.1
    assert time_step([point(1, finished_at=at(4000))], NOW) == 1.0
    assert time_step([point(1, spent_seconds=1e5)], NOW) == 1.0
    assert time_step([], NOW) == 0.1


def test_two_thousand_points_take_forty_kilobytes() -> None:
    points = [
        point(n, 2.4 + (n * 7919 % 2000) / 1500, finished_at=at(37.3 * n), spent_seconds=58.4 * n)
        for n in range(2000)
    ]
    step = time_step(points, NOW)
    text = json.dumps(columns(points, VAL_BPB, since=NOW, step=step), separators=(",", ":"))
    assert len(text) <= 40_000
