"""Which parameters account for more of the spread than chance does: what all panels claim by.

The values are shuffled over the runs, which makes every parameter meaningless. A parameter counts
only when it explains more than the strongest parameter of nearly all shuffles, so that the number
of parameters does not help. Only the standard library.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

from campaigns.analysis.axes import Axis
from campaigns.analysis.effects import effect_of
from campaigns.analysis.runs import Run, evenly, first_of_arms

SHUFFLES: Final = 199
# Above this many of the shuffles: noise gets there in 5 cases of 200.
ABOVE: Final = 195
# More runs would hardly change which parameters count, and take longer to shuffle.
MAX_RUNS: Final = 800


@dataclass(frozen=True)
class Judgement:
    """The parameters that count, strongest first, each with the share that it explains.

    `by_chance` is the share that shuffled values reach; None with too few runs to judge.
    """

    named: tuple[tuple[str, float], ...]
    by_chance: float | None

    @property
    def names(self) -> frozenset[str]:
        """The names of the parameters that count."""
        return frozenset(name for name, _ in self.named)


def judge(axes: Sequence[Axis], runs: Sequence[Run], *, seed: int = 0) -> Judgement:
    """Judge every parameter; the same runs and seed give the same judgement.

    One run of each arm counts: a config that ran on many seeds says nothing more about its params.
    """
    used = evenly(first_of_arms(runs), MAX_RUNS)
    explained = {axis.name: effect_of(axis, used).explained for axis in axes}
    judged = [
        (explained[axis.name] or 0.0, _Cells(axis, used))
        for axis in axes
        if explained[axis.name] is not None
    ]
    if not judged:
        return Judgement((), None)
    rng = random.Random(seed)  # noqa: S311 - shuffling, not secrecy
    values = [run.value for run in used]
    strongest = []
    for _ in range(SHUFFLES):
        rng.shuffle(values)
        strongest.append(max(cells.explained(values) for _, cells in judged))
    by_chance = sorted(strongest)[ABOVE - 1]
    named = [(cells.name, share) for share, cells in judged if share > by_chance]
    return Judgement(tuple(sorted(named, key=lambda pair: (-pair[1], pair[0]))), by_chance)


class _Cells:
    """The level or bin of each run on one axis, prepared for many shuffles of the values."""

    def __init__(self, axis: Axis, runs: Sequence[Run]) -> None:
        self.name = axis.name
        positions = [axis.position(run.params.get(axis.name)) for run in runs]
        self._is_inside = [position is not None for position in positions]
        self._cells = [axis.cell(position) for position in positions if position is not None]
        self._sizes = [0] * axis.cell_count
        for cell in self._cells:
            self._sizes[cell] += 1
        self._freedom = len(self._cells) - sum(map(bool, self._sizes))

    def explained(self, values: Sequence[float]) -> float:
        """Return the share that `effects.Effect.explained` would have for these values."""
        own = list(compress(values, self._is_inside))
        mean = sum(own) / len(own)
        sums = [0.0] * len(self._sizes)
        total = 0.0
        for cell, value in zip(self._cells, own, strict=True):
            centred = value - mean
            sums[cell] += centred
            total += centred * centred
        if total <= 0.0:
            return 0.0
        pairs = zip(sums, self._sizes, strict=True)
        between = sum(part * part / size for part, size in pairs if size)
        within = max(0.0, total - between)
        return max(0.0, 1 - (within / self._freedom) / (total / (len(own) - 1)))
