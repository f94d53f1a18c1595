"""workers.protocol: the checks that server and agent both make of a result line."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.metrics import VAL_BPB
from workers.protocol import canonical_digest, is_number
from workers.result_line import is_finding_without_value, metrics_problems

SOUND: dict[str, Any] = {
    "val_bpb": 3.0,
    "train_loss": 2.1,
    "steps_completed": 10,
    "wall_time_seconds": 9.1,
    "model_params": 1000,
    "seed": 42,
    "eval_nll_nats": 3.0 * 1000 * math.log(2),
    "eval_bytes": 1000,
    "eval_tokens": 1000,
    "tokens_trained": 5000,
    "device_used": "cpu",
    "dataset_sha256": "a" * 64,
    "stop_reason": "time_budget",
}
NO_VALUE = {"val_bpb": None, "train_loss": None, "eval_nll_nats": None, "eval_bytes": 0}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=2),
    max_leaves=3,
)


def test_a_sound_line_has_no_problems() -> None:
    assert metrics_problems(SOUND) == []
    assert metrics_problems(SOUND | {"a_later_script_adds": [1, 2]}) == []


@pytest.mark.parametrize("key", sorted(SOUND))
def test_a_line_without_one_of_its_keys_is_told_which(key: str) -> None:
    line = {name: value for name, value in SOUND.items() if name != key}
    (problem,) = metrics_problems(line)
    assert key in problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"val_bpb": "3.0"}, "val_bpb must be a finite number or null"),
        ({"val_bpb": True}, "val_bpb must be a finite number or null"),
        ({"val_bpb": math.inf}, "val_bpb must be a finite number or null"),
        ({"val_bpb": 10**400}, "val_bpb must be a finite number or null"),
        ({"val_bpb": 0}, "val_bpb must be a finite number above 0"),
        ({"val_bpb": -3.0}, "val_bpb must be a finite number above 0"),
        ({"val_bpb": None}, "val_bpb must be a finite number above 0"),
        ({"val_bpb": 1e300, "eval_nll_nats": 1e300}, "such a run diverged"),
        ({"val_bpb": 3.001}, "val_bpb 3.001000 does not follow from its counters (3.000000)"),
        ({"val_bpb": 5e-5, "eval_nll_nats": 0.0}, "must be the counters val_bpb comes from"),
        ({"eval_nll_nats": None}, "must be the counters val_bpb comes from"),
        ({"eval_bytes": 0}, "must be the counters val_bpb comes from"),
        ({"eval_nll_nats": [1]}, "eval_nll_nats must be a finite number or null"),
        ({"train_loss": "low"}, "train_loss must be a finite number or null"),
        ({"eval_bytes": 2**63}, "eval_bytes must be a whole number from 0 to 2^63 - 1"),
        ({"eval_tokens": -1}, "eval_tokens must be a whole number from 0 to 2^63 - 1"),
        ({"model_params": True}, "model_params must be a whole number from 0 to 2^63 - 1"),
        ({"steps_completed": 1.0}, "steps_completed must be a whole number from 0 to 2^63 - 1"),
        ({"seed": "42"}, "seed must be a whole number"),
        ({"wall_time_seconds": 10**400}, "wall_time_seconds must be a number of at least 0"),
        ({"stop_reason": 5}, "stop_reason must be a text"),
        ({"diverged": 1}, "diverged must be true or false"),
        ({"diverged": True}, "val_bpb must be null in a run that diverged"),
        ({"stop_reason": "budget_too_small"}, "or fitted no step in its budget"),
    ],
    ids=str,
)
def test_what_breaks_the_contract_is_said(changes: dict[str, Any], problem: str) -> None:
    (sentence,) = metrics_problems(SOUND | changes)
    assert problem in sentence


@pytest.mark.parametrize("line", [None, [], "text", 3])
def test_a_line_that_is_no_object_is_refused(line: object) -> None:
    assert metrics_problems(line) == ["the result must be a JSON object"]


def test_a_run_without_a_value_is_sound_when_it_says_why() -> None:
    assert metrics_problems(SOUND | NO_VALUE | {"diverged": True}) == []
    assert metrics_problems(SOUND | NO_VALUE | {"stop_reason": "budget_too_small"}) == []
    assert not is_finding_without_value(SOUND | NO_VALUE)
    assert not is_finding_without_value(SOUND | {"diverged": True})


def test_printing_few_digits_is_no_contradiction() -> None:
    assert metrics_problems(SOUND | {"val_bpb": 3.0 + 0.9 * VAL_BPB.tolerance}) == []
    assert metrics_problems(SOUND | {"val_bpb": 3.0 + 1.1 * VAL_BPB.tolerance}) != []


@given(key=st.sampled_from(sorted(SOUND)), value=json_values)
def test_no_value_of_any_key_makes_the_check_raise(key: str, value: Any) -> None:
    assert isinstance(metrics_problems(SOUND | {key: value}), list)


@given(value=st.integers() | st.floats() | st.just(10**400))
def test_only_what_is_finite_as_a_float_is_a_number(value: float) -> None:
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    assert is_number(value) is finite


@pytest.mark.parametrize("value", [True, False, "1", None, [1]])
def test_a_bool_or_a_text_is_no_number(value: object) -> None:
    assert not is_number(value)


def test_the_digest_depends_on_content_and_not_on_key_order() -> None:
    body = {"a": 1, "b": {"c": [1, 2], "d": None}}
    assert canonical_digest(body) == canonical_digest({"b": {"d": None, "c": [1, 2]}, "a": 1})
    for changed in ({"a": 1}, body | {"a": 1.5}, body | {"a": "1"}, body | {"b": {"c": [2, 1]}}):
        assert canonical_digest(body) != canonical_digest(changed)


def test_the_digest_takes_any_text_and_refuses_what_is_no_json() -> None:
    assert len(canonical_digest({"text": "\ud800 \x00 ü"})) == 64
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_digest({"value": math.nan})
