"""How large a search space is, and what its constraints cut away. Pure.

`SearchSpace.draw` returns only points that keep the constraints. Here points are drawn without
them, so that the shares say how much of the space each constraint rejects.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.search.constraints import Constraint
from campaigns.search.parameters import FloatParameter
from campaigns.search.samplers import Params, grid_levels, level_count, point_at
from campaigns.search.space import SearchSpace
from campaigns.search.steps import SURVEY_STEPS

# A space of at most this many points is checked completely.
MAX_COUNTED: Final = 2_000
# A larger space, or one with a float, is checked at a sample of this size; at a smaller one where
# the constraints are long.
SAMPLED: Final = 1_000
EXAMPLES: Final = 2


@dataclass(frozen=True)
class Rejection:
    """What one constraint rejects, with a few examples of the values that break it."""

    text: str
    count: int
    share: float
    examples: list[list[tuple[str, Any]]]


@dataclass(frozen=True)
class Survey:
    """The size of a space and the part of it that the constraints leave."""

    # Combinations of the countable parameters; the whole grid when no parameter is continuous.
    combinations: int
    # Continuous parameters: name, width, and whether the width is in decades of a log scale.
    ranges: list[tuple[str, float, bool]]
    looked_at: int
    kept: int
    is_exact: bool
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def rejected_share(self) -> float:
        """The share of the points looked at that break at least one constraint."""
        return 1 - self.kept / self.looked_at

    @property
    def kept_points(self) -> int:
        """Points of the grid that keep the constraints: counted, or estimated from the sample."""
        # In whole numbers: 64 wide parameters have more combinations than a float can hold.
        return (2 * self.combinations * self.kept + self.looked_at) // (2 * self.looked_at)


def survey(space: SearchSpace) -> Survey:
    """Measure a space: check all of its points if they are few, otherwise a fixed sample."""
    combinations, ranges = 1, []
    for name, parameter in space.parameters.items():
        if isinstance(parameter, FloatParameter):
            low, high = parameter.low, parameter.high
            # Not log10(high / low): the quotient may be larger than a float can be.
            width = math.log10(high) - math.log10(low) if parameter.log else high - low
            ranges.append((name, width, parameter.log))
        else:
            combinations *= level_count(name, parameter)
    is_exact, points = _looked_at(space, None if ranges else combinations)
    broken_by = [
        [point for point in points if not constraint.holds(point)]
        for constraint in space.constraints
    ]
    broken = {id(point) for broken_points in broken_by for point in broken_points}
    return Survey(
        combinations,
        ranges,
        looked_at=len(points),
        kept=len(points) - len(broken),
        is_exact=is_exact,
        rejections=[
            _rejection(constraint, broken_points, len(points))
            for constraint, broken_points in zip(space.constraints, broken_by, strict=True)
        ],
    )


def kept_points(space: SearchSpace) -> list[Params]:
    """Return the points that `survey` looks at and that keep every constraint."""
    countable = not any(isinstance(it, FloatParameter) for it in space.parameters.values())
    levels = space.parameters.items() if countable else ()
    combinations = math.prod(level_count(name, parameter) for name, parameter in levels)
    _, points = _looked_at(space, combinations if countable else None)
    return [
        point
        for point in points
        if all(constraint.holds(point) for constraint in space.constraints)
    ]


def _looked_at(space: SearchSpace, combinations: int | None) -> tuple[bool, list[Params]]:
    """Return whether all points can be looked at, and which; None: they cannot be counted."""
    affordable = max(1, SURVEY_STEPS // space.point_steps)
    if combinations is not None and combinations <= min(MAX_COUNTED, affordable):
        levels = grid_levels(space)
        return True, [point_at(levels, index) for index in range(combinations)]
    return False, _sample(space, min(SAMPLED, affordable))


def _sample(space: SearchSpace, size: int) -> list[Params]:
    # Always the same sample: the figures must not change while somebody edits a name.
    rng = random.Random(0)  # noqa: S311 - sampling, not secrecy
    return [
        {name: parameter.draw(rng) for name, parameter in space.parameters.items()}
        for _ in range(size)
    ]


def _rejection(constraint: Constraint, rejected: list[Params], looked_at: int) -> Rejection:
    examples: list[list[tuple[str, Any]]] = []
    for point in rejected:
        # Only the parameters of the constraint: points that differ elsewhere are one example.
        values = [(name, value) for name, value in point.items() if name in constraint.names]
        if values not in examples:
            examples.append(values)
        if len(examples) == EXAMPLES:
            break
    return Rejection(constraint.text, len(rejected), len(rejected) / looked_at, examples)
