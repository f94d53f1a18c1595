"""campaigns.race.plan: seeds for a gap, chance to find it, and what the best of many loses."""

from __future__ import annotations

import pytest

from campaigns.race.plan import chance_to_find, expected_regression, seeds_needed


@pytest.mark.parametrize(
    ("gap", "correlation", "seeds"),
    [
        (0.05, 0.3, 4),
        (0.03, 0.3, 10),
        (0.02, 0.3, 21),
        (0.01, 0.3, 82),
        (0.02, 0.6, 12),
        (0.5, 0.3, 3),
        (-0.02, 0.3, 21),
    ],
)
def test_seeds_for_a_gap_at_an_s_d_of_0_02(gap: float, correlation: float, seeds: int) -> None:
    assert seeds_needed(gap, 0.02, 40, correlation=correlation) == seeds


def test_no_number_of_seeds_finds_a_gap_of_nothing() -> None:
    assert seeds_needed(0.0, 0.02, 40) is None
    assert seeds_needed(1e-6, 0.02, 40) is None


def test_a_chance_that_anything_gives_takes_no_more_seeds_than_a_larger_one() -> None:
    needed = [seeds_needed(0.02, 0.02, 40, power=power) for power in (1e-300, 1e-6, 0.01, 0.5)]
    assert needed[:3] == [3, 3, 3]
    assert needed[3] is not None
    assert needed[3] > 3


def test_more_power_less_correlation_and_less_knowledge_take_more_seeds() -> None:
    usual = seeds_needed(0.02, 0.02, 40, correlation=0.3)
    assert usual is not None
    for more in (
        seeds_needed(0.02, 0.02, 40, correlation=0.3, power=0.95),
        seeds_needed(0.02, 0.02, 40),
        seeds_needed(0.02, 0.02, 4, correlation=0.3),
    ):
        assert more is not None
        assert more > usual


@pytest.mark.parametrize("gap", [0.01, 0.02, 0.03])
def test_the_chance_with_the_planned_seeds_is_the_planned_one(gap: float) -> None:
    seeds = seeds_needed(gap, 0.02, 40, correlation=0.3)
    assert seeds is not None

    chance = chance_to_find(gap, 0.02, 40, seeds, correlation=0.3)

    # 0.84 stands for the quantile of 80 %, which is 0.8416.
    assert 0.799 < chance < chance_to_find(gap, 0.02, 40, seeds + 1, correlation=0.3)
    assert chance_to_find(gap, 0.02, 40, seeds - 1, correlation=0.3) < 0.8


def test_without_noise_any_gap_is_found_and_none_is_not() -> None:
    assert chance_to_find(0.01, 0.0, 40, 3) == 1.0
    assert chance_to_find(0.0, 0.0, 40, 3) == 0.0


@pytest.mark.parametrize(
    ("correlation", "df", "power"), [(1.0, 40, 0.8), (-0.1, 40, 0.8), (0.3, 0, 0.8), (0.3, 40, 1.0)]
)
def test_what_has_no_plan_is_refused(correlation: float, df: float, power: float) -> None:
    with pytest.raises(ValueError, match="no plan for"):
        seeds_needed(0.02, 0.02, df, correlation=correlation, power=power)


@pytest.mark.parametrize(
    # E[max] of standard normal values: 1/√π of two, 3/(2√π) of three, tables for the others.
    ("arms", "expected"),
    [(1, 0.0), (2, 0.56419), (3, 0.84628), (10, 1.53875), (100, 2.50759)],
)
def test_the_best_of_equal_arms_loses_the_expected_maximum(arms: int, expected: float) -> None:
    assert expected_regression(arms, 0.5) == pytest.approx(0.5 * expected, abs=1e-4)
