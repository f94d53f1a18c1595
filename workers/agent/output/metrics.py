"""A script's result line as the server takes it: cleaned, in its usual form, and checked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from workers.protocol import MAX_METRICS_BYTES
from workers.result_line import (
    STOP_BUDGET_TOO_SMALL,
    STOP_NOT_EVALUATED,
    STOP_TERMINATED,
    metrics_problems,
    with_whole_numbers,
    without_untrained_value,
)

# Levels of objects and lists inside each other. The server accepts 32 in a request, of which the
# submission around the result line is one.
MAX_DEPTH: Final = 31
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ResultLine:
    """A result line in the form in which it is sent, what is wrong with it, and remarks on it."""

    metrics: dict[str, Any]
    problems: list[str]
    remarks: list[str]


def read_result_line(parsed: dict[str, Any], *, ended_by_sigterm: bool = False) -> ResultLine:
    """Return the result line in ``parsed``, however hostile its content. Never raises.

    ``ended_by_sigterm`` says that the agent asked the script to end: then a run that did no step
    has no value.
    """
    if (depth := _depth(parsed)) > MAX_DEPTH:
        reason = f"the result line is nested {depth} levels deep, with {MAX_DEPTH} allowed"
        return ResultLine({}, [reason], [])
    metrics = with_whole_numbers(without_non_finite(parsed))
    remarks = []
    untrained = metrics.get("steps_completed") == 0 and metrics.get("diverged") is not True
    if ended_by_sigterm and untrained:
        metrics["stop_reason"] = STOP_TERMINATED
    if _says_too_small_after_steps(metrics):
        has_value = metrics.get("val_bpb") is not None
        metrics["stop_reason"] = "time_budget" if has_value else STOP_NOT_EVALUATED
        remarks.append(f"the script gave {STOP_BUDGET_TOO_SMALL} as its reason, with steps done")
    settled = without_untrained_value(metrics)
    if metrics.get("val_bpb") is not None and settled.get("val_bpb") is None:
        remarks.append("SIGTERM came before the first step, so its value does not count")
    return ResultLine(settled, _unstorable(settled) or metrics_problems(settled), remarks)


def without_non_finite(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return ``metrics`` with null for NaN and infinities, which JSON does not have.

    A val_bpb that is not finite marks the run as diverged: that is a finding, not a broken result.
    """
    cleaned: dict[str, Any] = _cleaned(metrics)
    value = metrics.get("val_bpb")
    if isinstance(value, float) and not math.isfinite(value):
        cleaned["diverged"] = True
    return cleaned


def _walk(value: Any) -> Iterator[tuple[Any, int]]:
    """Yield each object, list, key and value with its depth; a loop, as depth ends recursion."""
    waiting = [(value, 1)]
    while waiting:
        current, depth = waiting.pop()
        yield current, depth
        if isinstance(current, dict):
            waiting += [(key, 0) for key in current]
        if isinstance(current, dict | list):
            items = current.values() if isinstance(current, dict) else current
            waiting += [(item, depth + 1) for item in items]


def _depth(value: Any) -> int:
    """Return how many levels of objects and lists are inside each other."""
    return max((depth for part, depth in _walk(value) if isinstance(part, dict | list)), default=0)


def _cleaned(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value


def _says_too_small_after_steps(metrics: dict[str, Any]) -> bool:
    """Return whether no step is said to have fitted, although steps are counted."""
    steps = metrics.get("steps_completed")
    too_small = metrics.get("stop_reason") == STOP_BUDGET_TOO_SMALL
    return too_small and isinstance(steps, int | float) and steps > 0


def _unstorable(metrics: dict[str, Any]) -> list[str]:
    """Return why the server could not take or store the metrics; [] when it could."""
    for part, _ in _walk(metrics):
        if isinstance(part, int) and abs(part) >= 2**63:
            return ["the result line holds a whole number of more than 64 bits"]
        if isinstance(part, str) and "\0" in part:
            return ["the result line holds a NUL character"]
        if isinstance(part, str) and _SURROGATE.search(part):
            return ["the result line holds a lone surrogate, which is not text"]
    size = len(json.dumps(metrics))  # as the server counts: with characters beyond ASCII escaped
    if size > MAX_METRICS_BYTES:
        return [f"the result line has {size:,} bytes, with {MAX_METRICS_BYTES:,} allowed"]
    return []
