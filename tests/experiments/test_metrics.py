"""experiments.metrics: the value from its counters, its order, its words, and the registry."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import catalog, metrics
from experiments.metrics import VAL_BPB, NoValue, UnknownMetric
from tests import second_metric
from tests.second_metric import TOKENS_PER_SECOND
from workers.result_line import (
    is_finding_without_value,
    metrics_problems,
    without_untrained_value,
)

SPECS = pytest.mark.parametrize("spec", [VAL_BPB, TOKENS_PER_SECOND], ids=lambda spec: spec.name)
values = st.floats(min_value=-1e12, max_value=1e12)
LINE: dict[str, Any] = {
    "tokens_per_second": 512.0,
    "train_loss": 2.1,
    "steps_completed": 10,
    "wall_time_seconds": 10.0,
    "model_params": 1000,
    "seed": 42,
    "eval_bytes": 1000,
    "eval_tokens": 1000,
    "tokens_trained": 5120,
    "device_used": "cpu",
    "dataset_sha256": "a" * 64,
    "stop_reason": "time_budget",
}


def test_eight_bits_per_byte_is_guessing_among_256() -> None:
    line = {"eval_nll_nats": 1000 * math.log(256), "eval_bytes": 1000}
    assert VAL_BPB.value(line) == pytest.approx(8.0)


@pytest.mark.parametrize(
    "counters",
    [
        {},
        {"eval_nll_nats": 700.0},
        {"eval_nll_nats": None, "eval_bytes": 1000},
        {"eval_nll_nats": "many", "eval_bytes": 1000},
        {"eval_nll_nats": 700.0, "eval_bytes": 0},
        {"eval_nll_nats": 0.0, "eval_bytes": 1000},
        {"eval_nll_nats": -700.0, "eval_bytes": 1000},
        {"eval_nll_nats": 1e12, "eval_bytes": 1},
        {"eval_nll_nats": math.nan, "eval_bytes": 1000},
        {"eval_nll_nats": math.inf, "eval_bytes": 1000},
        {"eval_nll_nats": 10**400, "eval_bytes": 1000},
    ],
    ids=str,
)
def test_counters_that_no_evaluation_has_give_no_value(counters: dict[str, Any]) -> None:
    with pytest.raises(NoValue, match="eval_nll_nats and eval_bytes"):
        VAL_BPB.value(counters)


@given(value=values, other=values)
def test_the_smaller_sort_key_is_the_better_value(value: float, other: float) -> None:
    assert (VAL_BPB.sort_key(value) < VAL_BPB.sort_key(other)) is (value < other)
    keys = TOKENS_PER_SECOND.sort_key(value), TOKENS_PER_SECOND.sort_key(other)
    assert (keys[0] < keys[1]) is (value > other)


@SPECS
@given(value=values)
def test_a_sort_key_leads_back_to_its_value(spec: metrics.MetricSpec, value: float) -> None:
    key = spec.sort_key(value)
    assert spec.value_of(key) == value
    assert key != 0 or math.copysign(1, key) == 1 or not spec.is_maximised


def test_the_words_follow_the_direction() -> None:
    assert (VAL_BPB.better, VAL_BPB.good, VAL_BPB.best) == ("lower", "low", "lowest")
    speed = TOKENS_PER_SECOND
    assert (speed.better, speed.good, speed.best) == ("higher", "high", "highest")


def test_a_value_is_written_with_the_decimals_of_its_metric() -> None:
    assert VAL_BPB.with_unit(3.21874) == "3.2187 bits/byte"
    assert TOKENS_PER_SECOND.with_unit(51_200.04) == "51200.0 tokens/s"
    assert (VAL_BPB.resolution, TOKENS_PER_SECOND.resolution) == pytest.approx((1e-4, 0.1))


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0), (0.0, math.inf), (-math.inf, 0.0), (0, 1e13)]
)
def test_a_metric_without_finite_bounds_cannot_be_made(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="bounds of val_bpb"):
        dataclasses.replace(VAL_BPB, low=low, high=high)


def test_a_metric_that_the_server_cannot_compute_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="counters"):
        dataclasses.replace(VAL_BPB, counters=())


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        VAL_BPB.unit = "nats"  # type: ignore[misc]


def test_a_metric_is_known_by_its_name_and_its_version() -> None:
    assert metrics.get("val_bpb", 1) is VAL_BPB
    for name, version in (("val_bpb", 2), ("accuracy", 1), ("", 0)):
        with pytest.raises(UnknownMetric, match=r"Known: val_bpb 1\."):
            metrics.get(name, version)


def test_the_second_metric_is_known_in_its_tests_only() -> None:
    with pytest.MonkeyPatch.context() as patch:
        second_metric.register(patch)
        assert metrics.get("tokens_per_second", 3) is TOKENS_PER_SECOND
        experiment = catalog.get(second_metric.EXPERIMENT)
        assert (experiment.metric, experiment.direction) == ("tokens_per_second", "maximize")
    with pytest.raises(UnknownMetric):
        metrics.get("tokens_per_second", 3)


def test_an_experiment_says_what_its_spec_says() -> None:
    for experiment in catalog.all():
        assert experiment.metric == experiment.metric_spec.name
        assert experiment.direction == experiment.metric_spec.direction
    assert catalog.get("train_char_lm").metric_spec is VAL_BPB


def test_specs_have_one_in_common_only_when_they_are_the_same() -> None:
    assert metrics.common([VAL_BPB, VAL_BPB]) is VAL_BPB
    assert metrics.common([VAL_BPB, TOKENS_PER_SECOND]) is None
    assert metrics.common([]) is None


def test_a_line_is_checked_by_the_metric_of_its_campaign() -> None:
    assert metrics_problems(LINE, TOKENS_PER_SECOND) == []
    assert metrics_problems(LINE) == ["val_bpb is missing"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tokens_per_second": 512.2}, "512.200000 does not follow from its counters (512.000000)"),
        ({"tokens_per_second": 0.0}, "tokens_per_second must be a finite number above 0"),
        ({"tokens_per_second": "fast"}, "tokens_per_second must be a finite number or null"),
        ({"tokens_per_second": 1e9}, "tokens_per_second 1000000000 is not below 1000000000"),
        ({"tokens_trained": 0}, "tokens_trained and wall_time_seconds must be the counters"),
        ({"wall_time_seconds": 0}, "tokens_trained and wall_time_seconds must be the counters"),
    ],
    ids=str,
)
def test_a_line_of_a_second_metric_is_told_what_is_wrong(
    changes: dict[str, Any], problem: str
) -> None:
    (sentence,) = metrics_problems(LINE | changes, TOKENS_PER_SECOND)
    assert problem in sentence
    assert "diverged" not in sentence or changes["tokens_per_second"] == 0.0


def test_a_counter_of_its_own_must_be_a_number() -> None:
    accuracy = dataclasses.replace(
        TOKENS_PER_SECOND, name="accuracy", counters=("eval_correct", "eval_tokens"), tolerance=1e-3
    )
    line = LINE | {"accuracy": 0.25, "eval_correct": 250}
    assert metrics_problems(line, accuracy) == []
    (problem,) = metrics_problems(line | {"eval_correct": "most"}, accuracy)
    assert problem == "eval_correct must be a finite number or null"


def test_a_missing_value_of_a_second_metric_must_be_explained() -> None:
    nothing = LINE | {"tokens_per_second": None}
    assert metrics_problems(nothing, TOKENS_PER_SECOND) != []
    assert metrics_problems(nothing | {"diverged": True}, TOKENS_PER_SECOND) == []
    assert is_finding_without_value(nothing | {"diverged": True}, TOKENS_PER_SECOND)
    ended = LINE | {"stop_reason": "terminated", "steps_completed": 0}
    assert without_untrained_value(ended, TOKENS_PER_SECOND)["tokens_per_second"] is None
