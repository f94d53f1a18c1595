"""Seconds of a step and steps of a budget: the same numbers for everybody, or a reason."""

from __future__ import annotations

import json

import pytest

from campaigns.work.cost import CostModel, guard_seconds, steps_of
from campaigns.work.describe import Description, InfeasibleCost, read_description

MODEL = CostModel({"a": 0.5, "b": 0.0, "unused": 9.0}, "a machine", worker=3, taken_at="today")


def description(source: str = "{'a': 'n', 'b': 'n * n'}") -> Description:
    read = read_description(f"DESCRIBE = {source}".encode())
    assert read is not None
    return read


def test_a_step_costs_the_sum_of_its_terms() -> None:
    assert MODEL.step_seconds(description(), {"n": 3}) == 1.5


@pytest.mark.parametrize("n", [0, 1e308])
def test_a_step_that_costs_nothing_or_without_end_is_infeasible(n: float) -> None:
    endless = CostModel({"a": 10.0, "b": 0.0}, "")
    with pytest.raises(InfeasibleCost, match=r"a step would cost (0|inf) s"):
        endless.step_seconds(description("{'a': 'n'}"), {"n": n})


def test_a_model_fits_a_description_only_with_all_its_terms() -> None:
    assert MODEL.fits(description())
    assert not MODEL.fits(description("{'a': 'n', 'own': 'n'}"))


def test_a_model_survives_its_storage_and_equal_coefficients_have_one_hash() -> None:
    stored = CostModel.from_json(json.loads(json.dumps(MODEL.to_json())))
    assert stored == MODEL
    assert dict(stored.coefficients) == dict(MODEL.coefficients)
    reordered = CostModel(dict(reversed(MODEL.coefficients.items())), "another")
    assert stored.sha256 == reordered.sha256
    assert stored.sha256 != CostModel({**MODEL.coefficients, "a": 0.6}, "a machine").sha256


@pytest.mark.parametrize(
    ("seconds", "step", "steps"), [(60, 0.5, 120), (1, 0.3, 3), (1, 0.7, 2), (0.1, 50.0, 2)]
)
def test_seconds_are_a_whole_number_of_steps_but_never_fewer_than_two(
    seconds: float, step: float, steps: int
) -> None:
    assert steps_of(seconds, step) == steps


@pytest.mark.parametrize(("expected", "guard"), [(0.1, 30.0), (10.0, 100.0), (500.0, 3600.0)])
def test_the_guard_is_ten_times_the_expected_time_within_its_bounds(
    expected: float, guard: float
) -> None:
    assert guard_seconds(expected, longest=3600.0) == guard
