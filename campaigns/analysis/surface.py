"""Mean value over two parameters: cells of levels, or a smooth surface over ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from campaigns.analysis.axes import Axis
from campaigns.analysis.runs import Run

if TYPE_CHECKING:
    import numpy as np

GRID: Final = 25
# The surface has a hole where fewer runs than this are nearby, weighted by distance.
MIN_SUPPORT: Final = 1.0


@dataclass(frozen=True)
class Surface:
    """`means[row][column]` at the positions `ys[row]` and `xs[column]`; None without runs nearby.

    `support` has the same shape: the number of runs behind each mean, weighted by distance.
    """

    x_axis: Axis
    y_axis: Axis
    xs: list[float]
    ys: list[float]
    means: list[list[float | None]]
    support: list[list[float]]
    points: list[tuple[float, float, Run]]


def surface(x_axis: Axis, y_axis: Axis, runs: Sequence[Run]) -> Surface:
    """Average the value near each point of a grid over two parameters.

    Along a range, a run is weighted by a Gaussian of its distance (width by Scott's rule). Along
    levels, only runs of the same level count. Without enough runs nearby the mean is None.
    """
    import numpy as np

    points = [
        (x, y, run)
        for run in runs
        if (x := x_axis.position(run.params.get(x_axis.name))) is not None
        and (y := y_axis.position(run.params.get(y_axis.name))) is not None
    ]
    xs, ys = _grid(x_axis), _grid(y_axis)
    near_x = _nearness(x_axis, xs, [x for x, _, _ in points])
    near_y = _nearness(y_axis, ys, [y for _, y, _ in points])
    values = np.array([run.value for _, _, run in points])
    support = near_y @ near_x.T
    sums = (near_y * values) @ near_x.T
    means = [
        [
            float(total / weight) if weight >= MIN_SUPPORT else None
            for total, weight in zip(sum_row, support_row, strict=True)
        ]
        for sum_row, support_row in zip(sums, support, strict=True)
    ]
    return Surface(x_axis, y_axis, xs, ys, means, support.tolist(), points)


def _grid(axis: Axis) -> list[float]:
    if axis.levels:
        return [float(number) for number in range(len(axis.levels))]
    return [axis.at(number / (GRID - 1)) for number in range(GRID)]


def _nearness(
    axis: Axis, grid: Sequence[float], positions: Sequence[float]
) -> np.ndarray[Any, Any]:
    """Return a weight of 0 to 1 for each grid position (row) and run (column)."""
    import numpy as np

    if axis.levels:
        levels = np.array(grid)
        return np.array(levels[:, None] == np.array(positions)[None, :], dtype=float)
    grid_units = np.array([axis.unit(position) for position in grid])
    run_units = np.array([axis.unit(position) for position in positions])
    # Scott's rule in two dimensions, for positions spread evenly over 0 to 1.
    width = 0.29 * max(1, len(positions)) ** (-1 / 6)
    distances = grid_units[:, None] - run_units[None, :]
    weights: np.ndarray[Any, Any] = np.exp(-0.5 * (distances / width) ** 2)
    return weights
