"""Learning curves: bounded in size for a chart, or complete as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from django.db.models import Count, F, Max, Prefetch, Q, prefetch_related_objects

from campaigns.models import Attempt, ProgressPoint, Task
from xeenet_site.web.csv_text import csv_lines

MAX_CURVE_POINTS: Final = 2000
_COLUMNS: Final = ("seq", "elapsed_seconds", "step", "tokens", "train_loss", "val_bpb")


def csv_of(task: Task, *, attempt: int | None = None) -> Iterator[str]:
    """Yield the lines of a CSV file with all progress points of a task, or of one attempt.

    `train_loss` is in nats per byte, as reported.
    """
    points = ProgressPoint.objects.filter(attempt__task=task).order_by("attempt__number", "seq")
    if attempt is not None:
        points = points.filter(attempt__number=attempt)
    rows = points.values_list("attempt__number", *_COLUMNS).iterator()
    return csv_lines(("attempt", *_COLUMNS), rows)


def load_progress(attempts: Sequence[Attempt], *, limit: int = MAX_CURVE_POINTS) -> bool:
    """Prefetch the attempts' `progress` in order, and return whether it is only a sample.

    If all attempts together have more than `limit` points, keep every k-th point and the last one
    of each attempt. Two queries for any number of attempts.
    """
    rows = (
        ProgressPoint.objects.filter(attempt__in=attempts)
        .order_by()
        .values_list("attempt_id")
        .annotate(count=Count("pk"), last=Max("seq"))
    )
    counted = list(rows) if attempts else []
    every: int = -(-sum(count for _, count, _ in counted) // limit)
    points = ProgressPoint.objects.order_by("seq")
    if every > 1:
        kept = Q(remainder=0)
        for attempt_id, _, last in counted:
            kept |= Q(attempt=attempt_id, seq=last)
        points = points.annotate(remainder=F("seq") % every).filter(kept)
    prefetch_related_objects(attempts, Prefetch("progress", points))
    return every > 1
