"""How much the value of one point of the search space varies with the seed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.models import Task

# At most this many seeds of a point are read; a mean needs no more.
MAX_SEEDS: Final = 200


@dataclass(frozen=True)
class Spread:
    """The tasks of one campaign with the same params, and their measured values, rising."""

    tasks: Sequence[Task]
    values: Sequence[float]

    @property
    def mean(self) -> float | None:
        """The mean in the unit of the metric; None without a value."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation in that unit; None with fewer than two values."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def of_points(tasks: Iterable[Task]) -> dict[int, Spread]:
    """Return the spread at the point of each task, by the task's primary key. One query."""
    points = {task.pk: (task.campaign_id, task.params_sha256) for task in tasks}
    by_point: dict[tuple[int, str], list[Task]] = {point: [] for point in points.values()}
    siblings = (
        Task.objects.filter(
            campaign_id__in={campaign for campaign, _ in by_point},
            params_sha256__in={digest for _, digest in by_point},
        )
        .select_related("result")
        .defer("params", "result__metrics")
        .order_by("number")
    )
    for sibling in siblings[: MAX_SEEDS * max(1, len(by_point))]:
        point = (sibling.campaign_id, sibling.params_sha256)
        # The query filters campaigns and digests separately, so it also returns other pairs.
        if point in by_point:
            by_point[point].append(sibling)
    return {pk: _spread(by_point[point]) for pk, point in points.items()}


def _spread(tasks: Sequence[Task]) -> Spread:
    results = [task.result for task in tasks if hasattr(task, "result")]
    values = [result.value for result in results if result.is_ranked and result.value is not None]
    return Spread(tasks, sorted(values))
