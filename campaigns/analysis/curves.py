"""Learning curves: bounded in size for a chart, or complete as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db.models import (
    Count,
    F,
    Prefetch,
    Q,
    QuerySet,
    Value,
    Window,
    prefetch_related_objects,
)
from django.db.models.functions import Mod, RowNumber

from campaigns.models import Attempt, ProgressPoint, Task
from xeenet_site.web.csv_text import csv_lines

MAX_CURVE_POINTS: Final = 2000
_COLUMNS: Final = ("seq", "elapsed_seconds", "step", "tokens", "train_loss")


def csv_of(task: Task, *, attempt: int | None = None) -> Iterator[str]:
    """Yield the lines of a CSV file with all progress points of a task, or of one attempt.

    `train_loss` is in nats per byte, as reported. The last column has the name of the campaign's
    metric.
    """
    points = ProgressPoint.objects.filter(attempt__task=task).order_by("attempt__number", "seq")
    if attempt is not None:
        points = points.filter(attempt__number=attempt)
    rows = points.values_list("attempt__number", *_COLUMNS, "value").iterator()
    return csv_lines(("attempt", *_COLUMNS, task.campaign.metric_spec.name), rows)


def load_progress(attempts: Sequence[Attempt], *, limit: int = MAX_CURVE_POINTS) -> bool:
    """Prefetch the attempts' `progress` in order, and return whether it is only a sample.

    If all attempts together have more than `limit` points, keep every k-th point and the last one
    of each attempt, by position: the numbers of the points come from the agents. One query for any
    number of attempts.
    """
    points = sample(ProgressPoint.objects.filter(attempt__in=attempts), limit=limit)
    prefetch_related_objects(attempts, Prefetch("progress", points))
    loaded: Any = [point for attempt in attempts for point in attempt.progress.all()[:1]]
    return any(point.total > limit for point in loaded)


def sample(points: QuerySet[ProgressPoint], *, limit: int) -> QuerySet[Any]:
    """Return about `limit` of these points in the order of each attempt, all if they are fewer.

    `total` of each is how many there are of all attempts together.
    """
    numbered = points.order_by("seq").annotate(
        position=Window(RowNumber(), partition_by="attempt_id", order_by="seq"),
        count=Window(Count("*"), partition_by="attempt_id"),
        total=Window(Count("*")),
    )
    every = (F("total") + Value(limit - 1)) / Value(limit)
    sampled = numbered.annotate(remainder=Mod(F("position") - 1, every))
    return sampled.filter(Q(remainder=0) | Q(position=F("count")))
