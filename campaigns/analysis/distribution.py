"""How values spread: their distribution, configs with several seeds, and rank correlation."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.analysis.runs import Run


def distribution(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the empirical distribution: (value, share of values at or below it), rising."""
    ordered = sorted(values)
    return [(value, number / len(ordered)) for number, value in enumerate(ordered, start=1)]


@dataclass(frozen=True)
class Replicates:
    """One config that ran with several seeds."""

    params: dict[str, Any]
    # Their numbers in the campaign.
    tasks: list[int]
    values: list[float]

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation between seeds (n - 1)."""
        return statistics.stdev(self.values)


def replicates(runs: Sequence[Run]) -> list[Replicates]:
    """Return the configs with at least two runs, the best mean first."""
    by_arm: defaultdict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_arm[run.arm_id].append(run)
    repeated = [group for group in by_arm.values() if len(group) > 1]
    repeated.sort(key=lambda group: statistics.fmean(run.sort_key for run in group))
    return [
        Replicates(group[0].params, [run.number for run in group], [run.value for run in group])
        for group in repeated
    ]


def pooled_deviation(groups: Sequence[Replicates]) -> float | None:
    """Return the standard deviation between seeds, pooled over all configs; None without any."""
    degrees_of_freedom = sum(group.count - 1 for group in groups)
    if not degrees_of_freedom:
        return None
    squares = sum((group.count - 1) * group.deviation**2 for group in groups)
    return math.sqrt(squares / degrees_of_freedom)


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, -1 to 1; None if one side does not vary."""
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    return statistics.correlation(_ranks(xs), _ranks(ys))


def rho_by_chance(count: int, tests: int) -> float:
    """Return the size that the largest of `tests` rank correlations reaches by chance.

    That is, in one of 20 cases, for `count` runs; above 1 when there are too few of them.
    """
    return statistics.NormalDist().inv_cdf(1 - 0.025 / tests) / math.sqrt(max(1, count - 1))


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 0. Equal values get the mean of their ranks."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    counts = Counter(ordered)
    return [first[value] + (counts[value] - 1) / 2 for value in values]
