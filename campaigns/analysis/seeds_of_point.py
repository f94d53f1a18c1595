"""How much the value of one point of the search space varies with the seed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.models import Task, TaskPurpose

# At most this many seeds of a point are read; a mean needs no more.
MAX_SEEDS: Final = 200


@dataclass(frozen=True)
class Spread:
    """The tasks of one arm, and their measured values, rising."""

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
    """Return the spread of each task's arm, by the task's primary key. One query."""
    arms = {task.pk: task.arm_id for task in tasks}
    by_arm: dict[int, list[Task]] = {arm_id: [] for arm_id in arms.values()}
    siblings = (
        Task.objects.filter(arm__in=by_arm)
        .select_related("result")
        .defer("params", "result__metrics")
        .order_by("number")
    )
    for sibling in siblings[: MAX_SEEDS * max(1, len(by_arm))]:
        by_arm[sibling.arm_id].append(sibling)
    return {pk: _spread(by_arm[arm_id]) for pk, arm_id in arms.items()}


def _spread(tasks: Sequence[Task]) -> Spread:
    # A replay is no further seed.
    runs = [task for task in tasks if task.purpose != TaskPurpose.REPLAY]
    results = [task.result for task in runs if hasattr(task, "result")]
    values = [result.value for result in results if result.is_ranked and result.value is not None]
    return Spread(tasks, sorted(values))
