"""The points of the hero chart as columns of small whole numbers, which JSON writes briefly.

`hero-data.js` reads them. Pure: points in, numbers and letters out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from campaigns.charts.points import Point
from experiments.metrics import MetricSpec
from workers.protocol import FailureClass

# What a point is, in one letter.
COUNTS: Final = "o"
OTHER_CLASS: Final = "c"
SIMULATED: Final = "s"
FAILED: Final = "x"
LOST: Final = "l"
NO_VALUE: Final = "n"
IMPLAUSIBLE: Final = "i"
# Only these have a value to draw: what was invented is nowhere beside what was measured.
PLACED: Final = (COUNTS, OTHER_CLASS)
# Campaigns that took longer than this have their times in whole seconds, others in tenths.
LONG_SECONDS: Final = 3600.0
# Letters of devices; the chart has fewer shapes than that.
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def kind_of(point: Point) -> str:
    """Return the letter of what became of a task."""
    if point.failure_class:
        return LOST if point.failure_class == FailureClass.LOST else FAILED
    if point.implausible:
        return IMPLAUSIBLE
    if point.value is None:
        return NO_VALUE
    if point.simulated:
        return SIMULATED
    return COUNTS if point.counts else OTHER_CLASS


def time_step(points: Sequence[Point], since: dt.datetime) -> float:
    """Return the seconds of a unit in which a campaign's times are written."""
    if not points:
        return 0.1
    last = points[-1]
    span = max(last.spent_seconds, (last.finished_at - since).total_seconds())
    return 1.0 if span > LONG_SECONDS else 0.1


def columns(
    points: Sequence[Point], spec: MetricSpec, *, since: dt.datetime, step: float
) -> dict[str, Any]:
    """Return the points as columns.

    `order` and `number` are differences to the row before (the first to 0), `order` only its first
    number where it counts on by one; `arm` is a difference to the task's number. `at` (seconds
    since `since`) and `spent` (worker time) are differences in units of `step`.
    `value` counts the last decimal of the metric; null without a value that counts. `kind` and
    `device` have a letter for each point, "-" for no device; `devices` are the names of the
    letters, in their order.
    """
    devices = list(dict.fromkeys(point.device for point in points if point.device))
    letters = {name: _LETTERS[min(place, 25)] for place, name in enumerate(devices)}
    orders = [point.order for point in points]
    counts_on = all(after == before + 1 for before, after in pairwise(orders))
    scale = 10**spec.decimals
    return {
        "order": orders[0] if orders and counts_on else _differences(orders),
        "at": _differences(_units(((p.finished_at - since).total_seconds() for p in points), step)),
        "spent": _differences(_units((point.spent_seconds for point in points), step)),
        "value": [_value(point, scale) for point in points],
        "number": _differences([point.number for point in points]),
        "arm": [point.arm - point.number for point in points],
        "kind": "".join(map(kind_of, points)),
        "device": "".join(letters.get(point.device, "-") for point in points),
        "devices": devices,
    }


def _value(point: Point, scale: int) -> int | None:
    if point.value is None or kind_of(point) not in PLACED:
        return None
    return round(point.value * scale)


def _units(seconds: Iterable[float], step: float) -> list[int]:
    """Return times in whole units. They are rounded before differences are taken, so errors never
    add up.
    """
    return [round(number / step) for number in seconds]


def _differences(numbers: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *numbers])]
