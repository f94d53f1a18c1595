"""campaigns.search.sweep_files: spaces read from JSON and from sweeps, and refused texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from campaigns.search.space import SearchSpace
from campaigns.search.sweep_files import MAX_TEXT_CHARACTERS, UnreadableSpace, read_space
from experiments import catalog

SWEEP = """
program: train.py
name: width against rate
description: what pays?
method: bayes
run_cap: 40
metric:
  name: loss
  goal: maximize
early_terminate: {type: hyperband, min_iter: 3}
parameters:
  lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  wd: {distribution: log_uniform, min: -9.21034, max: 0}
  dropout: {distribution: q_uniform, min: 0.0, max: 0.5, q: 0.1}
  warmup: {distribution: q_uniform, min: 0, max: 100, q: 25}
  momentum: {distribution: q_uniform, min: 0.25, max: 1.0, q: 0.25}
  layers: {min: 2, max: 8}
  width: {distribution: q_log_uniform_values, min: 16, max: 512}
  rate: {min: 0.1, max: 0.9}
  optimiser: {values: [adam, sgd], probabilities: [0.5, 0.5]}
  batch: {distribution: categorical, values: [32, 64]}
  epochs: {value: 3}
  eps: {values: [1e-8, 1.0e-6]}
  seed: {values: [1, 2, 3]}
