"""Turns an ended run, an `Execution`, into a submission. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from workers.agent.execution import Ending, Execution, Limits
from workers.protocol import (
    MAX_METRICS_BYTES,
    FailureClass,
    Outcome,
    Submission,
    metrics_problems,
)

# The script contract's exit codes (see experiments/train_char_lm.py).
EXIT_CONFIG_ERROR: Final = 2
EXIT_DATASET_UNREACHABLE: Final = 3
MAX_MESSAGE_CHARACTERS: Final = 500
_SIGKILLED: Final = -9

_OUT_OF_MEMORY = re.compile(
    r"MemoryError|OutOfMemoryError|CUDA out of memory|can't allocate memory|"
    r"Cannot allocate memory|not enough memory|MPS backend out of memory"
)
_DISK_FULL = re.compile(
    r"No space left on device|\[Errno 28\]|Disk quota exceeded|\[Errno 27\]|File too large"
)
_NO_TORCH = re.compile(r"No module named 'torch'")


def failure(
    failure_class: FailureClass, message: str, execution: Execution | None = None
) -> Submission:
    """Return the submission of a run without a result."""
    submission: Submission = {
        "outcome": Outcome.FAILED,
        "failure_class": failure_class,
        "message": message[:MAX_MESSAGE_CHARACTERS],
    }
    if execution is not None:
        submission["exit_code"] = execution.exit_code
        submission["stderr_tail"] = execution.stderr_tail
        submission["wall_time_seconds"] = round(execution.wall_time_seconds, 3)
    return submission


def judge(execution: Execution, limits: Limits) -> Submission:
    """Return the submission for a run that was not ended by a stop request."""
    if execution.survivors:
        pids = ", ".join(str(pid) for pid in execution.survivors)
        message = f"processes of the script could not be killed (pid {pids})"
        return failure(FailureClass.ENV_ERROR, message, execution)
    match execution.ending:
        case Ending.OUTPUT_FLOOD:
            message = f"killed for printing more than {limits.output_bytes:,} bytes"
            return failure(FailureClass.OUTPUT_FLOOD, message, execution)
        case Ending.MEMORY:
            used, allowed = execution.peak_memory_bytes, limits.memory_bytes
            message = f"killed for using {used:,} bytes of memory, with {allowed:,} allowed"
            return failure(FailureClass.OOM, message, execution)
        case Ending.DISK:
            used, allowed = execution.disk_bytes, limits.disk_bytes
            message = (
                f"killed for its use of the disk: {used:,} bytes in the task folder, with "
                f"{allowed:,} allowed, or the disk running full"
            )
            return failure(FailureClass.DISK_FULL, message, execution)
        case Ending.TIMEOUT:
            message = (
                f"killed {limits.kill_grace_seconds:g} s after its budget of "
                f"{limits.time_budget_seconds:g} s"
            )
            return failure(FailureClass.TIMEOUT, message, execution)
    if execution.exit_code != 0:
        return _nonzero_exit(execution, limits)
    if execution.result is not None:
        return _judge_result(execution.result, execution)
    if execution.ending is Ending.EXITED_AFTER_SIGTERM:
        return failure(FailureClass.TIMEOUT, _no_result_at_budget(limits), execution)
    message = "the script exited with 0 but printed no complete JSON object on one line of stdout"
    return failure(FailureClass.NO_JSON, message, execution)


def without_non_finite(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return ``metrics`` with null for NaN and infinities, which JSON does not have.

    A val_bpb that is not finite marks the run as diverged: that is a finding, not a broken result.
    """
    cleaned: dict[str, Any] = _cleaned(metrics)
    value = metrics.get("val_bpb")
    if isinstance(value, float) and not math.isfinite(value):
        cleaned["diverged"] = True
    return cleaned


def _cleaned(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value


def _judge_result(result: dict[str, Any], execution: Execution) -> Submission:
    metrics = without_non_finite(result)
    problems = _unstorable(metrics) or metrics_problems(metrics)
    if problems:
        return failure(FailureClass.INVALID_RESULT, "; ".join(problems), execution)
    return {
        "outcome": Outcome.COMPLETED,
        "metrics": metrics,
        "exit_code": execution.exit_code,
        "stderr_tail": execution.stderr_tail,
        "wall_time_seconds": round(execution.wall_time_seconds, 3),
    }


def _unstorable(metrics: dict[str, Any]) -> list[str]:
    """Return why a database could not store the metrics; [] when it could."""
    try:
        text = json.dumps(metrics, ensure_ascii=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        return ["the result line holds a lone surrogate, which is not text"]
    except RecursionError:
        return ["the result line is nested too deep"]
    if size > MAX_METRICS_BYTES:
        return [f"the result line has {size:,} bytes, with {MAX_METRICS_BYTES:,} allowed"]
    if "\\u0000" in text:
        return ["the result line holds a NUL character"]
    if any(isinstance(value, int) and abs(value) >= 2**63 for value in metrics.values()):
        return ["the result line holds a whole number of more than 64 bits"]
    return []


def _nonzero_exit(execution: Execution, limits: Limits) -> Submission:
    tail, code = execution.stderr_tail, execution.exit_code
    last_words = execution.last_words
    if code == _SIGKILLED:
        message = "the script was killed from outside, most likely by the system for its memory"
        return failure(FailureClass.OOM, message, execution)
    if _OUT_OF_MEMORY.search(tail):
        return failure(FailureClass.OOM, f"out of memory: {last_words}", execution)
    if _DISK_FULL.search(tail):
        return failure(FailureClass.DISK_FULL, f"the disk is full: {last_words}", execution)
    if _NO_TORCH.search(tail):
        return failure(FailureClass.ENV_ERROR, f"torch is missing: {last_words}", execution)
    if code == EXIT_DATASET_UNREACHABLE:
        return failure(FailureClass.ENV_ERROR, f"no data set: {last_words}", execution)
    if execution.ending is Ending.EXITED_AFTER_SIGTERM:
        return failure(FailureClass.TIMEOUT, _no_result_at_budget(limits), execution)
    if code == EXIT_CONFIG_ERROR:
        return failure(
            FailureClass.SCRIPT_ERROR, f"the config was refused: {last_words}", execution
        )
    message = f"the script exited with {code}: {last_words}"
    return failure(FailureClass.SCRIPT_ERROR, message, execution)


def _no_result_at_budget(limits: Limits) -> str:
    return (
        f"told to end at its budget of {limits.time_budget_seconds:g} s, "
        "the script ended without a result"
    )
