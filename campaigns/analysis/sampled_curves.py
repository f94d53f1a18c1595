"""A small sample of a campaign's learning curves, as the background of a single one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from campaigns.analysis.curves import sample
from campaigns.caching import cached_roughly
from campaigns.models import MAX_LOSS, Campaign, ProgressPoint
from campaigns.standings import leaderboard
from experiments.metrics import NATS_PER_BIT, VAL_BPB, MetricSpec

MOST_CURVES: Final = 40
POINTS_OF_A_CURVE: Final = 30
# So many tasks are looked at for curves; not all of them have any.
_TASKS_READ: Final = 120
# Tasks are handed out by number, but they do not end in this order.
_AT_WORK: Final = 64


class Points(NamedTuple):
    """A learning curve: (seconds since the script started, value), each kind for itself.

    The training loss is in bits per byte. A kind has no points when fewer than two were reported.
    """

    values: list[tuple[float, float]]
    losses: list[tuple[float, float]]


def points_of(points: Sequence[ProgressPoint], spec: MetricSpec) -> Points:
    """Return the progress of an attempt as curves, without what no run reaches."""
    most = max(abs(spec.low), abs(spec.high))
    values = [
        (point.elapsed_seconds, point.value)
        for point in points
        if point.value is not None and abs(point.value) <= most
    ]
    losses = [
        (point.elapsed_seconds, point.train_loss / NATS_PER_BIT)
        for point in points
        if point.train_loss is not None and abs(point.train_loss) <= MAX_LOSS
    ]
    # Losses of another unit stand on no common axis with the values.
    if spec.unit != VAL_BPB.unit and len(values) > 1:
        losses = []
    return Points(values if len(values) > 1 else [], losses if len(losses) > 1 else [])


def sampled_curves(campaign: Campaign) -> dict[int, Points]:
    """Return at most `MOST_CURVES` curves of measured results, by the ids of their arms.

    The tasks are evenly spread over the numbers of those that ran.
    """
    return cached_roughly(campaign, "sampled-curves", lambda: _read(campaign))


def _read(campaign: Campaign) -> dict[int, Points]:
    ended = sum(kind.number for kind in leaderboard.kinds(campaign))
    last = min(campaign.tasks_made, ended + _AT_WORK)
    numbers = range(0, last, max(1, last // _TASKS_READ))
    results = campaign.results.filter(is_ranked=True, task__number__in=numbers)
    pairs = list(results.order_by("task__number").values_list("attempt", "arm"))
    # One curve for each arm: seeds of the same params look alike.
    arm_of = {attempt: arm for arm, attempt in {arm: attempt for attempt, arm in pairs}.items()}
    chosen = list(arm_of)[:: max(1, -(-len(arm_of) // MOST_CURVES))]
    read = ProgressPoint.objects.filter(attempt__in=chosen)
    by_attempt: dict[int, list[ProgressPoint]] = {attempt: [] for attempt in sorted(chosen)}
    for point in sample(read, limit=MOST_CURVES * POINTS_OF_A_CURVE) if chosen else ():
        by_attempt[point.attempt_id].append(point)
    spec = campaign.metric_spec
    curves = {arm_of[attempt]: points_of(points, spec) for attempt, points in by_attempt.items()}
    return {arm: points for arm, points in curves.items() if points.values or points.losses}
