"""The judgement of ended runs: what they printed, and which failure class they get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agent.tasks.verdicts import LIMITS, SOUND, ended, verdict_on
from workers.agent.output.metrics import without_non_finite
from workers.agent.tasks.judgement import judge
from workers.protocol import FailureClass, Outcome, canonical_digest


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
        ("sys.exit(3)", FailureClass.SCRIPT_ERROR),
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
        'print(LINE); print(\'{"status": "uploaded"}\')',
        "print(LINE); print('{\"val_bpb\": 1}')",
        "print('\\rstep 1/5\\rstep 5/5\\r', end=''); print(LINE)",
        "print('100%|###| 5/5 [00:01<00:00]', end=''); print(LINE)",
        "print('\\x1b[32m' + LINE + '\\x1b[0m')",
        "import json; print(json.dumps(json.loads(LINE), indent=2))",
        "import json; print('result:', json.dumps(json.loads(LINE), indent=4)); print('bye')",
        "print('INFO:root:' + LINE + ' (saved)')",
    ],
    ids=[
        *("one line", "no newline", "the last of two, amid text", "before half a line"),
        *("before another object", "before an unsound line", "after a progress bar"),
        *("behind a bar without a line end", "in colour", "indented", "indented behind a word"),
        "in a log line",
    ],
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


def test_the_message_quotes_the_last_words_that_are_no_progress_line() -> None:
    tail = 'Traceback\nValueError: no heads\n{"event": "progress", "step": 1}\n'
    submission = judge(ended(exit_code=1, stderr_tail=tail), LIMITS)
    assert submission["message"] == "the script exited with 1: ValueError: no heads"
    assert submission["stderr_tail"] == tail


@pytest.mark.parametrize("key", ["steps_completed", "model_params", "eval_bytes", "seed"])
def test_a_counter_written_as_a_float_is_a_whole_number(key: str) -> None:
    submission = judge(ended(result=SOUND | {key: float(SOUND[key])}), LIMITS)
    assert submission["metrics"] == SOUND
    assert type(submission["metrics"][key]) is int


def test_a_counter_with_a_fraction_is_none() -> None:
    submission = judge(ended(result=SOUND | {"steps_completed": 10.5}), LIMITS)
    assert submission["failure_class"] is FailureClass.INVALID_RESULT


@pytest.mark.parametrize("depth", [32, 600, 900])
def test_brackets_in_brackets_are_an_invalid_result_and_raise_nothing(depth: int) -> None:
    deep: Any = []
    for _ in range(depth):
        deep = [deep]
    submission = judge(ended(result=SOUND | {"deep": deep}), LIMITS)
    assert submission["failure_class"] is FailureClass.INVALID_RESULT
    assert "levels deep" in submission["message"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("print(\"{'val_bpb': 2.5}\")", "the last of 1 line(s) on stdout: {'val_bpb': 2.5}"),
        ("print('a'); print('\\x1b[1mb')", "the last of 2 line(s) on stdout: b"),
        ("pass", "nothing was on stdout"),
        ("print(LINE, file=sys.stderr)", "an object with val_bpb was on stderr"),
        ("print(LINE[:60])", 'an object begins and does not end: {"val_bpb": 2.88'),
        ("print('{' + 'x' * 2**20 + '}')", "1 line(s) on stdout had over 1,048,576 bytes"),
    ],
)
def test_where_nothing_can_be_used_the_message_says_what_was_seen(
    tmp_path: Path, source: str, message: str
) -> None:
    submission = verdict_on(tmp_path, source)
    assert submission["failure_class"] is FailureClass.NO_JSON
    assert message in submission["message"]


def test_progress_that_could_not_be_used_is_told_with_the_result(tmp_path: Path) -> None:
    line = json.dumps({"event": "progress", "step": 1, "time": 2.5})
    submission = verdict_on(tmp_path, f"print({line!r}, file=sys.stderr); print(LINE)")
    assert submission["outcome"] is Outcome.COMPLETED
    assert submission["message"] == (
        "no learning curve: 1 progress line(s) could not be used, "
        "elapsed_seconds must be a number of at least 0"
    )
