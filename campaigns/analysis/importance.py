"""Which parameters distinguish the best runs from the others, and how reliable that is.

The estimate is Optuna's PED-ANOVA. Its shares always sum to 1, even if no parameter matters, so
each share comes with two others: the middle 90 % of the shares from resampled results (bootstrap),
and the highest share from shuffled results (chance, on the scale of the estimate, 1 at most; these
may sum to more than 1).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from campaigns.analysis.axes import Axis
from campaigns.analysis.chance import judge
from campaigns.analysis.runs import Run, first_of_arms

MIN_RESULTS: Final = 20
MIN_PER_LEVEL: Final = 3
RESAMPLES: Final = 40
# Chance exceeds the highest of 99 shuffles in one case out of 100, for each parameter.
SHUFFLES: Final = 99
# More runs would hardly narrow the intervals, but cost time in each resample.
MAX_RUNS: Final = 800
# PED-ANOVA compares the best tenth of the runs with all, and needs at least five runs in it.
TARGET_QUANTILE: Final = 0.1
MIN_BEST: Final = 5


@dataclass(frozen=True)
class ParameterImportance:
    """The importance of one parameter, as shares of 1.

    The estimate, both ends of the middle 90 % of the resamples, and the most that chance reached.
    """

    name: str
    share: float
    low: float
    high: float
    by_chance: float
    # Whether it accounts for more of the spread than shuffled values do (`analysis.chance`).
    explains: bool = True

    @property
    def stands_out(self) -> bool:
        """Whether it explains, and its estimate is higher than that of every shuffle."""
        return self.explains and self.share > self.by_chance


@dataclass(frozen=True)
class Importance:
    """The parameters, most important first; an empty list while there are too few results."""

    parameters: list[ParameterImportance]
    results: int
    used: int
    target_quantile: float
    warnings: list[str] = field(default_factory=list)

    @property
    def is_enough(self) -> bool:
        return self.results >= MIN_RESULTS


def importance(axes: Sequence[Axis], runs: Sequence[Run], *, seed: int = 0) -> Importance:
    """Estimate the importance of each parameter for reaching the best values.

    Deterministic: the same runs and seed give the same estimate. One run of each arm counts; runs
    with a value outside of the search space are left out.
    """
    runs = first_of_arms(runs)
    quantile = max(TARGET_QUANTILE, min(0.5, MIN_BEST / max(1, len(runs))))
    if len(runs) < MIN_RESULTS or not axes:
        return Importance([], len(runs), 0, quantile)
    from campaigns.analysis import ped_anova

    rng = random.Random(seed)  # noqa: S311 - resampling, not secrecy
    used = runs if len(runs) <= MAX_RUNS else rng.sample(runs, MAX_RUNS)
    space = ped_anova.distributions(axes)
    rows = [
        (params, run.sort_key)
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
        resample = rng.choices(rows, k=len(rows))
        drawn_points, drawn_values = [row[0] for row in resample], [row[1] for row in resample]
        resampled.append(
            _normalised(ped_anova.importances(space, drawn_points, drawn_values, quantile))
        )
    shuffled = [
        ped_anova.importances(space, points, rng.sample(values, len(values)), quantile)
        for _ in range(SHUFFLES)
    ]
    explaining = judge(axes, runs).names
    parameters = [
        ParameterImportance(
            name=name,
            share=share / total,
            low=_quantile([shares[name] for shares in resampled], 0.05),
            high=_quantile([shares[name] for shares in resampled], 0.95),
            # No share is above 1, so a higher mark would say no more and leave the axis.
            by_chance=min(1.0, max(shares[name] for shares in shuffled) / total),
            explains=name in explaining,
        )
        for name, share in estimate.items()
    ]
    parameters.sort(key=lambda parameter: -parameter.share)
    return Importance(parameters, len(runs), len(rows), quantile, thin_levels(axes, runs))


def _normalised(importances: dict[str, float]) -> dict[str, float]:
    total = sum(importances.values()) or 1.0
    return {name: share / total for name, share in importances.items()}


def thin_levels(axes: Sequence[Axis], runs: Sequence[Run]) -> list[str]:
    """Return a sentence for each parameter with levels that have too few runs."""
    sentences = []
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
            sentences.append(
                f"{axis.name} has levels with fewer than {MIN_PER_LEVEL} runs: {named}. "
                "Findings about them may be chance."
            )
    return sentences


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a `share` of the values lies, interpolated."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
