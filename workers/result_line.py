"""The contract of a script's result line, with the checks that server and agent both make.

Pure standard library, like `workers.protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from experiments.metrics import VAL_BPB, MetricSpec, NoValue
from workers.protocol import MAX_COUNTER, is_number

# Values of a result's stop_reason that say why there is no value.
STOP_BUDGET_TOO_SMALL: Final = "budget_too_small"  # no step fitted
STOP_NOT_EVALUATED: Final = "no_time_to_evaluate"  # steps fitted, their evaluation did not
STOP_TERMINATED: Final = "terminated"  # SIGTERM came; after 0 steps there is nothing to evaluate

_REQUIRED_COUNTERS: Final = (
    "steps_completed",
    "model_params",
    "eval_bytes",
    "eval_tokens",
    "tokens_trained",
)
_NUMBERS_OR_NULL: Final = ("train_loss", "eval_nll_nats")
_REQUIRED_TEXTS: Final = ("device_used", "dataset_sha256", "stop_reason")


def with_whole_numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics with counters like 10.0 as whole numbers: some programs write no others.

    The agent sends them like this; the server takes nothing else.
    """
    whole = dict(metrics)
    for key in (*_REQUIRED_COUNTERS, "seed"):
        if isinstance(value := whole.get(key), float) and value.is_integer():
            whole[key] = int(value)
    return whole


def without_untrained_value(
    metrics: Mapping[str, Any], spec: MetricSpec = VAL_BPB
) -> dict[str, Any]:
    """Return the metrics without the value of a run that got SIGTERM before its first step.

    What such a run evaluated is the untrained model. It becomes a finding without a value.
    """
    terminated = metrics.get("stop_reason") == STOP_TERMINATED
    untrained = metrics.get("steps_completed") == 0 and metrics.get("diverged") is not True
    if not (terminated and untrained):
        return dict(metrics)
    finding = {"stop_reason": STOP_BUDGET_TOO_SMALL, spec.name: None, "eval_nll_nats": None}
    return {**metrics, **finding, "eval_bytes": 0, "eval_tokens": 0}


def metrics_problems(metrics: object, spec: MetricSpec = VAL_BPB) -> list[str]:
    """Return how `metrics` breaks the result-line contract, a sentence per problem; [] when sound.

    `spec` is the metric whose value the line must have. Checks only shape and internal consistency.
    The server checks whether dataset, seed and denominator fit the campaign.
    """
    if not isinstance(metrics, dict):
        return ["the result must be a JSON object"]
    problems = [f"{key} is missing" for key in (spec.name, "train_loss") if key not in metrics]
    for key in _REQUIRED_COUNTERS:
        if type(metrics.get(key)) is not int or not 0 <= metrics[key] <= MAX_COUNTER:
            problems.append(f"{key} must be a whole number from 0 to 2^63 - 1")
    if type(metrics.get("seed")) is not int or abs(metrics["seed"]) > MAX_COUNTER:
        problems.append("seed must be a whole number")
    if (
        not is_number(metrics.get("wall_time_seconds"))
        or not 0 <= metrics["wall_time_seconds"] <= MAX_COUNTER
    ):
        problems.append("wall_time_seconds must be a number of at least 0")
    for key in (spec.name, *_NUMBERS_OR_NULL, *_own_counters(spec)):
        if metrics.get(key) is not None and not is_number(metrics[key]):
            problems.append(f"{key} must be a finite number or null")
    for key in _REQUIRED_TEXTS:
        if not isinstance(metrics.get(key), str) or not metrics[key]:
            problems.append(f"{key} must be a text")
    if not isinstance(metrics.get("diverged", False), bool):
        problems.append("diverged must be true or false")
    if problems or is_finding_without_value(metrics, spec):
        return problems
    return _value_problems(metrics, spec)


def is_finding_without_value(metrics: Mapping[str, Any], spec: MetricSpec = VAL_BPB) -> bool:
    """Return whether a value is rightly absent: the loss diverged, or the budget was too small."""
    too_small = metrics.get("stop_reason") in (STOP_BUDGET_TOO_SMALL, STOP_NOT_EVALUATED)
    return metrics.get(spec.name) is None and (metrics.get("diverged") is True or too_small)


def _own_counters(spec: MetricSpec) -> list[str]:
    """Return the counters of the metric that not every result line has."""
    common = {*_REQUIRED_COUNTERS, *_NUMBERS_OR_NULL, "wall_time_seconds"}
    return [name for name in spec.counters if name not in common]


def _value_problems(metrics: dict[str, Any], spec: MetricSpec) -> list[str]:
    """Check a value that must exist: present, within its bounds, and equal to its counters."""
    name, value = spec.name, metrics[spec.name]
    if metrics.get("diverged") is True or metrics["stop_reason"] == STOP_BUDGET_TOO_SMALL:
        return [f"{name} must be null in a run that diverged or fitted no step in its budget"]
    if not is_number(value) or value <= spec.low:
        least = f"{spec.low:g}"
        return [f'{name} must be a finite number above {least} (or the run says "diverged": true)']
    if value >= spec.high:
        why = "" if spec.is_maximised else "; such a run diverged"
        return [f"{name} {value:.0f} is not below {spec.high:.0f}{why}"]
    try:
        computed = spec.value(metrics)
    except NoValue:
        return [f"{' and '.join(spec.counters)} must be the counters {name} comes from"]
    if abs(computed - value) > spec.tolerance:
        return [f"{name} {value:.6f} does not follow from its counters ({computed:.6f})"]
    return []
