"""campaigns.race.noise: a class's floor from replicate pairs, and the spread inside a race."""

from __future__ import annotations

import math
from random import Random
from statistics import median
from typing import Any

import pytest

from campaigns.race.noise import floor_of, noise_of_look, spread_of
from campaigns.race.rows import Floor, Run, Spread, values_by_arm
from tests.race.sights import Table, runs_of

FIRST = Spread(0.5, 7.0)
# Residuals: see test_worked_examples.
THREE = {1: [2.000, 2.010, 1.990], 2: [2.130, 2.150, 2.510], 3: [2.060, 2.110, 2.060]}


def values(table: Table) -> dict[int, dict[int, float]]:
    return values_by_arm(runs_of(table))


def noise(table: Table = THREE, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"floor": Floor(), "began": 3, "first": None, "min_sigma": 0.002}
    return noise_of_look(values(table), **defaults | fields)


# --- The spread of a look -------------------------------------------------------------------------


def test_the_spread_of_many_arms_is_the_median_residual_with_its_factor() -> None:
    # Medians of the seeds 0, of the arms 0: the residuals are the values. Of the 25 sizes, seven
    # are 0, ten .1 and eight .2, so the median is .1. n = k = 5: the factor is √(25 / 16).
    table = {
        1: [0.0, 0.1, -0.1, 0.2, -0.2],
        2: [-0.1, 0.0, 0.1, -0.2, 0.2],
        3: [0.1, -0.1, 0.0, 0.0, 0.0],
        4: [0.2, -0.2, 0.0, 0.1, -0.1],
        5: [-0.2, 0.2, 0.0, -0.1, 0.1],
    }

    spread = spread_of(values(table), is_small=False)

    assert spread == Spread(pytest.approx(1.4826 * 0.1 * 5 / 4), pytest.approx(0.6 * 16))


def test_the_spread_of_few_arms_leaves_the_smallest_residuals_out() -> None:
    small, large = spread_of(values(THREE), is_small=True), spread_of(values(THREE), is_small=False)

    assert small == Spread(pytest.approx(1.4826 * 0.03), pytest.approx(2.4))
    assert large == Spread(0.0, pytest.approx(2.4))


def test_missing_and_failed_cells_lower_the_worth_of_a_spread() -> None:
    # Eight cells, three arms, three seeds: 8 - 3 - 3 + 1 = 3 degrees of freedom.
    for cell in (None, math.inf):
        spread = spread_of(values(THREE | {2: [2.130, 2.150, cell]}), is_small=True)
        assert spread is not None
        assert spread.weight == pytest.approx(1.8)
    assert spread_of(values({1: [1.0, 2.0], 2: [None, None]}), is_small=True) is None


@pytest.mark.parametrize(
    ("floor", "began", "is_renewed"),
    [
        (Floor(), 3, True),
        (Floor(), 5, True),
        (Floor(), 6, False),
        (Floor(0.02, 9), 5, True),
        # Ten pairs are worth four degrees of freedom.
        (Floor(0.02, 10), 3, False),
        (Floor(0.02, 9), 6, False),
    ],
)
def test_the_spread_is_renewed_only_with_little_floor_and_few_arms(
    floor: Floor, began: int, is_renewed: bool
) -> None:
    spread = noise(floor=floor, began=began, first=FIRST).spread

    assert spread == (spread_of(values(THREE), is_small=True) if is_renewed else FIRST)


def test_floor_and_spread_count_by_their_weights() -> None:
    # a = 0.4 · 20 = 8: σ² = (8 · .0004 + 7 · .25) / 15.
    both = noise(floor=Floor(0.02, 20), first=FIRST)

    assert both.df == pytest.approx(15.0)
    assert both.sigma == pytest.approx(math.sqrt((8 * 0.0004 + 7 * 0.25) / 15))


def test_a_floor_weighs_no_more_than_forty() -> None:
    assert Floor(0.02, 99).weight == pytest.approx(39.6)
    assert Floor(0.02, 1000).weight == 40.0
    assert Floor(None, 1000).weight == 0.0


def test_sigma_is_never_below_its_least_value_and_unknown_without_anything() -> None:
    assert noise({1: [1.0, 1.0, 1.0], 2: [2.0, 2.0, 2.0]}).sigma == 0.002
    assert noise({1: [1.0, 1.0, 1.0], 2: [None] * 3}).sigma is None


# --- The floor of a class -------------------------------------------------------------------------


def test_pairs_are_disjoint_successive_seeds_without_the_screening_seed() -> None:
    # Arm 1 alone: pairs (s1, s2) and (s3, s5) with differences .3 and -.1; s7 has no partner.
    runs = [Run(1, seed, key) for seed, key in ((5, 1.9), (2, 2.3), (1, 2.0), (3, 2.0), (7, 5.0))]

    floor = floor_of([[*runs, Run(1, 0, 9.0)]])

    assert floor.pairs == 2
    assert floor.sd == pytest.approx(1.4826 * 0.2 / math.sqrt(2))


def test_the_shift_that_other_arms_show_between_the_seeds_is_taken_out() -> None:
    # All arms move by 1.0 from s1 to s2 and by .0, .01, .02 of their own. Less the median of the
    # other two: -.015, 0, .015, each divided by √(1 + 1/2).
    table = {1: [2.0, 3.0], 2: [2.0, 3.01], 3: [2.0, 3.02]}

    floor = floor_of([runs_of(table)])

    assert floor.pairs == 3
    assert floor.sd == pytest.approx(1.4826 * (0.015 / math.sqrt(1.5)) / math.sqrt(2))


def test_seed_lists_have_nothing_in_common() -> None:
    lists = [runs_of({1: [2.0, 3.0]}), runs_of({1: [2.0, 2.5]})]

    assert floor_of(lists) == Floor(pytest.approx(1.4826 * 0.75 / math.sqrt(2)), 2)


def test_runs_without_a_value_make_no_pair() -> None:
    assert floor_of([runs_of({1: [2.0, None], 2: [2.0, math.inf], 3: [2.0]})]) == Floor()
    assert floor_of([]) == Floor()


@pytest.mark.parametrize("arms", [2, 3, 4, 8])
def test_a_floor_is_not_too_small_whatever_number_of_arms_share_the_seeds(arms: int) -> None:
    random = Random(arms)
    lists = []
    for _ in range(1600 // arms):
        shifts = [random.gauss(0.0, 0.05) for _ in range(2)]
        lists.append(
            runs_of({arm: [s + random.gauss(0.0, 0.02) for s in shifts] for arm in range(arms)})
        )

    assert floor_of(lists).sd == pytest.approx(0.02, rel=0.1)


def test_the_floor_is_exactly_what_a_median_over_the_other_arms_gives() -> None:
    random = Random(7)
    # Rounded, so that arms often move by the same; with seeds that not every arm has.
    table: Table = {
        arm: [round(random.gauss(3.0, 0.02), 2) for _ in range(random.randint(0, 9))]
        for arm in range(40)
    }
    differences = []
    for arm, row in table.items():
        for early, late in zip(range(0, len(row), 2), range(1, len(row), 2), strict=False):
            own = (row[late] or 0.0) - (row[early] or 0.0)
            others = [
                (other[late] or 0.0) - (other[early] or 0.0)
                for name, other in table.items()
                if name != arm and len(other) > late
            ]
            root = math.sqrt(1 + 1 / len(others)) if others else 1.0
            differences.append(abs(own - (median(others) if others else 0.0)) / root)

    floor = floor_of([runs_of(table)])

    assert floor == Floor(1.4826 * median(differences) / math.sqrt(2), len(differences))
