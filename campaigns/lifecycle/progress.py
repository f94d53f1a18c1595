"""Store the progress that agents report, bounded per attempt whatever is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from campaigns.models import Attempt, ProgressPoint
from experiments.metrics import VAL_BPB
from workers.protocol import ProgressPoint as WireProgressPoint

# A chart draws no more. At this number every second point is dropped, so that a long run keeps its
# whole curve: old and new points, the newest ones closer together.
MAX_POINTS_PER_ATTEMPT: Final = 2_000


def store_progress(attempt: Attempt, progress: Sequence[WireProgressPoint], metric: str) -> None:
    """Store the points of an attempt that runs; a point that is sent again is ignored.

    A point comes again when the answer to its heartbeat was lost. `metric` is the name of the
    campaign's metric: a point's value is what it reports under that name.
    """
    if not progress:
        return
    points = [ProgressPoint(attempt=attempt, **_columns(point, metric)) for point in progress]
    ProgressPoint.objects.bulk_create(points, ignore_conflicts=True)
    if may_be_too_many(progress):
        thin_out(attempt)


def may_be_too_many(progress: Sequence[WireProgressPoint]) -> bool:
    """Return whether the attempt that sent these points may have more than a chart draws."""
    # Numbers are unique within an attempt, so below the limit there is nothing to count.
    return max(point["seq"] for point in progress) >= MAX_POINTS_PER_ATTEMPT


def _columns(point: WireProgressPoint, metric: str) -> dict[str, Any]:
    columns: dict[str, Any] = {**point, "value": point.get(metric)}
    columns.pop(VAL_BPB.name, None)  # has no column of its own
    return columns


def thin_out(attempt: Attempt) -> None:
    """Delete every second point when there are too many; the first and the last one stay."""
    stored = list(attempt.progress.order_by("seq").values_list("pk", flat=True))
    if len(stored) > MAX_POINTS_PER_ATTEMPT:
        ProgressPoint.objects.filter(pk__in=stored[1:-1:2]).delete()
