"""The marginal effect of a parameter: the value by level or bin, and how much it explains."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from campaigns.analysis.axes import Axis
from campaigns.analysis.runs import Run

# With fewer runs, the explained share depends more on luck than on the parameter.
MIN_RUNS: Final = 20


@dataclass(frozen=True)
class Cell:
    """The runs of one level or bin. `error` is the mean's standard error, None below 2 runs."""

    label: str
    centre: float
    count: int
    mean: float | None
    error: float | None
    median: float | None


@dataclass(frozen=True)
class Effect:
    """The effect of one parameter, averaged over all others.

    `explained` is the share of the variance of the value that lies between its levels or bins,
    corrected for their number (epsilon squared, never below 0); None with too few runs.
    """

    axis: Axis
    cells: list[Cell]
    explained: float | None


def effect_of(axis: Axis, runs: Sequence[Run]) -> Effect:
    """Return the value by level or bin of one parameter."""
    values: list[list[float]] = [[] for _ in range(axis.cell_count)]
    for run in runs:
        position = axis.position(run.params.get(axis.name))
        if position is not None:
            values[axis.cell(position)].append(run.value)
    cells = [_cell(axis, number, inside) for number, inside in enumerate(values)]
    return Effect(axis, cells, _explained([inside for inside in values if inside]))


def _cell(axis: Axis, number: int, values: Sequence[float]) -> Cell:
    count = len(values)
    return Cell(
        label=axis.cell_label(number),
        centre=axis.cell_centre(number),
        count=count,
        mean=statistics.fmean(values) if values else None,
        error=statistics.stdev(values) / sqrt(count) if count > 1 else None,
        median=statistics.median(values) if values else None,
    )


def _explained(groups: Sequence[Sequence[float]]) -> float | None:
    count = sum(map(len, groups))
    # Each group takes one degree of freedom; the rest must be enough to estimate the noise.
    degrees_of_freedom = count - len(groups)
    if count < MIN_RUNS or len(groups) < 2 or degrees_of_freedom < len(groups):
        return None
    overall = statistics.fmean([value for group in groups for value in group])
    total = sum((value - overall) ** 2 for group in groups for value in group)
    means = [statistics.fmean(group) for group in groups]
    within = sum(
        (value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group
    )
    if total <= 0:
        return 0.0
    return max(0.0, 1 - (within / degrees_of_freedom) / (total / (count - 1)))
