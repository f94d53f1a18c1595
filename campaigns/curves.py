"""Learning curves in bounded size: which progress points of some attempts are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.models import Count, F, Max, Prefetch, Q, prefetch_related_objects

from campaigns.models import Attempt, ProgressPoint

MAX_CURVE_POINTS: Final = 2000


def load_progress(attempts: Sequence[Attempt], *, limit: int = MAX_CURVE_POINTS) -> bool:
    """Load the attempts' `progress`, in order; return whether it is a sample.

    Of more than `limit` points in all, every k-th is kept, and the last of each attempt. Two
    queries, however many attempts.
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
