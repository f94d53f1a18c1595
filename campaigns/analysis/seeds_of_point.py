"""How far the value of one point of the search space moves with the seed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.models import Task

# The seeds of one point that are listed; a mean needs no more.
MAX_SEEDS: Final = 200


@dataclass(frozen=True)
class Spread:
    """The measured values of the tasks that share a campaign and params."""

    tasks: Sequence[Task]
    values: Sequence[float]

    @property
    def mean(self) -> float | None:
        """Mean in bits per byte, None without a value."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation in bits per byte, None with fewer than two values."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def of_points(tasks: Iterable[Task]) -> dict[int, Spread]:
    """Return the spread at the point of each task, by the task's pk. One query."""
    wanted = {task.pk: (task.campaign_id, task.params_sha256) for task in tasks}
    found: dict[tuple[int, str], list[Task]] = {point: [] for point in wanted.values()}
    siblings = (
        Task.objects.filter(
            campaign_id__in={campaign for campaign, _ in found},
            params_sha256__in={digest for _, digest in found},
        )
        .select_related("result")
        .defer("params", "result__metrics")
        .order_by("number")
    )
    for sibling in siblings[: MAX_SEEDS * max(1, len(found))]:
        point = (sibling.campaign_id, sibling.params_sha256)
        # Campaigns and digests are asked for apart: a pair may be one that nobody wanted.
        if point in found:
            found[point].append(sibling)
    return {pk: _spread(found[point]) for pk, point in wanted.items()}


def _spread(tasks: Sequence[Task]) -> Spread:
    results = [task.result for task in tasks if hasattr(task, "result")]
    return Spread(
        tasks, sorted(r.val_bpb for r in results if r.is_ranked and r.val_bpb is not None)
    )
