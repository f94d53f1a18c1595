"""The ended tasks that the hero chart draws: all of them, or a sample of very many."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db.models import (
    Case,
    F,
    FloatField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    When,
)
from django.db.models.functions import Cast, Coalesce

from campaigns.models import Attempt, Campaign, NoiseFloor, Task, TaskState

# A browser draws this many without delay, and a person could not distinguish more.
MOST_POINTS: Final = 2_000


@dataclass(frozen=True)
class Point:
    """One ended task. `order` counts the tasks from 1 in the order in which they ended."""

    number: int
    arm: int
    order: int
    finished_at: dt.datetime
    # Worker time of the tasks that ended up to this one, its own included.
    spent_seconds: float
    failure_class: str
    # In the unit of the campaign's metric.
    value: float | None
    device: str
    # The id of the worker that ran it; None where no run is left to tell.
    worker: int | None
    is_ranked: bool
    # Ranked, and of the class whose results the chart puts in one order.
    counts: bool
    simulated: bool
    # Better than models reach: drawn like a task without a value.
    implausible: bool
    # Whether it is better than every value before it that counts.
    is_record: bool
    # Of a record only; None otherwise.
    params: dict[str, Any] | None = None


@dataclass(frozen=True)
class ChartPoints:
    """The points to draw, in the order they ended, and the number of all ended tasks.

    `noise` is the noise floor of the class that counts, in the unit of its values; None: unknown.
    """

    points: list[Point]
    total: int
    noise: float | None = None

    @property
    def is_sample(self) -> bool:
        return len(self.points) < self.total


def chart_points(
    campaign: Campaign, *, result_class: int | None = None, most: int = MOST_POINTS
) -> ChartPoints:
    """Return at most `most` ended tasks: the records, and a sample of the others, evenly spaced.

    If there are very many records, they are thinned out too. Only results of `result_class` count;
    of any class without one. One query while all tasks can be drawn; otherwise one passes over all
    ended tasks, and one reads those that are drawn. Call it through the cache.
    """
    ended = _ended(campaign)
    if campaign.task_count <= most:
        details = _details(ended, result_class)
        passed = [(row["pk"], row["key"], row["seconds"]) for row in details]
    else:
        keyed = ended.order_by(*_IN_ORDER).annotate(key=_key(result_class), seconds=_seconds())
        passed = list(keyed.values_list("pk", "key", "seconds"))
        details = []
    drawn = _drawn(passed, most)
    if drawn and not details:
        keys = [mark.pk for mark in drawn]
        details = _details(ended.filter(pk__in=keys), result_class)
    by_key = {row["pk"]: row for row in details}
    points = [_point(by_key[mark.pk] | mark.columns, result_class) for mark in drawn]
    return ChartPoints(points, len(passed), details[0]["noise"] if details else None)


def newest_points(
    campaign: Campaign, *, total: int, limit: int, result_class: int | None = None
) -> list[Point]:
    """Return the last `limit` of the campaign's `total` ended tasks, the oldest first.

    Two indexes have their order, so this costs the same however many there are. Of these points
    `spent_seconds` is what the task itself took, and none is marked as a record.
    """
    newest = {"is_record": False, "order": 0}
    with_result = campaign.results.order_by("-created_at", "-pk").values("task")[:limit]
    failed = campaign.tasks.filter(state=TaskState.FAILED).order_by("-finished_at", "-pk")
    keys = [row["task"] for row in with_result]
    keys += failed.values_list("pk", flat=True)[:limit]
    tasks = Task.objects.filter(pk__in=keys, state__in=_ENDED).order_by("-finished_at", "-pk")
    rows = list(tasks.annotate(spent=_seconds()).values(*_FIELDS, "spent")[:limit])
    return [
        _point(row | newest | {"order": total - place}, result_class)
        for place, row in enumerate(rows)
    ][::-1]


def ended_count(campaign: Campaign) -> int:
    """Return how many tasks have ended with a result or failed: the order of the newest."""
    return _ended(campaign).count()


_ENDED: Final = (TaskState.COMPLETED, TaskState.FAILED)
_FIELDS: Final = (
    "number",
    "arm__number",
    "finished_at",
    "failure_class",
    "last_failed_worker",
    "result__value",
    "result__device_used",
    "result__attempt__worker",
    "result__is_ranked",
    "result__result_class",
    "result__simulated",
    "result__implausible",
)
_IN_ORDER: Final = ("finished_at", "pk")
# The id of an ended task, its sort key if it counts, and its worker time.
_Passed = tuple[int, float | None, float]


class _Mark(NamedTuple):
    """A task that is drawn, and what the tasks before it make of it."""

    pk: int
    order: int
    spent: float
    is_record: bool

    @property
    def columns(self) -> dict[str, Any]:
        return {"order": self.order, "spent": self.spent, "is_record": self.is_record}


def _ended(campaign: Campaign) -> QuerySet[Task]:
    return campaign.tasks.filter(state__in=_ENDED)


def _point(row: dict[str, Any], result_class: int | None) -> Point:
    is_ranked = bool(row["result__is_ranked"])
    return Point(
        number=row["number"],
        arm=row["arm__number"],
        order=row["order"],
        finished_at=row["finished_at"],
        spent_seconds=row["spent"] or 0.0,
        failure_class=row["failure_class"],
        value=None if row["result__implausible"] else row["result__value"],
        device=row["result__device_used"] or "",
        worker=row["result__attempt__worker"] or row["last_failed_worker"],
        is_ranked=is_ranked,
        counts=is_ranked and result_class in {None, row["result__result_class"]},
        simulated=bool(row["result__simulated"]),
        implausible=bool(row["result__implausible"]),
        is_record=bool(row["is_record"]),
        params=json.loads(row["params_text"]) if row["is_record"] else None,
    )


def _seconds() -> Case:
    """Return the worker time of a task: the sum of its tries, if it needed more than one."""
    tries = Attempt.objects.filter(task=OuterRef("pk")).order_by().values("task")
    every = Subquery(tries.annotate(seconds=Sum("wall_time_seconds")).values("seconds"))
    first_try = When(
        Q(failed_attempts=0, lost_attempts=0, result__isnull=False),
        then=F("result__wall_time_seconds"),
    )
    return Case(first_try, default=Coalesce(every, 0.0), output_field=FloatField())


def _key(result_class: int | None) -> Case:
    """Return the sort key of a result that counts."""
    counts = Q(result__is_ranked=True)
    if result_class is not None:
        counts &= Q(result__result_class=result_class)
    return Case(When(counts, then="result__sort_key"), output_field=FloatField())


def _details(tasks: QuerySet[Task], result_class: int | None) -> list[dict[str, Any]]:
    """Read all that is drawn of these tasks, in the order in which they ended. One query."""
    floor = NoiseFloor.objects.filter(result_class=result_class).values("sd")
    rows = tasks.order_by(*_IN_ORDER).annotate(
        key=_key(result_class),
        seconds=_seconds(),
        # Few are records: those of the others are never parsed.
        params_text=Cast("params", TextField()),
        # Read here, because a query of its own would cost more than the number.
        noise=Subquery(floor[:1]),
    )
    return list(rows.values("pk", *_FIELDS, "key", "seconds", "params_text", "noise"))


def _drawn(passed: Sequence[_Passed], most: int) -> list[_Mark]:
    """Choose at most `most` of all ended tasks, given in the order in which they ended.

    Beside the records these are every so-manieth of the others.
    """
    # Twice as many as wanted, thinned out below: a few records more then hardly move the others.
    looked_at = 2 * most
    records: list[_Mark] = []
    rest: list[_Mark] = []
    best, spent, total = math.inf, 0.0, len(passed)
    for order, (pk, key, seconds) in enumerate(passed, start=1):
        spent += seconds
        if key is not None and key < best:
            best = key
            records.append(_Mark(pk, order, spent, True))
        elif order * looked_at % total < looked_at:
            rest.append(_Mark(pk, order, spent, False))
    records = _evenly(records, most // 2)
    return sorted([*records, *_evenly(rest, most - len(records))], key=lambda mark: mark.order)


def _evenly(points: Sequence[_Mark], most: int) -> list[_Mark]:
    """Return at most `most` points, evenly spaced, including the last one."""
    if len(points) <= most:
        return list(points)
    return [points[len(points) * number // most - 1] for number in range(1, most + 1)]
