"""What a race shows of each arm: its value over the race seeds, how sure it is, its bad seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from campaigns.race.level import MEDIAN_PRICE, quantile
from campaigns.race.noise import SD_PER_MEDIAN, Noise, Values
from campaigns.race.rows import Run, values_by_arm

# A value this many s.d. above its arm's median is a bad seed.
BAD_SEED: Final = 5.0


@dataclass(frozen=True)
class RaceValue:
    """An arm's race value in sort-key units: the median over its race seeds, never of screening.

    `value` is None when half of the runs are infeasible or none has a value. `half_width` is None
    while the noise is unknown. `n` counts race seeds with a value or an infeasible run. `at_least`
    says that the race stopped before its last seed, so a champion's value is still too good.
    """

    arm: int
    value: float | None
    half_width: float | None
    n: int
    at_least: bool
    bad_seeds: tuple[int, ...]

    @property
    def bad_seeds_text(self) -> str:
        """What stands beside the arm: "1 of 12 seeds fails", or nothing."""
        count = len(self.bad_seeds)
        return f"{count} of {self.n} seeds fail{'s' if count == 1 else ''}" if count else ""


def race_values(
    arms: Iterable[int], seeds: Sequence[int], runs: Iterable[Run], noise: Noise
) -> list[RaceValue]:
    """Return the race value of each arm.

    `seeds` are the race's, `runs` all runs of these arms (those on other seeds do not count),
    `noise` is that of the last decision.
    """
    values = values_by_arm(runs, arms=arms, seeds=seeds)
    sigma = total_sigma(values, noise)
    return [_race_value(arm, row, len(seeds), sigma, noise.df) for arm, row in values.items()]


def total_sigma(values: Values, noise: Noise) -> float | None:
    """Return the s.d. of a run whose seed is not known: noise and the seeds' own shifts together.

    It is never below the noise of the race; None while that is unknown. The smallest deviation of
    each arm is left out: with few seeds the median is one of the values, and deviates by nothing.
    """
    if noise.sigma is None:
        return None
    deviations: list[float] = []
    for row in values.values():
        own = [value for value in row.values() if math.isfinite(value)]
        if len(own) > 1:
            middle = median(own)
            deviations += sorted(abs(value - middle) for value in own)[1:]
    return max(noise.sigma, SD_PER_MEDIAN * median(deviations)) if deviations else noise.sigma


def _race_value(
    arm: int, row: dict[int, float], seeds: int, sigma: float | None, df: float
) -> RaceValue:
    n = len(row)
    middle = median(row.values()) if row else math.inf
    if not math.isfinite(middle):
        return RaceValue(arm, None, None, n, n < seeds, ())
    if sigma is None:
        return RaceValue(arm, middle, None, n, n < seeds, ())
    half_width = quantile(df) * MEDIAN_PRICE * sigma / math.sqrt(n)
    bad = tuple(seed for seed, value in row.items() if value > middle + BAD_SEED * sigma)
    return RaceValue(arm, middle, half_width, n, n < seeds, tuple(sorted(bad)))
