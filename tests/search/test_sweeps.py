"""Sweeps of W&B: each parameter is read exactly, or refused by name and line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from campaigns.search.space import SearchSpace
from campaigns.search.sweep_files import UnreadableSpace, read_space


def read(parameter: str) -> dict[str, Any]:
    """The parameter named x of a sweep, checked as a space, without its name."""
    (body,) = SearchSpace.parse(
        read_space(f"method: random\nparameters:\n  x: {parameter}").space
    ).to_json()["parameters"]
    return {key: value for key, value in body.items() if key != "name"}


@pytest.mark.parametrize(
    ("parameter", "body"),
    [
        ("{value: 3}", {"type": "choice", "values": [3]}),
        ("{values: [a, 1, 1.0, true]}", {"type": "choice", "values": ["a", 1, 1.0, True]}),
        ('{values: [1e-4, "1e-4"]}', {"type": "choice", "values": [1e-4, "1e-4"]}),
        (
            "{values: [a, b], probabilities: [0.5, 0.5]}",
            {"type": "choice", "values": ["a", "b"]},
        ),
        ("{min: 1, max: 4}", {"type": "int", "low": 1, "high": 4}),
        ("{min: 1, max: 4.0}", {"type": "float", "low": 1.0, "high": 4.0}),
        (
            "{distribution: uniform, min: 1, max: 4}",
            {"type": "float", "low": 1.0, "high": 4.0},
        ),
        (
            "{distribution: log_uniform_values, min: 1e-5, max: 1e-2}",
            {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
        ),
        (
            "{distribution: inv_log_uniform_values, min: 0.5, max: 0.999}",
            {"type": "float", "low": 0.5, "high": 0.999, "log": True},
        ),
        (
            "{distribution: log_uniform, min: 0, max: 1}",
            {"type": "float", "low": 1.0, "high": pytest.approx(2.71828, abs=1e-5), "log": True},
        ),
        (
            "{distribution: inv_log_uniform, min: 0, max: 1}",
            {"type": "float", "low": pytest.approx(0.367879, abs=1e-5), "high": 1.0, "log": True},
        ),
        (
            "{distribution: q_uniform, min: 0, max: 0.5, q: 0.05}",
            {
                "type": "choice",
                "values": [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5],
            },
        ),
        (
            "{distribution: q_uniform, min: 0.9, max: 0.999, q: 0.001}",
            {"type": "float", "low": 0.9, "high": 0.999, "decimals": 3},
        ),
        # round(100 / 64) and round(1000 / 64): W&B draws from 128 to 1024.
        (
            "{distribution: q_uniform, min: 100, max: 1000, q: 64}",
            {"type": "int", "low": 128, "high": 1024, "step": 64},
        ),
        (
            "{distribution: q_log_uniform_values, min: 16, max: 512}",
            {"type": "int", "low": 16, "high": 512, "log": True},
        ),
    ],
)
def test_what_a_space_represents_is_read(parameter: str, body: dict[str, Any]) -> None:
    assert read(parameter) == body


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ("{distribution: normal, mu: 0, sigma: 1}", "Write min and max for a uniform draw"),
        ("{distribution: q_normal, mu: 0, sigma: 1, q: 2}", "mu - 2 * sigma"),
        ("{distribution: log_normal, mu: 0, sigma: 1}", "log_uniform_values with min and max"),
        ("{distribution: q_log_normal, mu: 4, sigma: 1, q: 10}", "log_uniform_values"),
        ("{distribution: beta, a: 2, b: 5}", "min: 0.0 and max: 1.0"),
        ("{distribution: q_beta, a: 2, b: 5}", "min: 0.0 and max: 1.0"),
        ("{distribution: q_log_uniform, min: 0, max: 3}", "Write q_log_uniform_values"),
        ("{distribution: laplace}", "not known here. Known: constant, categorical"),
        ("{distribution: 3}", "the distribution 3, which is not known here"),
        ("{values: [a, b], probabilities: [0.9, 0.1]}", "Leave probabilities out"),
        ("{values: [a, b], probabilities: [1.0]}", "Leave probabilities out"),
        ("{values: [a, null]}", "nested and empty values cannot be drawn"),
        ("{values: [[64, 64], [128]]}", 'such as "none" or "64-64"'),
        ("{value: {a: 1}}", "nested and empty values cannot be drawn"),
        ("{values: [1, 2, 1]}", "the value 1 twice"),
        ("{values: [.nan]}", "numbers within"),
        ("{values: [9007199254740994]}", "numbers within"),
        ("{values: []}", "a list of 1 to 256 values"),
        ("{values: 3}", "a list of 1 to 256 values"),
        ("{min: 0.1, max: 1.0, values: [1]}", "has 'min', which categorical does not use"),
        ("{min: 0, max: 9, q: 2}", "has 'q', which int_uniform does not use"),
        ("{min: 0.0, max: 9.5, mu: 2}", "it uses min, max"),
        ("{min: 3, max: 1}", "min ≤ max"),
        ("{min: 0.5}", "needs max as a number"),
        ('{min: "0.5", max: 1.0}', "needs min as a number"),
        ("{min: 1.0, max: .inf}", "not endless"),
        ("{min: 1, max: 9007199254740994}", "within ±2^53"),
        ("{distribution: log_uniform_values, min: 0, max: 1}", "min above 0"),
        ("{distribution: log_uniform, min: 0.0001, max: 1000.}", "write log_uniform_values"),
        ("{distribution: log_uniform, min: -800, max: 0}", "beyond all numbers"),
        ("{distribution: inv_log_uniform, min: -40, max: 0}", "beyond ±2^53"),
        ("{distribution: q_log_uniform_values, min: 32, max: 256, q: 8}", "[32, 64, 128, 256]"),
        ("{distribution: q_log_uniform_values, min: 1.5, max: 9}", "min as a whole number"),
        ("{distribution: q_uniform, min: 0, max: 1, q: 0.0005}", "2,001 steps of q = 0.0005"),
        ("{distribution: q_uniform, min: 0, max: 1, q: 1e-300}", "large enough to count"),
        ("{distribution: q_uniform, min: 0, max: 1, q: -1}", "needs q above 0"),
        ("{parameters: {lr: {value: 1}}}", "such as x_lr"),
        ("7", "must be a mapping"),
    ],
)
def test_anything_else_is_refused_by_name_with_its_line(parameter: str, sentence: str) -> None:
    with pytest.raises(UnreadableSpace) as refused:
        read(parameter)
    assert str(refused.value).startswith("Line 3: 'x' ")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("optimizer.lr", "optimizer_lr"),
        ("model.n-heads", "model_n_heads"),
        ("data/aug", "data_aug"),
        ("2nd", "_2nd"),
        ('""', "_"),
    ],
)
def test_a_name_that_no_parameter_may_have_is_refused_with_one_that_may(
    name: str, instead: str
) -> None:
    with pytest.raises(UnreadableSpace, match=r"^Line 2: .* cannot be the name") as refused:
        read_space(f"parameters:\n  {name}: {{value: 1}}")
    assert f"Write {instead}, and" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("run_cap: 0x" + "f" * 9000, "more than 30 digits"),
        ("run_cap: 0xfffffff", "run_cap must be a whole number from 1 to 100,000"),
        ("run_cap: 100001", "run_cap must be a whole number from 1 to 100,000"),
        ("run_cap: 0", "run_cap must be"),
        ("run_cap: 1.5", "run_cap must be"),
        ("run_cap: true", "run_cap must be"),
        ("run_cap: [1]", "run_cap must be"),
        ("name: 5", "name must be a text"),
        ("description: [a]", "description must be a text"),
        ("method: random", "the key 'method' is given twice"),
    ],
)
def test_what_a_sweep_says_of_the_campaign_is_read_or_refused(line: str, sentence: str) -> None:
    with pytest.raises(UnreadableSpace, match=r"^Line 3: ") as refused:
        read_space(f"method: random\nparameters: {{x: {{value: 1}}}}\n{line}")
    assert sentence in str(refused.value)


def test_a_sweep_in_json_is_refused_with_its_line_too() -> None:
    sweep = {"parameters": {"lr": {"min": 0.1, "max": 1.0}, "x": {"distribution": "beta"}}}
    with pytest.raises(UnreadableSpace, match=r"^Line 7: 'x' has the distribution 'beta'"):
        read_space(json.dumps(sweep, indent=1))


def test_aliases_and_merged_mappings_are_what_they_stand_for() -> None:
    imported = read_space(
        "narrow: &narrow {min: 0.1, max: 0.9}\n"
        "parameters:\n  a: *narrow\n  b: {<<: *narrow, max: 2.0}\n"
    )
    assert imported.space["parameters"] == [
        {"name": "a", "type": "float", "low": 0.1, "high": 0.9},
        {"name": "b", "type": "float", "low": 0.1, "high": 2.0},
    ]
    assert imported.notes == ["Left out, because XeeNet has no use for it: narrow."]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("parameters:\n- {name: x, type: choice,\n   values: [.inf]}", "Line 3: parameters.0 must"),
        ("parameters:\n- {name: x}\n- 3", "Line 3: parameters.1 must be an object"),
        ("parameters: []\nconstraints: 5", "Line 2: constraints must be a list"),
        ("parameters:\n- {name: x, type: choice, values: [no, yes]}", "Line 2: no is false in"),
    ],
)
def test_our_own_form_is_refused_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableSpace) as refused:
        read_space(text)
    assert sentence in str(refused.value)
