"""The ended tasks that the best-so-far chart draws: all of them, or a sample of very many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Case, Count, F, Min, Q, QuerySet, RowRange, When, Window
from django.db.models.functions import Mod, RowNumber

from campaigns.models import Campaign, Task, TaskState

# A browser draws this many without delay, and a person could not distinguish more.
MOST_POINTS: Final = 2_000


@dataclass(frozen=True)
class Point:
    """One ended task. `order` counts the tasks from 1 in the order in which they ended."""

    number: int
    order: int
    finished_at: dt.datetime
    failure_class: str
    # In the unit of the campaign's metric.
    value: float | None
    device: str
    is_ranked: bool
    simulated: bool
    # Better than models reach: drawn like a task without a value.
    implausible: bool
    # Whether it is better than every measured value before it.
    is_record: bool


@dataclass(frozen=True)
class ChartPoints:
    """The points to draw, in the order they ended, and the number of all ended tasks."""

    points: list[Point]
    total: int

    @property
    def is_sample(self) -> bool:
        return len(self.points) < self.total


def chart_points(campaign: Campaign, *, simulated: bool, most: int = MOST_POINTS) -> ChartPoints:
    """Return at most `most` ended tasks: the records, and a sample of the others, evenly spaced.

    If there are very many records, they are thinned out too. Simulated results are left out unless
    `simulated`. One query passes over all ended tasks; call it through the cache.
    """
    tasks = campaign.tasks.filter(state__in=[TaskState.COMPLETED, TaskState.FAILED])
    if not simulated:
        # Keep failed tasks, which have no result.
        tasks = tasks.filter(Q(result__isnull=True) | Q(result__simulated=False))
    # Read twice as many as wanted, and thin them out below: that keeps the spacing even.
    rows = list(_drawn(tasks, 2 * most).values(*_FIELDS, "total"))
    points = [
        Point(
            number=row["number"],
            order=row["order"],
            finished_at=row["finished_at"],
            failure_class=row["failure_class"],
            value=None if row["result__implausible"] else row["result__value"],
            device=row["result__device_used"] or "",
            is_ranked=bool(row["result__is_ranked"]),
            simulated=bool(row["result__simulated"]),
            implausible=bool(row["result__implausible"]),
            is_record=bool(row["is_record"]),
        )
        for row in rows
    ]
    records = _evenly([point for point in points if point.is_record], most // 2)
    rest = _evenly([point for point in points if not point.is_record], most - len(records))
    drawn = sorted([*records, *rest], key=lambda point: point.order)
    return ChartPoints(drawn, rows[0]["total"] if rows else 0)


_FIELDS: Final = (
    "number",
    "order",
    "finished_at",
    "failure_class",
    "result__value",
    "result__device_used",
    "result__is_ranked",
    "result__simulated",
    "result__implausible",
    "is_record",
)


def _drawn(tasks: QuerySet[Task], most: int) -> QuerySet[Task]:
    """Keep the records and about `most` other tasks, evenly spaced, including the last one."""
    in_order = [F("finished_at"), F("pk")]
    ranked_key = Case(When(result__is_ranked=True, then="result__sort_key"))
    numbered = tasks.order_by(*in_order).annotate(
        order=Window(RowNumber(), order_by=in_order),
        total=Window(Count("*")),
        ranked_key=ranked_key,
        best_before=Window(Min(ranked_key), order_by=in_order, frame=RowRange(start=None, end=-1)),
    )
    is_record = Q(ranked_key__isnull=False) & (
        Q(best_before__isnull=True) | Q(ranked_key__lt=F("best_before"))
    )
    # Below `most` for each task at which `order * most / total` passes a whole number.
    step = Mod(F("order") * most, F("total"))
    marked = numbered.annotate(is_record=Case(When(is_record, then=True), default=False), step=step)
    return marked.filter(Q(is_record=True) | Q(step__lt=most))


def _evenly(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most `most` points, evenly spaced, including the last one."""
    if len(points) <= most:
        return list(points)
    return [points[len(points) * number // most - 1] for number in range(1, most + 1)]
