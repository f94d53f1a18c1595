"""How values spread: the distribution of all, repeats of one config, and what goes with what."""

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
    task_ids: list[int]
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
    """Return the configs that ran at least twice, the best mean first."""
    by_config: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_config[run.params_sha256].append(run)
    repeated = [
        Replicates(same[0].params, [run.task_id for run in same], [run.val_bpb for run in same])
        for same in by_config.values()
        if len(same) > 1
    ]
    return sorted(repeated, key=lambda one: one.mean)


def pooled_deviation(groups: Sequence[Replicates]) -> float | None:
    """Return the standard deviation between seeds over all configs; None without repeats."""
    free = sum(group.count - 1 for group in groups)
    if not free:
        return None
    return math.sqrt(sum((group.count - 1) * group.deviation**2 for group in groups) / free)


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, -1 to 1; None where one side does not vary."""
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    return statistics.correlation(_ranks(xs), _ranks(ys))


def _ranks(values: Sequence[float]) -> list[float]:
    """Return each value's rank; equal values share the mean of theirs."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    counts = Counter(ordered)
    return [first[value] + (counts[value] - 1) / 2 for value in values]
