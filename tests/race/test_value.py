"""campaigns.race.value: the median over race seeds, its interval, and an arm's bad seeds."""

from __future__ import annotations

import math
from random import Random

import pytest

from campaigns.race.level import quantile
from campaigns.race.noise import Noise
from campaigns.race.rows import Run, values_by_arm
from campaigns.race.value import RaceValue, race_values, total_sigma
from tests.race.sights import Table, runs_of

SEEDS = (1, 2, 3, 4)
KNOWN = Noise(0.02, 10.0, None)
UNKNOWN = Noise(None, 0.0, None)


def value_of(
    row: list[float | None], noise: Noise = KNOWN, seeds: tuple[int, ...] = SEEDS
) -> RaceValue:
    runs = [Run(1, 0, 0.5), *runs_of({1: row}), Run(1, 99, 0.5), Run(2, 1, 0.5)]
    (value,) = race_values([1], seeds, runs, noise)
    return value


def test_a_race_value_is_the_median_over_the_race_seeds_alone() -> None:
    value = value_of([2.0, 2.1, 2.2, 2.3])

    assert value.value == pytest.approx(2.15)
    assert value.n == 4
    assert not value.at_least


def test_its_interval_is_t_times_1_25_sigma_by_the_root_of_n() -> None:
    # Equal values: σ is that of the race. 10 degrees of freedom exceed 2.3007 with .0221.
    value = value_of([2.0, 2.0, 2.0, 2.0])

    assert value.half_width == pytest.approx(2.3007 * 1.25 * 0.02 / 2, rel=1e-4)


def test_there_is_no_interval_while_the_noise_is_unknown() -> None:
    value = value_of([2.0, 2.1, 2.2, 9.0], UNKNOWN)

    assert (value.value, value.half_width, value.bad_seeds) == (pytest.approx(2.15), None, ())


def test_the_interval_counts_what_seeds_do_to_all_arms() -> None:
    # The seeds move both arms alike: paired differences have little noise, values have much.
    # Arm 1 has .3 .1 .1 .3 from its median, arm 2 has .2 0 0 .2. Less the smallest of each, the
    # median of .1 .3 .3 0 .2 .2 is .2.
    values = values_by_arm(runs_of({1: [1.8, 2.0, 2.2, 2.4], 2: [2.0, 2.2, 2.2, 2.4]}))

    assert total_sigma(values, KNOWN) == pytest.approx(1.4826 * 0.2)
    assert total_sigma(values, Noise(0.5, 10.0, None)) == 0.5
    assert total_sigma(values, UNKNOWN) is None
    # Alone, arm 1 has .1 .3 .3.
    value = value_of([1.8, 2.0, 2.2, 2.4])
    assert value.half_width == pytest.approx(quantile(10.0) * 1.25 * (1.4826 * 0.3) / 2)


@pytest.mark.parametrize("seeds", [3, 6, 12])
def test_the_total_spread_is_not_too_small_with_few_seeds(seeds: int) -> None:
    random = Random(seeds)
    sigmas = []
    for _ in range(300):
        shifts = [random.gauss(0.0, 0.015) for _ in range(seeds)]
        table: Table = {arm: [s + random.gauss(0.0, 0.02) for s in shifts] for arm in range(4)}
        sigmas.append(total_sigma(values_by_arm(runs_of(table)), Noise(0.0, 1.0, None)))

    assert sum(s or 0.0 for s in sigmas) / len(sigmas) == pytest.approx(0.025, rel=0.15)


def test_a_value_five_s_d_above_the_median_is_a_bad_seed_and_a_failed_run_too() -> None:
    value = value_of([2.0, 2.0, 2.099, 2.101], seeds=SEEDS)
    assert value.bad_seeds == ()  # the arm's own scatter is as wide
    twelve = tuple(range(1, 13))
    spread = [2.0 + 0.01 * (number % 5) for number in range(11)]

    value = value_of([*spread, 2.5], seeds=twelve)
    assert value.bad_seeds == (12,)
    assert value.bad_seeds_text == "1 of 12 seeds fails"

    value = value_of([*spread[:10], math.inf, 2.5], seeds=twelve)
    assert value.bad_seeds == (11, 12)
    assert value.bad_seeds_text == "2 of 12 seeds fail"
    assert value_of(spread, seeds=twelve[:11]).bad_seeds_text == ""


def test_missing_runs_do_not_count_and_a_value_before_the_last_seed_is_at_least_that() -> None:
    value = value_of([2.0, 2.1, None, None])

    assert (value.n, value.at_least) == (2, True)


@pytest.mark.parametrize("row", [[math.inf, math.inf, 2.0, 2.0], [None] * 4])
def test_an_arm_that_fails_on_half_of_its_seeds_has_no_value(row: list[float | None]) -> None:
    value = value_of(row)

    assert (value.value, value.half_width) == (None, None)
