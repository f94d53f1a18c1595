"""Which parameters tell the best runs from the others, and how far that can be believed.

The estimate is Optuna's PED-ANOVA. Its shares sum to 1, also when nothing matters, so two things
stand beside each: the middle 90 % of what resampled results give (bootstrap), and what shuffled
results give (chance, on the scale of the estimate: it may sum to more than 1).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from campaigns.analysis.axes import Axis
from campaigns.analysis.runs import Run

MIN_RESULTS: Final = 20
MIN_PER_LEVEL: Final = 3
RESAMPLES: Final = 40
# Chance beats the highest of them once in a hundred times, for each parameter.
SHUFFLES: Final = 99
# More runs narrow the intervals little, and cost time with each resample.
MAX_RUNS: Final = 800
# PED-ANOVA compares the best tenth with all, and wants at least five runs in it.
TARGET_QUANTILE: Final = 0.1
MIN_BEST: Final = 5


@dataclass(frozen=True)
class ParameterImportance:
    """Shares of 1: the estimate, the middle 90 % of resamples, and what chance reaches."""

    name: str
    share: float
    low: float
    high: float
    by_chance: float

    @property
    def stands_out(self) -> bool:
        """Whether the estimate is above what any shuffle of the results gave."""
        return self.share > self.by_chance


@dataclass(frozen=True)
class Importance:
    """The parameters, most important first; none of them while there are too few results."""

    parameters: list[ParameterImportance]
    results: int
    used: int
    target_quantile: float
    warnings: list[str] = field(default_factory=list)

    @property
    def is_enough(self) -> bool:
        return self.results >= MIN_RESULTS


def importance(axes: Sequence[Axis], runs: Sequence[Run], *, seed: int = 0) -> Importance:
    """Estimate the importance of each parameter for reaching the lowest val_bpb.

    The same runs and seed give the same answer. Runs with a value outside the search space are
    left out.
    """
    quantile = max(TARGET_QUANTILE, min(0.5, MIN_BEST / max(1, len(runs))))
    if len(runs) < MIN_RESULTS or not axes:
        return Importance([], len(runs), 0, quantile)
    from campaigns.analysis import ped_anova

    rng = random.Random(seed)  # noqa: S311 - resampling, not secrecy
    used = list(runs) if len(runs) <= MAX_RUNS else rng.sample(list(runs), MAX_RUNS)
    space = ped_anova.distributions(axes)
    rows = [
        (params, run.val_bpb)
        for run in used
        if (params := ped_anova.encoded(axes, run)) is not None
    ]
    if len(rows) < MIN_RESULTS:
        return Importance([], len(rows), 0, quantile)
    points, values = [row[0] for row in rows], [row[1] for row in rows]
    estimate = ped_anova.importances(space, points, values, quantile)
    total = sum(estimate.values()) or 1.0
    resampled = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(rows, k=len(rows))
        one = ped_anova.importances(space, [r[0] for r in drawn], [r[1] for r in drawn], quantile)
        resampled.append(_normalised(one))
    shuffled = [
        ped_anova.importances(space, points, rng.sample(values, len(values)), quantile)
        for _ in range(SHUFFLES)
    ]
    parameters = [
        ParameterImportance(
            name=name,
            share=found / total,
            low=_quantile([one[name] for one in resampled], 0.05),
            high=_quantile([one[name] for one in resampled], 0.95),
            by_chance=max(one[name] for one in shuffled) / total,
        )
        for name, found in estimate.items()
    ]
    parameters.sort(key=lambda one: -one.share)
    return Importance(parameters, len(runs), len(rows), quantile, thin_levels(axes, runs))


def _normalised(importances: dict[str, float]) -> dict[str, float]:
    total = sum(importances.values()) or 1.0
    return {name: one / total for name, one in importances.items()}


def thin_levels(axes: Sequence[Axis], runs: Sequence[Run]) -> list[str]:
    """Name the levels with fewer than `MIN_PER_LEVEL` runs, one sentence per parameter."""
    found = []
    for axis in axes:
        if not axis.levels:
            continue
        counts = [0] * len(axis.levels)
        for run in runs:
            position = axis.position(run.params.get(axis.name))
            if position is not None:
                counts[int(position)] += 1
        thin = [
            f"{axis.cell_label(number)} ({count})"
            for number, count in enumerate(counts)
            if count < MIN_PER_LEVEL
        ]
        if thin:
            named = ", ".join(thin[:5]) + (f" and {len(thin) - 5} more" if len(thin) > 5 else "")
            found.append(
                f"{axis.name} has levels with fewer than {MIN_PER_LEVEL} runs: {named}. "
                "What is said of them may be chance."
            )
    return found


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie, interpolated."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
