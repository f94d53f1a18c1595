"""How much results vary between seeds: a class's floor, and the spread inside a race.

All of it is medians, because a bad seed must not make the noise look larger than it is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from campaigns.race.rows import Floor, Run, Spread, values_by_arm

# The s.d. of Gaussian values is this multiple of the median of their sizes.
SD_PER_MEDIAN: Final = 1.4826
# A spread of medians knows less than its degrees of freedom say.
WORTH: Final = 0.6
# With a floor worth less than this and fewer arms than that, residuals are too few: many are zero
# only because a median is one of its values.
LITTLE_FLOOR: Final = 4.0
FEW_ARMS: Final = 6

Values = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True)
class Noise:
    """The s.d. of a run once its seed is known, in sort-key units, and its degrees of freedom.

    `sigma` is None as long as nothing is known. `spread` is the part that the race itself showed.
    """

    sigma: float | None
    df: float
    spread: Spread | None


NOTHING_KNOWN: Final = Noise(None, 0.0, None)


def noise_of_look(
    values: Values, *, floor: Floor, began: int, first: Spread | None, min_sigma: float
) -> Noise:
    """Return the noise at a look: the floor and the race's residuals, each by its weight.

    With little of a floor and few arms the spread is renewed at each look, otherwise it stays that
    of the first: arms that go on are chosen by their values, which makes later spreads too small.
    """
    if floor.weight < LITTLE_FLOOR and began < FEW_ARMS:
        spread = spread_of(values, is_small=True)
    else:
        spread = first or spread_of(values, is_small=False)
    df = floor.weight + (spread.weight if spread else 0.0)
    if df == 0.0:
        return Noise(None, 0.0, spread)
    total = floor.weight * (floor.sd or 0.0) ** 2
    if spread:
        total += spread.weight * spread.sd**2
    return Noise(max(min_sigma, math.sqrt(total / df)), df, spread)


def spread_of(values: Values, *, is_small: bool) -> Spread | None:
    """Return the spread of what seeds and arms do not explain; None when nothing is left.

    `values` is arm → seed index → sort key; cells may be missing, infinite ones count as missing.
    `is_small` leaves out as many of the smallest residuals as medians were fitted, because so many
    are about zero by construction.
    """
    cells = {
        (arm, seed): value
        for arm, row in values.items()
        for seed, value in row.items()
        if math.isfinite(value)
    }
    arms, seeds = {arm for arm, _ in cells}, {seed for _, seed in cells}
    # (n - 1)(k - 1) for k arms with n seeds each.
    freedom = len(cells) - len(seeds) - len(arms) + 1
    # Without any cell the formula gives 1.
    if not cells or freedom < 1:
        return None
    residuals = _centred(_centred(cells, axis=1), axis=0)
    sizes = sorted(map(abs, residuals.values()))
    if is_small:
        sd = SD_PER_MEDIAN * median(sizes[-freedom:])
    else:
        sd = SD_PER_MEDIAN * median(sizes) * math.sqrt(len(cells) / freedom)
    return Spread(sd, WORTH * freedom)


def _centred(cells: Mapping[tuple[int, int], float], *, axis: int) -> dict[tuple[int, int], float]:
    """Take the median of each arm (axis 0) or seed (axis 1) out of its cells."""
    groups: dict[int, list[float]] = defaultdict(list)
    for key, value in cells.items():
        groups[key[axis]].append(value)
    medians = {name: median(group) for name, group in groups.items()}
    return {key: value - medians[key[axis]] for key, value in cells.items()}


def floor_of(runs_by_seed_list: Iterable[Iterable[Run]]) -> Floor:
    """Return the floor of a class from all its runs, grouped by seed list (one per base seed).

    A replicate pair is two successive seeds of one arm, each seed in one pair at most, the
    screening seed in none. The shift that the other arms show between the same two seeds is taken
    out of its difference.
    """
    differences = pair_differences(runs_by_seed_list)
    if not differences:
        return Floor()
    sd = SD_PER_MEDIAN * median(map(abs, differences)) / math.sqrt(2)
    return Floor(sd, len(differences))


def pair_differences(runs_by_seed_list: Iterable[Iterable[Run]]) -> list[float]:
    """Return the difference of each replicate pair, the runs grouped as for `floor_of`."""
    differences: list[float] = []
    for runs in runs_by_seed_list:
        differences += _pair_differences(runs)
    return differences


def _pair_differences(runs: Iterable[Run]) -> list[float]:
    values = values_by_arm(
        run
        for run in runs
        if run.seed_index >= 1 and run.sort_key is not None and math.isfinite(run.sort_key)
    )
    arms: dict[int, set[int]] = defaultdict(set)
    for arm, row in values.items():
        for seed in row:
            arms[seed].add(arm)
    # Sorted once for each pair of seeds: with a median for each arm, 5,000 arms take 12 seconds, in
    # which the start of a race keeps their campaign locked.
    shifts: dict[tuple[int, int], list[float]] = {}
    differences = []
    for row in values.values():
        seeds = sorted(row)
        for early, late in zip(seeds[::2], seeds[1::2], strict=False):
            if (early, late) not in shifts:
                both = arms[early] & arms[late]
                shifts[early, late] = sorted(values[arm][late] - values[arm][early] for arm in both)
            own = row[late] - row[early]
            differences.append(_without_common_shift(own, shifts[early, late]))
    return differences


def _without_common_shift(own: float, shifts: Sequence[float]) -> float:
    """Return how much more an arm moved from seed to seed than the median of the others.

    `shifts` are sorted, the arm's own among them. The root takes out the noise of that median. An
    arm alone keeps its whole difference: too much noise is said then, never too little.
    """
    others = len(shifts) - 1
    if not others:
        return own
    place = bisect_left(shifts, own)
    # The middle of the others, or the two values around it.
    low, high = ((others - 1) // 2, others // 2)
    middle = (shifts[low + (low >= place)] + shifts[high + (high >= place)]) / 2
    return (own - middle) / math.sqrt(1 + 1 / others)
