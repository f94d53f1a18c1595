"""The ended tasks that the best-so-far chart draws: all of them, or a sample of very many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

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


class _Ended(NamedTuple):
    task_id: int
    finished_at: dt.datetime
    val_bpb: float | None
    is_ranked: bool | None
    simulated: bool | None


def chart_points(campaign: Campaign, *, simulated: bool, most: int = MOST_POINTS) -> ChartPoints:
    """Return every record and, evenly spaced, as many of the other ended tasks as fit in `most`.

    Simulated results are left out unless asked for. One pass over the ended tasks, then one query
    for the details of those kept; call it through the cache.
    """
    ended = _ended(campaign, simulated=simulated)
    records = _records(ended)
    kept_records = _evenly(records, most // 2)
    known = set(records)
    others = [index for index in range(len(ended)) if index not in known]
    kept = sorted([*kept_records, *_evenly(others, most - len(kept_records))])
    details = _details([ended[index].task_id for index in kept])
    points = []
    for index in kept:
        one = ended[index]
        number, failure_class, device = details[one.task_id]
        points.append(
            Point(
                task_id=one.task_id,
                number=number,
                order=index + 1,
                finished_at=one.finished_at,
                failure_class=failure_class,
                val_bpb=one.val_bpb,
                device=device or "",
                is_ranked=bool(one.is_ranked),
                simulated=bool(one.simulated),
                is_record=index in known,
            )
        )
    return ChartPoints(points, len(ended))


def _ended(campaign: Campaign, *, simulated: bool) -> list[_Ended]:
    tasks = campaign.tasks.filter(state__in=[TaskState.COMPLETED, TaskState.FAILED])
    rows = tasks.order_by("finished_at", "pk").values_list(
        "pk", "finished_at", "result__val_bpb", "result__is_ranked", "result__simulated"
    )
    every = (
        _Ended(pk, cast("dt.datetime", at), value, is_ranked, is_simulated)
        for pk, at, value, is_ranked, is_simulated in rows.iterator()
    )
    # Not excluded in the query: failed tasks have no result, and would go with it.
    return [one for one in every if simulated or not one.simulated]


def _records(ended: Sequence[_Ended]) -> list[int]:
    """Return the indexes of the measured results that were the best when they came."""
    found: list[int] = []
    leading: float | None = None
    for index, one in enumerate(ended):
        if not one.is_ranked or one.val_bpb is None:
            continue
        if leading is None or one.val_bpb < leading:
            leading = one.val_bpb
            found.append(index)
    return found


def _evenly(indexes: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the indexes, evenly spaced, the last one among them."""
    if len(indexes) <= most:
        return list(indexes)
    return [indexes[len(indexes) * (one + 1) // most - 1] for one in range(most)]


def _details(tasks: Sequence[int]) -> dict[int, tuple[int, str, str | None]]:
    """Return number, failure class and device of tasks, by id."""
    rows = Task.objects.filter(pk__in=tasks).order_by()
    named = rows.values_list("pk", "number", "failure_class", "result__device_used")
    return {pk: (number, failure, device) for pk, number, failure, device in named}
