"""The work on a space is bounded in steps: parse, draw, survey, grid and launch end soon."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from campaigns.search.constraints import Constraint
from campaigns.search.samplers import grid_points
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.space_json import InvalidSearchSpace
from campaigns.search.steps import DRAW_STEPS, SURVEY_STEPS, Steps, StepsSpent
from campaigns.search.survey import survey

# Generous for a slow, busy machine; without the bounds each of these runs for minutes.
SECONDS = 10.0


def heavy(last: str, *, choices: int = 31, values: int = 256) -> dict[str, Any]:
    """A space of wide choices, each in a long constraint that always holds, and one condition."""
    names = [f"p{number}" for number in range(choices)]
    return {
        "parameters": [
            *({"name": name, "type": "choice", "values": list(range(values))} for name in names),
            {"name": "z", "type": "float", "low": 0.0, "high": 1.0},
        ],
        "constraints": [*(f"{name} < 999 and " * 25 + f"{name} >= 0" for name in names), last],
    }


def pairs(last: str) -> dict[str, Any]:
    """A space whose long constraints each stand on two choices."""
    body = heavy(last)
    names = [f"p{number}" for number in range(31)]
    body["constraints"][:31] = [
        f"{one} < 999 and " * 25 + f"{other} >= 0"
        for one, other in zip(names, [*names[1:], names[0]], strict=True)
    ]
    return body


def signs(limit: str) -> dict[str, Any]:
    """A space whose constraints hold, and are as long as they may be."""
    body = heavy("z >= 0")
    body["constraints"][:31] = ["-" * 480 + f"p{number} < {limit}" for number in range(31)]
    body["parameters"].insert(0, body["parameters"].pop())
    return body


def within_bound(work: Callable[[], Any]) -> Any:
    """What the work returns or raises; fails when it takes long."""
    began = time.perf_counter()
    try:
        return work()
    except (InvalidSearchSpace, UnsatisfiableSpace) as error:
        return error
    finally:
        assert time.perf_counter() - began < SECONDS


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (heavy("z > 1"), "draws in a row broke a constraint: z > 1. Loosen"),
        (signs("999"), "more than 2,000,000 steps for one draw. Shorten them, or give the choices"),
        (signs("999 + z"), "more than 2,000,000 steps for one draw. Shorten them"),
        (pairs("z > 1"), "More would take over 2,000,000 steps"),
    ],
)
def test_a_space_whose_draws_cost_too_much_is_refused_soon(
    body: dict[str, Any], sentence: str
) -> None:
    refused = within_bound(lambda: SearchSpace.parse(body))
    assert isinstance(refused, InvalidSearchSpace)
    assert sentence in refused.errors["constraints"][0]


def test_a_space_with_long_constraints_that_hold_is_drawn_and_surveyed() -> None:
    space = within_bound(lambda: SearchSpace.parse(heavy("z > 0.5")))
    assert space.draw(random.Random(1))["z"] > 0.5
    measured = within_bound(lambda: survey(space))
    assert measured.looked_at == SURVEY_STEPS // space.point_steps < 1000
    assert len(measured.rejections) == 32


def test_the_values_of_a_choice_on_its_own_are_judged_once() -> None:
    space = SearchSpace.parse(
        {
            "parameters": [{"name": "x", "type": "choice", "values": [1, 2, 3, 4]}],
            "constraints": ["x % 2 == 0"],
        }
    )
    drawn = space.with_budget(100)
    assert {drawn.draw(random.Random(seed))["x"] for seed in range(10)} == {2, 4}


def test_a_text_costs_steps_by_its_length() -> None:
    constraint = Constraint.parse("x == y")
    assert constraint.steps({}) == 3
    assert constraint.steps({"x": 6400, "y": 640}) == 3 + 110


def test_the_grid_is_not_walked_when_its_constraints_are_too_long() -> None:
    body = {
        "parameters": [
            {"name": f"p{number}", "type": "choice", "values": list(range(140))}
            for number in range(2)
        ],
        "constraints": ["p0 >= 0 and " * 30 + f"p1 >= -{number}" for number in range(10)],
    }
    space = SearchSpace.parse(body)
    refused = within_bound(lambda: grid_points(space))
    assert "more than 5,000,000 steps; use fewer levels" in str(refused)


def test_a_budget_ends_the_draws_that_share_it() -> None:
    space = SearchSpace.parse(heavy("z > 0.5", choices=1)).with_budget(100_000)
    rngs = map(random.Random, range(100_000))
    with pytest.raises(StepsSpent):
        all(space.draw(rng) for rng in rngs)
    assert space.budget is not None
    assert space.budget.left >= 0


def test_steps_are_taken_until_they_are_spent() -> None:
    steps = Steps(DRAW_STEPS)
    steps.take(DRAW_STEPS - 1)
    steps.take(1)
    with pytest.raises(StepsSpent):
        steps.take(1)
    assert (steps.used, steps.left) == (DRAW_STEPS, 0)


def test_a_survey_of_very_many_combinations_counts_them_in_whole_numbers() -> None:
    body = {
        "parameters": [
            {"name": f"p{number}", "type": "int", "low": 0, "high": 2**53} for number in range(64)
        ],
        "constraints": ["p0 < 4000000000000000"],
    }
    measured = survey(SearchSpace.parse(body))
    assert measured.combinations == (2**53 + 1) ** 64
    assert 0 < measured.kept_points < measured.combinations


def test_the_width_of_the_widest_log_range_is_finite() -> None:
    body = [{"name": "x", "type": "float", "low": 5e-324, "high": 2.0**53, "log": True}]
    ((_, decades, _),) = survey(SearchSpace.parse({"parameters": body})).ranges
    assert decades == pytest.approx(339.26, abs=0.01)
