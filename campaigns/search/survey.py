"""How large a search space is, and what its constraints cut away. Pure.

Draws inside `SearchSpace.draw` avoid the constraints; here points are drawn without them, so that
the shares say how much of the space each constraint rejects.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.search.constraints import Constraint
from campaigns.search.samplers import Params, grid_levels, level_count, point_at
from campaigns.search.space import FloatParameter, SearchSpace

# Up to so many points all are looked at; beyond, or with a float, a sample of this size.
MAX_COUNTED: Final = 2_000
SAMPLED: Final = 1_000
EXAMPLES: Final = 2


@dataclass(frozen=True)
class Rejection:
    """What one constraint rejects, with a few examples: the values that it speaks of."""

    text: str
    count: int
    share: float
    examples: list[list[tuple[str, Any]]]


@dataclass(frozen=True)
class Survey:
    """The size of a space and the part of it that the constraints leave."""

    # Points of the parameters that can be counted; the whole grid when there is no range.
    combinations: int
    # Continuous parameters and their widths, in decades where the scale is logarithmic.
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
        return round(self.combinations * self.kept / self.looked_at)


def survey(space: SearchSpace) -> Survey:
    """Measure a space: count its points where they are few, else look at a fixed sample."""
    combinations, ranges = 1, []
    for name, one in space.parameters.items():
        if isinstance(one, FloatParameter):
            width = math.log10(one.high / one.low) if one.log else one.high - one.low
            ranges.append((name, width, one.log))
        else:
            combinations *= level_count(name, one)
    is_exact = not ranges and combinations <= MAX_COUNTED
    if is_exact:
        levels = grid_levels(space)
        points = [point_at(levels, index) for index in range(combinations)]
    else:
        points = _sample(space)
    broken = [[one for one in space.constraints if not one.holds(point)] for point in points]
    return Survey(
        combinations,
        ranges,
        looked_at=len(points),
        kept=sum(not constraints for constraints in broken),
        is_exact=is_exact,
        rejections=[_rejection(one, points, broken) for one in space.constraints],
    )


def _sample(space: SearchSpace) -> list[Params]:
    # Always the same sample: figures must not dance while somebody types a name.
    rng = random.Random(0)  # noqa: S311 - sampling, not secrecy
    return [{n: one.draw(rng) for n, one in space.parameters.items()} for _ in range(SAMPLED)]


def _rejection(
    constraint: Constraint, points: list[Params], broken: list[list[Constraint]]
) -> Rejection:
    rejected = [p for p, found in zip(points, broken, strict=True) if constraint in found]
    # What it speaks of only: two points that differ elsewhere are one example.
    spoken_of = [[(n, v) for n, v in point.items() if n in constraint.names] for point in rejected]
    examples: list[list[tuple[str, Any]]] = []
    for one in spoken_of:
        if len(examples) < EXAMPLES and one not in examples:
            examples.append(one)
    return Rejection(constraint.text, len(rejected), len(rejected) / len(points), examples)
