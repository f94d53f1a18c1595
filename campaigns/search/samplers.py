"""Samplers: (space, seed, draw) -> params. Pure, so the same campaign draws the same params."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Final

from campaigns.search.parameters import (
    ChoiceParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Value,
)
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.steps import GRID_STEPS

Params = dict[str, Value]
Sampler = Callable[[SearchSpace, int, int], Params]

# A limit, because every point of a grid is checked against the constraints.
MAX_GRID_POINTS: Final = 20_000
# The most tasks that a campaign may have.
MAX_TASKS: Final = 100_000


class UnknownSampler(LookupError):
    """No sampler of this name exists."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no sampler named {name!r}. Known: {', '.join(sorted(SAMPLERS))}."
        )


def random_sampler(space: SearchSpace, seed: int, _draw: int = 0) -> Params:
    """Draw one point with ``random.Random(seed)``; the number of the draw does not matter.

    With the char-LM space this gives exactly the configs of
    `experiments.config_generators.CharLMConfigGenerator`. Raises UnsatisfiableSpace.
    """
    return space.draw(random.Random(seed))


def grid_sampler(space: SearchSpace, _seed: int, draw: int) -> Params:
    """Return the grid's point of this number, the last parameter changing fastest.

    After the last point the grid starts again: a campaign of three times the grid's size runs every
    point on three seeds. Raises UnsatisfiableSpace.
    """
    levels, points = _grid(space.json_text)
    return point_at(levels, points[draw % len(points)])


SAMPLERS: Final[dict[str, Sampler]] = {"random": random_sampler, "grid": grid_sampler}
# Those that visit all points in turn: a part of their draws is no sample of the space.
COVERING: Final = frozenset({"grid"})


def get_sampler(name: str) -> Sampler:
    """Return the sampler of this name. Raises UnknownSampler."""
    try:
        return SAMPLERS[name]
    except KeyError:
        raise UnknownSampler(name) from None


def sample(space: SearchSpace, sampler: str, base_seed: int, draw: int) -> Params:
    """Return the params of a campaign's draw of this number, from 0.

    A draw has a seed of its own, base_seed + draw. It is not the seed on which the params then run.
    Raises UnknownSampler, UnsatisfiableSpace.
    """
    return get_sampler(sampler)(space, base_seed + draw, draw)


def grid_levels(space: SearchSpace) -> dict[str, list[Value]]:
    """Return each parameter's values on the grid, in order. Raises UnsatisfiableSpace."""
    count = 1
    for name, parameter in space.parameters.items():
        count *= level_count(name, parameter)
        if count > MAX_GRID_POINTS:
            raise UnsatisfiableSpace(
                f"The grid has more than {MAX_GRID_POINTS:,} points; use fewer levels, "
                "or the random sampler."
            )
    return {name: _levels(parameter) for name, parameter in space.parameters.items()}


def level_count(name: str, parameter: Parameter) -> int:
    """Return how many values a parameter has on a grid.

    Raises UnsatisfiableSpace when they cannot be counted.
    """
    match parameter:
        case ChoiceParameter():
            return len(parameter.values)
        case IntParameter():
            return (parameter.high - parameter.low) // parameter.step + 1
        case FloatParameter(log=False, decimals=int(decimals)):
            return round((parameter.high - parameter.low) * 10.0**decimals) + 1
    raise UnsatisfiableSpace(
        f"A grid cannot count the values of {name}: make it a choice, give it decimals on a "
        "linear scale, or use the random sampler."
    )


def _levels(parameter: Parameter) -> list[Value]:
    match parameter:
        case ChoiceParameter():
            return list(parameter.values)
        case IntParameter():
            return list(range(parameter.low, parameter.high + 1, parameter.step))
    # A float with decimals: level_count has refused the others.
    decimals = parameter.decimals or 0
    count = round((parameter.high - parameter.low) * 10.0**decimals) + 1
    return [round(parameter.low + step / 10.0**decimals, decimals) for step in range(count)]


def point_at(levels: dict[str, list[Value]], index: int) -> Params:
    """Return the point of this index of the whole grid, the last parameter changing fastest."""
    params: Params = {}
    for name, values in reversed(levels.items()):
        index, level = divmod(index, len(values))
        params[name] = values[level]
    return {name: params[name] for name in levels}


def grid_points(space: SearchSpace) -> tuple[int, ...]:
    """Return the indices of the grid's points that keep every constraint.

    Raises UnsatisfiableSpace for a space without a grid, or when no point is left.
    """
    return _grid(space.json_text)[1]


# Cached, because each task of a campaign needs one point of the same grid.
@lru_cache(maxsize=8)
def _grid(space_json: str) -> tuple[dict[str, list[Value]], tuple[int, ...]]:
    """Return the levels of a space's grid, and the indices that `grid_points` returns."""
    space = SearchSpace.stored(json.loads(space_json))
    levels = grid_levels(space)
    count = math.prod(map(len, levels.values()))
    if count * space.point_steps > GRID_STEPS:
        raise UnsatisfiableSpace(
            f"Checking the {count:,} points of the grid against the constraints takes more than "
            f"{GRID_STEPS:,} steps; use fewer levels, or fewer or shorter constraints."
        )
    points = (dict(zip(levels, values, strict=True)) for values in product(*levels.values()))
    indices = tuple(
        index
        for index, point in enumerate(points)
        if all(constraint.holds(point) for constraint in space.constraints)
    )
    if not indices:
        raise UnsatisfiableSpace("No point of the grid keeps every constraint; loosen them.")
    return levels, indices
