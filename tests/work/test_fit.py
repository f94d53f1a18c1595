"""The fit of a cost model: coefficients from measured steps, never below 0."""

from __future__ import annotations

import math

import pytest

from campaigns.work.fit import UnfittedCost, fitted, log_error

AMOUNTS = [{"big": 1e9 * n, "small": 1e-3 * n * n, "never": 0.0} for n in (1, 2, 3, 5, 8)]


def seconds(big: float, small: float) -> list[float]:
    return [shape["big"] * big + shape["small"] * small for shape in AMOUNTS]


def test_the_coefficients_behind_the_steps_are_found_whatever_the_units() -> None:
    found = fitted(AMOUNTS, seconds(2e-9, 4.0))
    assert found == pytest.approx({"big": 2e-9, "small": 4.0, "never": 0.0})
    assert log_error(found, AMOUNTS, seconds(2e-9, 4.0)) == pytest.approx(0, abs=1e-9)


def test_no_term_makes_a_step_shorter() -> None:
    falling = [10.0 - shape["big"] / 1e9 for shape in AMOUNTS]
    assert all(value >= 0 for value in fitted(AMOUNTS, falling).values())


def test_a_short_step_weighs_as_much_as_a_long_one() -> None:
    # No coefficient serves both; the least squares of the relative errors is 0.6, that of the
    # absolute ones 0.9999.
    found = fitted([{"a": 1.0}, {"a": 100.0}], [2.0, 100.0])
    assert found["a"] == pytest.approx(1.2)


def test_the_error_is_the_spread_of_the_logarithm_not_its_mean() -> None:
    twice = {"big": 4e-9, "small": 8.0, "never": 0.0}
    assert log_error(twice, AMOUNTS, seconds(2e-9, 4.0)) == pytest.approx(0, abs=1e-9)
    assert log_error({"a": 1.0}, [{"a": 1.0}, {"a": 1.0}], [1.0, math.e]) == pytest.approx(0.5)


def test_a_step_time_below_what_numbers_can_hold_is_refused() -> None:
    with pytest.raises(UnfittedCost, match="too short"):
        fitted([{"a": 1.0}], [1e-320])


@pytest.mark.parametrize("times", [[1.0, 0.0], [1.0, math.nan], [1.0, math.inf], [1.0, -1.0]])
def test_a_step_time_that_cannot_be_is_refused(times: list[float]) -> None:
    with pytest.raises(UnfittedCost, match="a step time is missing"):
        fitted([{"a": 1.0}, {"a": 2.0}], times)


def test_what_explains_nothing_is_refused() -> None:
    with pytest.raises(UnfittedCost, match="a step time is missing"):
        fitted([], [])
    with pytest.raises(UnfittedCost, match="no term explains"):
        fitted([{"a": 0.0}], [1.0])
    with pytest.raises(UnfittedCost, match="would cost nothing"):
        log_error({"a": 0.0}, [{"a": 1.0}], [1.0])
