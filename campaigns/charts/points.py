"""The ended tasks that the hero chart draws: all of them, or a sample of very many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import (
    Case,
    Count,
    F,
    FloatField,
    Min,
    OuterRef,
    Q,
    QuerySet,
    RowRange,
    Subquery,
    Sum,
    When,
    Window,
)
from django.db.models.functions import Coalesce, Mod, RowNumber

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
    of any class without one. One query passes over all ended tasks; call it through the cache.
    """
    # Read twice as many as wanted, and thin them out below: that keeps the spacing even.
    tasks = _drawn(_ended(campaign), result_class, 2 * most)
    read = [_LATER.get(name, name) for name in _FIELDS]
    rows = [
        dict(zip((*_FIELDS, *_BESIDE), row, strict=True))
        for row in tasks.values_list(*read, *_BESIDE)
    ]
    points = [_point(row, result_class) for row in rows]
    records = _evenly([point for point in points if point.is_record], most // 2)
    rest = _evenly([point for point in points if not point.is_record], most - len(records))
    drawn = sorted([*records, *rest], key=lambda point: point.order)
    if not rows:
        return ChartPoints([], 0)
    return ChartPoints(drawn, rows[0]["total"], rows[0]["noise"])


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
    fields = [name for name in _FIELDS if name not in {"order", "is_record", "spent"}]
    rows = list(tasks.annotate(spent=_seconds()).values(*fields, "spent")[:limit])
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
    "order",
    "finished_at",
    "spent",
    "failure_class",
    "last_failed_worker",
    "result__value",
    "result__device_used",
    "result__attempt__worker",
    "result__is_ranked",
    "result__result_class",
    "result__simulated",
    "result__implausible",
    "is_record",
)


_BESIDE: Final = ("record_params", "total", "noise")
# Read of the tasks that are drawn alone: otherwise the database joins and sorts them for all.
_LATER: Final = {"arm__number": "drawn_arm", "result__attempt__worker": "drawn_worker"}


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
        params=row.get("record_params"),
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


def _drawn(tasks: QuerySet[Task], result_class: int | None, most: int) -> QuerySet[Task]:
    """Keep the records and about `most` other tasks, evenly spaced, including the last one."""
    in_order = [F("finished_at"), F("pk")]
    counts = Q(result__is_ranked=True)
    if result_class is not None:
        counts &= Q(result__result_class=result_class)
    key = Case(When(counts, then="result__sort_key"))
    so_far = RowRange(start=None, end=0)
    numbered = tasks.order_by(*in_order).annotate(
        order=Window(RowNumber(), order_by=in_order),
        total=Window(Count("*")),
        key=key,
        best_before=Window(Min(key), order_by=in_order, frame=RowRange(start=None, end=-1)),
        spent=Window(Sum(_seconds()), order_by=in_order, frame=so_far),
    )
    is_record = Q(key__isnull=False) & (Q(best_before__isnull=True) | Q(key__lt=F("best_before")))
    # Below `most` for each task at which `order * most / total` passes a whole number.
    step = Mod(F("order") * most, F("total"))
    floor = NoiseFloor.objects.filter(result_class=result_class).values("sd")
    own = Task.objects.filter(pk=OuterRef("pk")).order_by()
    drawn = is_record | Q(step__lt=most)
    marked = numbered.annotate(
        step=step,
        is_record=Case(When(is_record, then=True), default=False),
        record_params=Case(When(is_record, then=Subquery(own.values("params")))),
        drawn_arm=Case(When(drawn, then=Subquery(own.values("arm__number")))),
        drawn_worker=Case(When(drawn, then=Subquery(own.values("result__attempt__worker")))),
        # Read here, because a query of its own would cost more than the number.
        noise=Subquery(floor[:1]),
    )
    return marked.filter(Q(is_record=True) | Q(step__lt=most))


def _evenly(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most `most` points, evenly spaced, including the last one."""
    if len(points) <= most:
        return list(points)
    return [points[len(points) * number // most - 1] for number in range(1, most + 1)]
