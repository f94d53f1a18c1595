"""Samplers: (space, seed) -> params. Pure, so the same campaign gives the same tasks anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from campaigns.search_space import SearchSpace, Value

Params = dict[str, Value]
Sampler = Callable[[SearchSpace, int], Params]


class UnknownSampler(LookupError):
    """No sampler of this name exists."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no sampler named {name!r}. Known: {', '.join(sorted(SAMPLERS))}."
        )


def random_sampler(space: SearchSpace, seed: int) -> Params:
    """Draw one point with ``random.Random(seed)``.

    With the char-LM space this gives exactly the configs of
    `experiments.config_generators.CharLMConfigGenerator`. Raises UnsatisfiableSpace.
    """
    return space.draw(random.Random(seed))


SAMPLERS: Final[dict[str, Sampler]] = {"random": random_sampler}


def get_sampler(name: str) -> Sampler:
    """Return the sampler of this name. Raises UnknownSampler."""
    try:
        return SAMPLERS[name]
    except KeyError:
        raise UnknownSampler(name) from None


def sample_task(
    space: SearchSpace, sampler: str, base_seed: int, number: int
) -> tuple[int, Params]:
    """Return seed and params of task `number` (from 0): its seed is base_seed + number."""
    seed = base_seed + number
    return seed, get_sampler(sampler)(space, seed)
