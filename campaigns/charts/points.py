"""The ended tasks that the best-so-far chart draws: all of them, or a sample of very many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Case, Count, F, Min, Q, QuerySet, RowRange, When, Window
from django.db.models.functions import Mod, RowNumber

from campaigns.models import Campaign, Task, TaskState

# As many as a person can tell apart, and a browser draws at once.
MOST_POINTS: Final = 2_000


@dataclass(frozen=True)
class Point:
    """One ended task; `order` counts from 1 in the order in which the tasks ended."""

    task_id: int
    number: int
    order: int
    finished_at: dt.datetime
    failure_class: str
    val_bpb: float | None
    device: str
    is_ranked: bool
    simulated: bool
    # Better than every measured value before it.
    is_record: bool


@dataclass(frozen=True)
class ChartPoints:
    """The points to draw, in the order they ended, and how many there are in all."""

    points: list[Point]
    total: int

    @property
    def is_sample(self) -> bool:
        return len(self.points) < self.total


def chart_points(campaign: Campaign, *, simulated: bool, most: int = MOST_POINTS) -> ChartPoints:
    """Return every record and, evenly spaced, as many of the other ended tasks as fit in `most`.

    Simulated results are left out unless asked for. One query passes over the ended tasks and
    brings those to draw; call it through the cache.
    """
    tasks = campaign.tasks.filter(state__in=[TaskState.COMPLETED, TaskState.FAILED])
    if not simulated:
        # Failed tasks have no result, and must stay.
        tasks = tasks.filter(Q(result__isnull=True) | Q(result__simulated=False))
    # Twice as many as wanted: what is evenly thinned once more stays even.
    rows = list(_drawn(tasks, 2 * most).values(*_FIELDS, "total"))
    points = [
        Point(
            task_id=row["pk"],
            number=row["number"],
            order=row["order"],
            finished_at=row["finished_at"],
            failure_class=row["failure_class"],
            val_bpb=row["result__val_bpb"],
            device=row["result__device_used"] or "",
            is_ranked=bool(row["result__is_ranked"]),
            simulated=bool(row["result__simulated"]),
            is_record=bool(row["is_record"]),
        )
        for row in rows
    ]
    records = _evenly([one for one in points if one.is_record], most // 2)
    others = _evenly([one for one in points if not one.is_record], most - len(records))
    drawn = sorted([*records, *others], key=lambda point: point.order)
    return ChartPoints(drawn, rows[0]["total"] if rows else 0)


_FIELDS: Final = (
    "pk",
    "number",
    "order",
    "finished_at",
    "failure_class",
    "result__val_bpb",
    "result__device_used",
    "result__is_ranked",
    "result__simulated",
    "is_record",
)


def _drawn(tasks: QuerySet[Task], most: int) -> QuerySet[Task]:
    """Keep the records and about `most` others, evenly spaced, the last one among them."""
    in_order = [F("finished_at"), F("pk")]
    ranked_value = Case(When(result__is_ranked=True, then="result__val_bpb"))
    numbered = tasks.order_by(*in_order).annotate(
        order=Window(RowNumber(), order_by=in_order),
        total=Window(Count("*")),
        ranked_value=ranked_value,
        best_before=Window(
            Min(ranked_value), order_by=in_order, frame=RowRange(start=None, end=-1)
        ),
    )
    is_record = Q(ranked_value__isnull=False) & (
        Q(best_before__isnull=True) | Q(ranked_value__lt=F("best_before"))
    )
    # Each time `order * most / total` passes a whole number.
    step = Mod(F("order") * most, F("total"))
    marked = numbered.annotate(is_record=Case(When(is_record, then=True), default=False), step=step)
    return marked.filter(Q(is_record=True) | Q(step__lt=most))


def _evenly(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most `most` of the points, evenly spaced, the last one among them."""
    if len(points) <= most:
        return list(points)
    return [points[len(points) * (one + 1) // most - 1] for one in range(most)]