"""


def parameter(body: dict[str, Any]) -> dict[str, Any]:
    text = yaml.safe_dump({"method": "random", "parameters": {"x": body}})
    (read,) = read_space(text).space["parameters"]
    return {key: value for key, value in read.items() if key != "name"}


def test_our_own_json_comes_back_as_it_was() -> None:
    space = catalog.get("train_char_lm").default_search_space
    read = read_space(json.dumps(space))
    assert (read.space, read.suggested, read.notes) == (space, {}, [])


def test_a_sweep_becomes_a_typed_space() -> None:
    space = SearchSpace.parse(read_space(SWEEP).space)
    assert [(entry["name"], entry) for entry in space.to_json()["parameters"]] == [
        (entry["name"], entry)
        for entry in [
            {"name": "lr", "type": "float", "low": 0.0001, "high": 0.01, "log": True},
            {"name": "wd", "type": "float", "low": pytest.approx(1e-4), "high": 1.0, "log": True},
            {"name": "dropout", "type": "float", "low": 0.0, "high": 0.5, "decimals": 1},
            {"name": "warmup", "type": "int", "low": 0, "high": 100, "step": 25},
            {"name": "momentum", "type": "choice", "values": [0.25, 0.5, 0.75, 1.0]},
            {"name": "layers", "type": "int", "low": 2, "high": 8},
            {"name": "width", "type": "int", "low": 16, "high": 512, "log": True},
            {"name": "rate", "type": "float", "low": 0.1, "high": 0.9},
            {"name": "optimiser", "type": "choice", "values": ["adam", "sgd"]},
            {"name": "batch", "type": "choice", "values": [32, 64]},
            {"name": "epochs", "type": "choice", "values": [3]},
            {"name": "eps", "type": "choice", "values": [1e-8, 1e-6]},
        ]
    ]


def test_what_a_sweep_says_of_the_campaign_is_suggested() -> None:
    assert read_space(SWEEP).suggested == {
        "name": "width against rate",
        "description": "what pays?",
        "sampler": "random",
        "task_count": 40,
    }
    assert read_space("method: grid\nparameters: {}").suggested == {"sampler": "grid"}


@pytest.mark.parametrize(
    "words",
    [
        "Method 'bayes' is not here: random takes its place",
        "Metric 'loss' ('maximize') is not taken over: results are ranked by val_bpb",
        "no use for it: early_terminate, program",
        "The 3 seeds become seeds of the campaign's own list. Each config runs on the first",
        "warmup: all steps are equally likely; W&B draws the first and the last half as often",
        "wd: log_uniform takes exponents of e, so it runs from 0.0001 to 1",
        "momentum: the 4 steps of q = 0.25 became a choice",
    ],
)
def test_the_notes_name_what_is_not_taken_over_as_it_stood(words: str) -> None:
    assert words in " ".join(read_space(SWEEP).notes)


def test_the_seeds_of_a_grid_become_repeats_of_it() -> None:
    sweep = "method: grid\nparameters: {a: {values: [1, 2, 4]}, seed: {values: [7, 8]}}"
    read = read_space(sweep)
    assert read.suggested == {"sampler": "grid", "task_count": 6}
    assert "The grid's 3 points run on each of them: 6 tasks." in read.notes[0]
    fixed = read_space("method: grid\nparameters: {a: {values: [1, 2]}, seed: {value: 7}}")
    assert (fixed.suggested, len(fixed.notes)) == ({"sampler": "grid"}, 1)
    assert "seed is left out: the server sets it" in fixed.notes[0]
    endless = "method: grid\nparameters: {a: {min: 0.5, max: 1.0}, seed: {values: [7, 8]}}"
    assert "task_count" not in read_space(endless).suggested


def test_a_sweep_that_fits_is_taken_over_without_a_remark() -> None:
    sweep = "method: random\nmetric: {name: val_bpb}\nparameters: {lr: {min: 0.1, max: 1.0}}"
    assert read_space(sweep).notes == []


def test_a_sweep_may_be_json_too() -> None:
    sweep = {"method": "grid", "parameters": {"lr": {"values": [1e-4, 1e-3]}}}
    assert read_space(json.dumps(sweep)).space["parameters"] == [
        {"name": "lr", "type": "choice", "values": [1e-4, 1e-3]}
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "This is no search space"),
        ("just words", "This is no search space"),
        ("[]", "This is no search space"),
        ("{", "Line 1, column 2: this is not JSON"),
        ("a: [", "this is not YAML"),
        ("a: \x07", "what YAML does not allow"),
        ("a: !!python/object:os.system x", "Line 1: the tag tag:yaml.org,2002:python/object"),
        ("[" * 50_000, "nested too deeply"),
        ("- " * 20_000, "nested too deeply"),
        ('{"parameters": [], "\\ud800": 1}', "half of a surrogate pair"),
        ('parameters: {x: {value: "\\ud800"}}', "half of a surrogate pair"),
        ("x" * (MAX_TEXT_CHARACTERS + 1), "longer than 100,000 characters"),
        ('{"parameters": [1]}', "parameters.0 must be an object like"),
        ('{"parameters": [{"values": [[1]]}]}', "parameters.0 must be an object like"),
        ('{"parameters": [], "constraints": [1]}', "constraints must be a list of texts"),
        ("parameters: {lr: 3}", "'lr' must be a mapping"),
        ("parameters: {opt: {parameters: {lr: {value: 1}}}}", "a space here is flat"),
        ("parameters: {x: {distribution: normal, mu: 0, sigma: 1}}", "distribution 'normal'"),
        ("parameters: {x: {distribution: [1]}}", "distribution a list"),
        ("parameters: {x: {distribution: uniform, min: a, max: 1}}", "needs min as a number"),
        ("parameters: {x: {distribution: uniform, min: .inf, max: 1}}", "is not endless"),
        ("parameters: {x: {distribution: int_uniform, min: 0.5, max: 1}}", "a whole number"),
        ("parameters: {x: {distribution: log_uniform, min: 0, max: 800}}", "beyond all numbers"),
        ("parameters: {x: {distribution: q_uniform, min: 0, max: 9, q: 0}}", "q above 0"),
        ("parameters: {x: {distribution: q_uniform, min: 0, max: 9, q: 0.003}}", "256 steps"),
        (
            "parameters: {x: {distribution: q_log_uniform_values, min: 1, max: 9, q: 2}}",
            "only q = 1",
        ),
        ("parameters: {x: {values: 3}}", "needs values as a list"),
        ("parameters: {x: {values: [null]}}", "nested and empty values"),
        (
            "parameters:\n" + "".join(f"  p{n}: {{value: 1}}\n" for n in range(65)),
            "more than 64 parameters",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableSpace) as info:
        read_space(text)
    assert sentence in str(info.value)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"min": 1, "max": 2.5}, {"type": "float", "low": 1.0, "high": 2.5}),
        (
            {"distribution": "q_uniform", "min": 0.004, "max": 0.02, "q": 0.01},
            {"type": "float", "low": 0.0, "high": 0.02, "decimals": 2},
        ),
        ({"distribution": "constant", "value": "on"}, {"type": "choice", "values": ["on"]}),
    ],
)
def test_a_parameter_is_read_as_the_sweep_means_it(
    body: dict[str, Any], read: dict[str, Any]
) -> None:
    assert parameter(body) == read
