"""Learning curves: bounded in size for a chart, or complete as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from django.db.models import Count, F, Prefetch, Q, Window, prefetch_related_objects
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
    of each attempt, by position: the numbers of the points come from the agents. Two queries for
    any number of attempts.
    """
    total = ProgressPoint.objects.filter(attempt__in=attempts).count() if attempts else 0
    every = -(-total // limit)
    points = ProgressPoint.objects.filter(attempt__in=attempts).order_by("seq")
    if every > 1:
        numbered = points.annotate(
            position=Window(RowNumber(), partition_by="attempt_id", order_by="seq"),
            count=Window(Count("*"), partition_by="attempt_id"),
        )
        drawn = Q(remainder=0) | Q(position=F("count"))
        points = numbered.annotate(remainder=Mod(F("position") - 1, every)).filter(drawn)
    prefetch_related_objects(attempts, Prefetch("progress", points))
    return every > 1
