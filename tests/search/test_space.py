"""campaigns.search.space: errors of a bad space by path; a good space draws only its points."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from campaigns.search.parameters import (
    ChoiceParameter,
    FloatParameter,
    IntParameter,
)
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.space_json import InvalidSearchSpace
from experiments import catalog

CHAR_LM = catalog.get("train_char_lm").default_search_space


def space(*parameters: Any, constraints: Any = ()) -> dict[str, Any]:
    return {"parameters": list(parameters), "constraints": list(constraints)}


def number(low: Any = 0.0, high: Any = 1.0, **more: Any) -> dict[str, Any]:
    return {"name": "x", "type": "float", "low": low, "high": high} | more


def whole(low: Any = 1, high: Any = 8, **more: Any) -> dict[str, Any]:
    return {"name": "x", "type": "int", "low": low, "high": high} | more


def choice(values: Any, name: Any = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "choice", "values": values} | more


BAD_SPACES = [
    (None, "", 'must be an object like {"parameters": […]}'),
    ([], "", "must be an object"),
    ({}, "parameters", "must be a list of 1 to 64 parameters"),
    ({"parameters": {}}, "parameters", "must be a list of 1 to 64 parameters"),
    (space(), "parameters", "must be a list of 1 to 64 parameters"),
    (space(*[choice([1], f"p{n}") for n in range(65)]), "parameters", "1 to 64"),
    (space(whole()) | {"extra": 1}, "extra", "is not known; use parameters and constraints"),
    (space("x"), "parameters.0.name", "must be letters, digits and _, at most 64"),
    (space(choice([1], None)), "parameters.0.name", "must be letters"),
    (space(choice([1], "")), "parameters.0.name", "must be letters"),
    (space(choice([1], "1st")), "parameters.0.name", "must be letters"),
    (space(choice([1], "a b")), "parameters.0.name", "must be letters"),
    (space(choice([1], "a\n")), "parameters.0.name", "must be letters"),
    (space(choice([1], "é")), "parameters.0.name", "must be letters"),
    (space(choice([1], "a" * 65)), "parameters.0.name", "at most 64"),
    (space(choice([1]), choice([2])), "parameters.x.name", "stands in the list twice"),
    (space(choice([1], "seed")), "parameters.seed.name", "is set by the server; choose another"),
    (space(choice([1], "dataset_sha256")), "parameters.dataset_sha256.name", "by the server"),
    (space({"name": "x"}), "parameters.x.type", "must be float, int or choice"),
    (space(choice([1]) | {"type": "text"}), "parameters.x.type", "must be float, int or choice"),
    (space(number(typo=1)), "parameters.x.typo", "is not known; use decimals, high, log, low"),
    (space(whole(decimals=1)), "parameters.x.decimals", "is not known; use high, log, low, step"),
    (space(choice([1], log=True)), "parameters.x.log", "is not known; use values"),
    (space(number("0")), "parameters.x.low", "must be a finite number"),
    (space(number(0, None)), "parameters.x.high", "must be a finite number"),
    (space(number(True)), "parameters.x.low", "must be a finite number"),
    (space(number(0.0, math.inf)), "parameters.x.high", "must be a finite number"),
    (space(number(math.nan)), "parameters.x.low", "must be a finite number"),
    (space(number(0, 2**53 + 2)), "parameters.x.high", "must be within ±2^53"),
    (space(number(0, 10**400)), "parameters.x.high", "must be within ±2^53"),
    (space(number(1.0, 0.5)), "parameters.x.low", "must not be above high (0.5)"),
    (space(number(0.0, 1.0, log=True)), "parameters.x.low", "must be above 0 on a log scale"),
    (space(number(log="yes")), "parameters.x.log", "must be true or false"),
    (space(number(decimals=-1)), "parameters.x.decimals", "must be a whole number from 0 to 15"),
    (space(number(decimals=True)), "parameters.x.decimals", "must be a whole number from 0 to 15"),
    (space(number(0.15, 1.0, decimals=1)), "parameters.x.decimals", "write low and high exactly"),
    (space(whole(1.0)), "parameters.x.low", "must be a whole number"),
    (space(whole(9)), "parameters.x.low", "must not be above high (8)"),
    (space(whole(0, log=True)), "parameters.x.low", "must be above 0 on a log scale"),
    (space(whole(step=0)), "parameters.x.step", "must be a whole number of at least 1"),
    (space(whole(step=True)), "parameters.x.step", "must be a whole number of at least 1"),
    (space(whole(step=2, log=True)), "parameters.x.step", "must be 1 on a log scale"),
    (space(choice(None)), "parameters.x.values", "must be a list of 1 to 256 values"),
    (space(choice([])), "parameters.x.values", "must be a list of 1 to 256 values"),
    (space(choice(list(range(257)))), "parameters.x.values", "must be a list of 1 to 256 values"),
    (space(choice([1, None])), "parameters.x.values", "may hold numbers"),
    (space(choice([[1]])), "parameters.x.values", "may hold numbers"),
    (space(choice([math.nan])), "parameters.x.values", "may hold numbers"),
    (space(choice([10**400])), "parameters.x.values", "may hold numbers within ±2^53"),
    (space(choice(["a\x00"])), "parameters.x.values", "texts of whole characters"),
    (space(choice(["\ud800"])), "parameters.x.values", "texts of whole characters"),
    (space(choice([1, 2, 1])), "parameters.x.values", "holds a value twice"),
    (space(whole()) | {"constraints": "x > 1"}, "constraints", "must be a list of at most 32"),
    (space(whole(), constraints=["x > 0"] * 33), "constraints", "must be a list of at most 32"),
    (space(whole(), constraints=["x >"]), "constraints.0", "cannot be read"),
    (space(whole(), constraints=["x > 0", 7]), "constraints.1", "a constraint must be a text"),
    (space(whole(), constraints=["y > 0"]), "constraints.0", "speaks of y, which is no parameter"),
    (space(whole(), constraints=["x > 8"]), "constraints", "draws in a row broke a constraint"),
    (space(choice([1]), constraints=["x > 8"]), "constraints", "x > 8. Loosen the constraints"),
]


@pytest.mark.parametrize(("body", "path", "sentence"), BAD_SPACES)
def test_a_bad_space_is_told_where_and_why(body: Any, path: str, sentence: str) -> None:
    with pytest.raises(InvalidSearchSpace) as refused:
        SearchSpace.parse(body)
    assert list(refused.value.errors) == [path]
    assert sentence in refused.value.errors[path][0]
    assert sentence in str(refused.value)


def test_every_error_of_a_space_is_found_at_once() -> None:
    body = space(
        number(2.0, 1.0), choice([], "y"), choice([1], "bad name"), constraints=["z >", "x > 0"]
    )
    with pytest.raises(InvalidSearchSpace) as refused:
        SearchSpace.parse(body)
    assert set(refused.value.errors) == {
        "parameters.x.low",
        "parameters.y.values",
        "parameters.2.name",
        "constraints.0",
    }


def test_two_bad_parameters_of_one_name_are_told_and_do_not_raise() -> None:
    with pytest.raises(InvalidSearchSpace) as refused:
        SearchSpace.parse(space(number("a", "b"), number("c", 5)))
    assert refused.value.errors == {
        "parameters.x.low": ["must be a finite number"] * 2,
        "parameters.x.high": ["must be a finite number"],
    }


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["", "x", "int"]),
    lambda children: st.lists(children, max_size=3),
    max_leaves=4,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "parameters": json_values
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["x", "y", "seed", ""]) | json_values},
                optional={
                    "type": st.sampled_from(["float", "int", "choice"]) | json_values,
                    "low": json_values,
                    "high": json_values,
                    "log": json_values,
                    "step": json_values,
                    "decimals": json_values,
                    "values": json_values,
                },
            ),
            max_size=3,
        ),
        "constraints": json_values | st.lists(st.sampled_from(["x > 0", "x % y == 0"]), max_size=2),
    },
)


@given(body=bodies | json_values)
def test_whatever_comes_is_a_space_or_a_list_of_errors(body: Any) -> None:
    try:
        parsed = SearchSpace.parse(body)
    except InvalidSearchSpace:
        return
    assert SearchSpace.parse(parsed.to_json()) == parsed


finite = st.floats(-(2**53), 2**53, allow_nan=False)
positive = st.floats(1e-300, 2**53)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


def pair(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.tuples(values, values).map(lambda ends: (min(ends), max(ends)))


floats = st.builds(lambda ends: FloatParameter(*ends), pair(finite))
log_floats = st.builds(lambda ends: FloatParameter(*ends, log=True), pair(positive))
rounded = st.builds(
    lambda ends, decimals: FloatParameter(
        round(ends[0], decimals), round(ends[1], decimals), decimals=decimals
    ),
    pair(st.floats(-1000, 1000)),
    st.integers(0, 6),
)
ints = st.builds(
    lambda ends, step: IntParameter(*ends, step=step),
    pair(st.integers(-(2**53), 2**53)),
    st.integers(1, 1000),
)
log_ints = st.builds(lambda ends: IntParameter(*ends, log=True), pair(st.integers(1, 2**53)))
choices = st.lists(
    st.integers(-(2**53), 2**53) | finite | st.booleans() | texts,
    min_size=1,
    max_size=8,
    unique_by=lambda value: (type(value), value),
).map(lambda values: ChoiceParameter(tuple(values)))
parameters = st.one_of(floats, log_floats, rounded, ints, log_ints, choices)
spaces = st.dictionaries(names, parameters, min_size=1, max_size=5).map(SearchSpace)


@given(search_space=spaces)
def test_a_space_survives_being_written_and_read(search_space: SearchSpace) -> None:
    assume(not {"seed", "dataset"} & set(search_space.parameters))
    read = SearchSpace.parse(json.loads(json.dumps(search_space.to_json())))
    assert read == search_space
    assert list(read.parameters) == list(search_space.parameters)


@given(search_space=spaces, seed=st.integers(0, 2**31))
def test_every_draw_is_a_point_of_the_space_and_the_same_seed_draws_it_again(
    search_space: SearchSpace, seed: int
) -> None:
    drawn = search_space.draw(random.Random(seed))
    assert search_space.problems(drawn) == []
    assert search_space.draw(random.Random(seed)) == drawn
    # Also after a round trip through JSON, as the database stores it.
    assert search_space.problems(json.loads(json.dumps(drawn))) == []


def test_a_log_range_of_one_point_draws_that_point() -> None:
    # exp(log(0.1)) is 0.10000000000000002.
    only = FloatParameter(0.1, 0.1, log=True)
    assert only.draw(random.Random(0)) == 0.1


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "x is missing"),
        ({"x": 4, "y": 1}, "y is not a parameter"),
        ({"x": 5}, "x = 5 is outside its range"),
        ({"x": 10}, "x = 10 is outside its range"),
        ({"x": 4.0}, "x = 4.0 is outside its range"),
        ({"x": True}, "x = True is outside its range"),
        ({"x": "4"}, "x = '4' is outside its range"),
        ({"x": 6}, "breaks x != 6"),
    ],
)
def test_params_that_are_no_point_are_told_why(params: dict[str, Any], problem: str) -> None:
    search_space = SearchSpace.parse(space(whole(2, 8, step=2), constraints=["x != 6"]))
    assert search_space.problems(params) == [problem]
    assert search_space.problems({"x": 4}) == []


def test_values_are_told_apart_by_type() -> None:
    search_space = SearchSpace.parse(space(choice([1, True, "1"])))
    assert [search_space.problems({"x": value}) == [] for value in (1, True, "1", 1.0, False)] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (whole(2, 8, step=2), {2, 4, 6, 8}),
        (whole(2, 9, step=3), {2, 5, 8}),
        (whole(1, 4, log=True), {1, 2, 3, 4}),
        (choice(["a", False, 2.5]), {"a", False, 2.5}),
        (number(0.0, 0.3, decimals=1), {0.0, 0.1, 0.2, 0.3}),
    ],
    ids=["step 2", "step 3", "log", "choice", "decimals"],
)
def test_every_value_of_a_small_range_is_drawn(parameter: Any, expected: set[Any]) -> None:
    search_space, rng = SearchSpace.parse(space(parameter)), random.Random(1)
    assert {search_space.draw(rng)["x"] for _ in range(300)} == expected


def test_log_draws_spread_evenly_over_the_powers_of_ten() -> None:
    learning_rate, rng = FloatParameter(1e-4, 1e-2, log=True), random.Random(1)
    below = sum(learning_rate.draw(rng) < 1e-3 for _ in range(4000))
    assert 1850 < below < 2150


def test_draws_keep_the_constraints() -> None:
    body = space(whole(1, 6), choice([1, 2, 3], "y"), constraints=["x % y == 0", "x > y"])
    search_space, rng = SearchSpace.parse(body), random.Random(3)
    for _ in range(300):
        point = search_space.draw(rng)
        assert point["x"] % point["y"] == 0
        assert point["x"] > point["y"]


def test_a_space_that_is_nearly_empty_gives_up_with_its_constraints() -> None:
    # Parsing draws with seed 0, so the constraint must leave points; the range below has none.
    search_space = SearchSpace(
        {"x": FloatParameter(0.0, 1.0)},
        SearchSpace.parse(space(number(), constraints=["x <= 0.9999"])).constraints,
    )
    impossible = SearchSpace({"x": FloatParameter(2.0, 3.0)}, search_space.constraints)
    with pytest.raises(UnsatisfiableSpace, match=r"broke a constraint: x <= 0\.9999\. Loosen"):
        impossible.draw(random.Random(0))


def test_the_char_lm_space_is_written_as_it_was_read() -> None:
    assert SearchSpace.parse(CHAR_LM).to_json() == CHAR_LM
