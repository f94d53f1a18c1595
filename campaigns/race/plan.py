"""How many seeds does a question need, and what does a winner by luck lose when it runs again?"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

from campaigns.race.level import quantile

# What the three looks and the medians cost in seeds, beside a single test of means.
INFLATION: Final = 1.72
POWER: Final = 0.8
FEWEST: Final = 3
# More seeds than any campaign may have tasks: the question has no answer here.
MOST: Final = 100_000
_NORMAL: Final = NormalDist()


def seeds_needed(
    gap: float, sigma: float, df: float, *, correlation: float = 0.0, power: float = POWER
) -> int | None:
    """Return how many seeds a race needs to find a true gap with this power.

    `gap` and `sigma` (the s.d. of an arm between seeds) have the sort key's unit; `correlation` is
    that of two arms over seeds (0 when unknown, or when `sigma` is already that of a known seed);
    `df` are the degrees of freedom behind `sigma`. None when it takes more than MOST.
    Raises ValueError for a correlation or power outside 0 to 1, or no degrees of freedom.
    """
    _check(correlation, power, df)
    reach = _reach(power, df)
    variance = 2.0 * (1.0 - correlation) * sigma**2 * INFLATION * reach**2
    if gap == 0.0 or variance > MOST * gap**2:
        return None
    return max(FEWEST, math.ceil(variance / gap**2))


def visible_gap(
    seeds: int, sigma: float, df: float, *, correlation: float = 0.0, power: float = POWER
) -> float:
    """Return the true gap that a race of so many seeds finds with this power.

    The inverse of `seeds_needed`, with its arguments and its errors. Of fewer seeds than a race has
    it says how far two medians of so many runs must be apart to mean as much.
    """
    _check(correlation, power, df)
    return math.sqrt(2.0 * (1.0 - correlation) * INFLATION / seeds) * sigma * _reach(power, df)


def chance_to_find(
    gap: float, sigma: float, df: float, seeds: int, *, correlation: float = 0.0
) -> float:
    """Return the chance that a race of so many seeds names the better of two arms `gap` apart.

    The inverse of `seeds_needed`, with its arguments and its errors.
    """
    _check(correlation, POWER, df)
    deviation = math.sqrt(2.0 * (1.0 - correlation) * INFLATION / seeds) * sigma
    if deviation == 0.0:
        return 1.0 if gap else 0.0
    return _NORMAL.cdf(abs(gap) / deviation - quantile(df))


def expected_regression(arms: int, sigma: float) -> float:
    """Return how much the best single run of so many equal arms loses on average when run again.

    It is `sigma` times the expected largest of so many standard normal values, 2.5 for 100 arms.
    """
    step = 0.01
    grid = [number * step for number in range(round(8 / step) + 1)]
    # E[max] is the integral of 1 - F(x) - F(-x) over x ≥ 0, where F(x) = Φ(x)^arms. The trapezoid
    # rule counts half of the first height; the last is nothing.
    heights = [1.0 - _NORMAL.cdf(x) ** arms - _NORMAL.cdf(-x) ** arms for x in grid]
    return sigma * step * (math.fsum(heights) - heights[0] / 2)


def _reach(power: float, df: float) -> float:
    """Return how many standard errors a gap must be for a race to find it with this power."""
    # Two decimals, as the formula is published: 0.84 for 80 %. Not below zero, because the square
    # would make a smaller power take more seeds.
    return max(0.0, quantile(df) + round(_NORMAL.inv_cdf(power), 2))


def _check(correlation: float, power: float, df: float) -> None:
    if not (0.0 <= correlation < 1.0 and 0.0 < power < 1.0 and df > 0.0):
        raise ValueError(
            f"no plan for correlation {correlation}, power {power} and {df} degrees of freedom"
        )
