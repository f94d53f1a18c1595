"""The judgement of ended runs: small scripts are really run, and each gets its failure class."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from workers.agent.attempt import StopRequest
from workers.agent.environment import script_environment
from workers.agent.execution import Ending, Execution, Limits, execute
from workers.agent.judgement import judge, without_non_finite
from workers.protocol import (
    FailureClass,
    Outcome,
    Submission,
    bits_per_byte,
    canonical_digest,
)

LIMITS = Limits(time_budget_seconds=20.0, kill_grace_seconds=5.0, memory_bytes=2**32)
SOUND: dict[str, Any] = {
    "val_bpb": bits_per_byte(200.0, 100),
    "train_loss": 2.0,
    "steps_completed": 10,
    "wall_time_seconds": 1.0,
    "device_used": "cpu",
    "model_params": 1000,
    "eval_nll_nats": 200.0,
    "eval_bytes": 100,
    "eval_tokens": 100,
    "tokens_trained": 1000,
    "dataset_sha256": "ab" * 32,
    "seed": 42,
    "stop_reason": "time",
}
LINE = json.dumps(SOUND)


def verdict_on(folder: Path, source: str) -> Submission:
    """Run ``source`` as a script and return what the agent would submit."""
    path = folder / "script.py"
    path.write_text(f"import os, signal, sys\nLINE = {LINE!r}\n{source}\n")
    execution = execute(
        [sys.executable, "-u", str(path)],
        tag=f"test/{uuid.uuid4()}",
        environment=script_environment(folder, folder),
        folder=folder,
        limits=LIMITS,
        stop=StopRequest(),
    )
    return judge(execution, LIMITS)


def ended(**changes: Any) -> Execution:
    """Return a run that ended well, apart from ``changes``."""
    sound: dict[str, Any] = {
        "ending": Ending.EXITED,
        "exit_code": 0,
        "wall_time_seconds": 1.0,
        "result": SOUND,
        "stderr_tail": "",
    }
    return Execution(**(sound | changes))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("pass", FailureClass.NO_JSON),
        ("print('val_bpb 1.5')", FailureClass.NO_JSON),
        ("sys.stdout.buffer.write(os.urandom(10_000))", FailureClass.NO_JSON),
        ("print(LINE[:50], end='')", FailureClass.NO_JSON),
        ("print(LINE, file=sys.stderr)", FailureClass.NO_JSON),
        ("print(LINE); sys.exit(1)", FailureClass.SCRIPT_ERROR),
        ("print(LINE); 1 / 0", FailureClass.SCRIPT_ERROR),
        ("sys.exit(2)", FailureClass.SCRIPT_ERROR),
        ("os.abort()", FailureClass.SCRIPT_ERROR),
        ("sys.exit(3)", FailureClass.ENV_ERROR),
        ("import torch_of_another_name_here", FailureClass.SCRIPT_ERROR),
        ("raise ModuleNotFoundError(\"No module named 'torch'\")", FailureClass.ENV_ERROR),
        ("raise MemoryError", FailureClass.OOM),
        ("raise RuntimeError('CUDA out of memory. Tried to allocate')", FailureClass.OOM),
        ("os.kill(os.getpid(), signal.SIGKILL)", FailureClass.OOM),
        ("raise OSError(28, os.strerror(28))", FailureClass.DISK_FULL),
        ("print('{}')", FailureClass.INVALID_RESULT),
        ("print('{\"val_bpb\": 1.5}')", FailureClass.INVALID_RESULT),
    ],
)
def test_a_run_without_a_result_gets_its_class(
    tmp_path: Path, source: str, expected: FailureClass
) -> None:
    submission = verdict_on(tmp_path, source)
    assert submission["outcome"] is Outcome.FAILED
    assert submission["failure_class"] is expected
    assert submission["message"]


@pytest.mark.parametrize(
    "source",
    [
        "print(LINE)",
        "print(LINE, end='')",
        "print('starting'); print('{\"val_bpb\": 1}'); print(LINE); print('bye')",
        "print(LINE); print(LINE[:50], end='')",
    ],
    ids=["one line", "no newline", "the last of two, amid text", "before half a line"],
)
def test_a_run_with_a_sound_result_line_is_completed(tmp_path: Path, source: str) -> None:
    submission = verdict_on(tmp_path, source)
    assert submission["outcome"] is Outcome.COMPLETED
    assert submission["metrics"] == SOUND
    assert submission["exit_code"] == 0


def test_a_loss_that_became_nan_is_a_finding(tmp_path: Path) -> None:
    line = json.dumps(SOUND | {"val_bpb": float("nan"), "train_loss": float("inf")})
    submission = verdict_on(tmp_path, f"print({line!r})")
    assert submission["outcome"] is Outcome.COMPLETED
    assert submission["metrics"] == SOUND | {
        "val_bpb": None,
        "train_loss": None,
        "diverged": True,
    }
    assert canonical_digest(submission)  # refuses NaN


def test_numbers_that_json_does_not_have_become_null_at_every_depth() -> None:
    metrics = {"val_bpb": 1.5, "curve": [1.0, float("nan"), {"a": float("-inf")}]}
    assert without_non_finite(metrics) == {"val_bpb": 1.5, "curve": [1.0, None, {"a": None}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"val_bpb": 9.9},
        {"val_bpb": None},
        {"val_bpb": True},
        {"eval_bytes": 0},
        {"seed": 10**400},
        {"seed": 2**63},
        {"note": "\ud800"},
        {"note": "\0"},
        {"note": "x" * 70_000},
        {"steps_completed": "10"},
    ],
)
def test_a_result_that_contradicts_itself_or_cannot_be_stored_is_invalid(
    changes: dict[str, Any],
) -> None:
    submission = judge(ended(result=SOUND | changes), LIMITS)
    assert submission["failure_class"] is FailureClass.INVALID_RESULT


@pytest.mark.parametrize(
    ("execution", "expected"),
    [
        (ended(ending=Ending.TIMEOUT, exit_code=-9), FailureClass.TIMEOUT),
        (ended(ending=Ending.MEMORY, exit_code=-9), FailureClass.OOM),
        (ended(ending=Ending.OUTPUT_FLOOD, exit_code=-9), FailureClass.OUTPUT_FLOOD),
        (ended(ending=Ending.EXITED_AFTER_SIGTERM, exit_code=-15), FailureClass.TIMEOUT),
        (
            ended(ending=Ending.EXITED_AFTER_SIGTERM, exit_code=0, result=None),
            FailureClass.TIMEOUT,
        ),
        (ended(survivors=[123]), FailureClass.ENV_ERROR),
    ],
    ids=["hard kill", "memory", "flood", "sigterm", "sigterm without result", "survivor"],
)
def test_a_run_that_was_ended_gets_its_class_whatever_it_printed(
    execution: Execution, expected: FailureClass
) -> None:
    submission = judge(execution, LIMITS)
    assert submission["failure_class"] is expected
    assert submission.get("metrics") is None


def test_a_result_in_the_grace_after_sigterm_is_taken() -> None:
    submission = judge(ended(ending=Ending.EXITED_AFTER_SIGTERM), LIMITS)
    assert submission["outcome"] is Outcome.COMPLETED


def test_the_message_quotes_the_last_words_that_are_no_progress_line() -> None:
    tail = 'Traceback\nValueError: no heads\n{"event": "progress", "step": 1}\n'
    submission = judge(ended(exit_code=1, stderr_tail=tail), LIMITS)
    assert submission["message"] == "the script exited with 1: ValueError: no heads"
    assert submission["stderr_tail"] == tail
