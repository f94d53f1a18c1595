"""The judgement of ended runs: small scripts are really run, and each gets its failure class."""

from __future__ import annotations

import dataclasses
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from experiments.metrics import bits_per_byte
from workers.agent.attempt import StopRequest
from workers.agent.output.metrics import without_non_finite
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending, Execution, Limits, execute
from workers.agent.tasks.judgement import judge
from workers.protocol import (
    FailureClass,
    Outcome,
    Submission,
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


def verdict_on(folder: Path, source: str, **limits: Any) -> Submission:
    """Run ``source`` as a script and return what the agent would submit."""
    applied = dataclasses.replace(LIMITS, **limits)
    path = folder / "script.py"
    path.write_text(f"import os, signal, sys\nLINE = {LINE!r}\n{source}\n")
    execution = execute(
        [sys.executable, "-u", str(path)],
        tag=f"test/{uuid.uuid4()}",
        environment=script_environment(folder, folder),
        folder=folder,
        limits=applied,
        stop=StopRequest(),
    )
    return judge(execution, applied)


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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ending": Ending.TIMEOUT, "exit_code": -9}, FailureClass.TIMEOUT),
        ({"ending": Ending.MEMORY, "exit_code": -9}, FailureClass.OOM),
        ({"ending": Ending.DISK, "exit_code": -9}, FailureClass.DISK_FULL),
        ({"ending": Ending.OUTPUT_FLOOD, "exit_code": -9}, FailureClass.OUTPUT_FLOOD),
        ({"ending": Ending.EXITED_AFTER_SIGTERM, "exit_code": -15}, FailureClass.TIMEOUT),
        ({"ending": Ending.EXITED_AFTER_SIGTERM}, FailureClass.TIMEOUT),
        ({"survivors": [123], "exit_code": None}, FailureClass.ENV_ERROR),
        ({"exit_code": -11}, FailureClass.SCRIPT_ERROR),
        ({"exit_code": -9}, FailureClass.OOM),
        ({"exit_code": -7}, FailureClass.OOM),
    ],
    ids=str,
)
def test_a_run_that_was_ended_without_a_result_gets_its_class(
    changes: dict[str, Any], expected: FailureClass
) -> None:
    submission = judge(ended(result=None, **changes), LIMITS)
    assert submission["failure_class"] is expected
    assert submission.get("metrics") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ending": Ending.EXITED_AFTER_SIGTERM, "exit_code": -15},
            "did not exit: ended by SIGTERM at its budget",
        ),
        (
            {"ending": Ending.EXITED_AFTER_SIGTERM, "exit_code": 1},
            "did not exit: ended by SIGTERM at its budget",
        ),
        (
            {"ending": Ending.TIMEOUT, "exit_code": -9},
            "did not exit: killed 5 s after its budget of 20 s",
        ),
        (
            {"survivors": [12, 34], "exit_code": None},
            "did not exit: processes of the script could not be killed (pid 12, 34)",
        ),
        ({"exit_code": -11}, "crashed while exiting: SIGSEGV"),
        ({"exit_code": -6}, "crashed while exiting: SIGABRT"),
        ({"exit_code": -9}, "crashed while exiting: SIGKILL"),
        ({"exit_code": 0xC0000005 - 2**32}, "crashed while exiting: error 0xC0000005"),
        (
            {"ending": Ending.MEMORY, "exit_code": -9, "peak_memory_bytes": 5_000},
            "killed for using 5,000 bytes of memory, with 4,294,967,296 allowed",
        ),
        (
            {"ending": Ending.OUTPUT_FLOOD, "exit_code": -9},
            "killed for printing more than 67,108,864 bytes",
        ),
    ],
    ids=str,
)
def test_a_complete_line_counts_however_the_process_ended_and_the_message_says_how(
    changes: dict[str, Any], message: str
) -> None:
    submission = judge(ended(**changes), LIMITS)
    assert submission["outcome"] is Outcome.COMPLETED
    assert submission["metrics"] == SOUND
    assert submission["message"] == message


@pytest.mark.parametrize("code", [1, 2, 3, 139])
def test_a_script_takes_its_line_back_with_its_own_exit_code(code: int) -> None:
    assert judge(ended(exit_code=code), LIMITS)["failure_class"] is FailureClass.SCRIPT_ERROR


def test_a_line_of_a_run_that_somebody_stopped_does_not_count() -> None:
    submission = judge(ended(ending=Ending.STOPPED, exit_code=-9, survivors=[12]), LIMITS)
    assert submission["failure_class"] is FailureClass.ENV_ERROR


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import threading as t; t.Thread(target=t.Event().wait).start(); print(LINE)",
            "did not exit: ended by SIGTERM at its budget",
        ),
        ("print(LINE, flush=True); os.kill(os.getpid(), 11)", "crashed while exiting: SIGSEGV"),
        ("print(LINE, flush=True); os.abort()", "crashed while exiting: SIGABRT"),
    ],
    ids=["a thread goes on", "a segmentation fault", "an abort"],
)
def test_a_measured_result_of_a_real_script_survives_its_end(
    tmp_path: Path, source: str, message: str
) -> None:
    submission = verdict_on(tmp_path, source, time_budget_seconds=2.0)
    assert submission["outcome"] is Outcome.COMPLETED
    assert submission["message"] == message


def test_under_max_steps_a_script_that_hangs_is_ended_a_while_after_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.agent.running.execution._AFTER_ALL_STEPS_SECONDS", 0.5)
    # A line after 4 of 10 steps must not end the run, although it then takes longer than that.
    early = json.dumps(SOUND | {"steps_completed": 4})
    source = (
        f"import time; print({early!r}, flush=True); time.sleep(1.5); print(LINE, flush=True);"
        "time.sleep(60)"
    )
    submission = verdict_on(tmp_path, source, max_steps=10)
    assert submission["metrics"] == SOUND
    assert submission["message"].startswith("did not exit: ended by SIGTERM some time after")
    seconds = submission["wall_time_seconds"]
    assert seconds is not None
    assert 2.0 < seconds < 15.0


def test_a_line_does_not_end_a_run_without_max_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.agent.running.execution._AFTER_ALL_STEPS_SECONDS", 0.1)
    later = json.dumps(SOUND | {"steps_completed": 20})
    source = f"import time; print(LINE, flush=True); time.sleep(1.5); print({later!r})"
    metrics = verdict_on(tmp_path, source)["metrics"]
    assert metrics is not None
    assert metrics["steps_completed"] == 20


def test_a_result_in_the_grace_after_sigterm_is_taken() -> None:
    submission = judge(ended(ending=Ending.EXITED_AFTER_SIGTERM), LIMITS)
    assert submission["outcome"] is Outcome.COMPLETED


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


@pytest.mark.parametrize("value", [5.8, None])
@pytest.mark.parametrize("stop_reason", ["terminated", "time_budget"])
def test_a_value_before_the_first_step_because_sigterm_came_is_a_finding_without_one(
    value: float | None, stop_reason: str
) -> None:
    untrained = {"steps_completed": 0, "tokens_trained": 0, "stop_reason": stop_reason}
    untrained |= {"val_bpb": value, "train_loss": None}
    execution = ended(ending=Ending.EXITED_AFTER_SIGTERM, result=SOUND | untrained)
    submission = judge(execution, LIMITS)
    assert submission["outcome"] is Outcome.COMPLETED
    metrics = submission["metrics"]
    assert metrics is not None
    assert (metrics["val_bpb"], metrics["stop_reason"]) == (None, "budget_too_small")


def test_a_value_whose_script_says_that_no_step_fitted_counts_with_its_steps() -> None:
    result = SOUND | {"stop_reason": "budget_too_small", "steps_completed": 1}
    submission = judge(ended(result=result), LIMITS)
    metrics = submission["metrics"]
    assert metrics is not None
    assert (metrics["val_bpb"], metrics["stop_reason"]) == (SOUND["val_bpb"], "time_budget")
    assert "budget_too_small" in submission["message"]


# --- Exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "train: wrong config /some/config.json: lr must be a finite number above 0",
        "lr must be above 0",
        "text is too short for context_length 900000",
        "usage: train.py [-h]\ntrain.py: error: argument --lr: invalid float value: 'x'",
    ],
)
def test_a_config_that_the_script_refuses_is_final(words: str) -> None:
    execution = ended(exit_code=2, result=None, stderr_tail=f"{words}\n")
    submission = judge(execution, LIMITS, config={"lr": 0.1, "context_length": 900_000})
    assert submission["failure_class"] is FailureClass.SCRIPT_ERROR
    assert submission["final"] is True
    assert submission["message"].startswith("the config was refused: ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ""),
        (2, "python: can't open file '/srv/config.py': [Errno 2] No such file or directory"),
        (
            2,
            "Unknown option: -Z\nusage: python [option] ... [-c cmd | -m mod | file | -] [arg] ...",
        ),
        (2, "usage: t.py [-h]\nt.py: error: unrecognized arguments: --config-file config.json"),
        (2, "cannot read the config file x.json: [Errno 2] No such file or directory"),
        (2, "config: device cuda is not available on this machine"),
        (2, "config: the data file hamlet.txt does not exist"),
        (1, "wrong config: lr must be above 0"),
        (4, "wrong config: lr must be above 0"),
    ],
)
def test_no_other_exit_is_final(code: int, words: str) -> None:
    submission = judge(ended(exit_code=code, result=None, stderr_tail=words), LIMITS)
    assert submission["failure_class"] is FailureClass.SCRIPT_ERROR
    assert "final" not in submission


def test_a_script_without_its_data_is_believed_only_where_the_data_is_gone() -> None:
    execution = ended(exit_code=3, result=None, stderr_tail="no data\n")
    assert judge(execution, LIMITS)["failure_class"] is FailureClass.SCRIPT_ERROR
    gone = judge(execution, LIMITS, data_in_place=False)
    assert gone["failure_class"] is FailureClass.ENV_ERROR


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (None, FailureClass.ENV_ERROR),
        (["cuda", "cpu"], FailureClass.ENV_ERROR),
        (["cpu"], FailureClass.SCRIPT_ERROR),
    ],
)
def test_an_absent_gpu_is_the_machines_trouble_only_where_it_had_one(
    devices: list[str] | None, expected: FailureClass
) -> None:
    tail = "RuntimeError: No CUDA GPUs are available\n"
    execution = ended(exit_code=1, result=None, stderr_tail=tail)
    assert judge(execution, LIMITS, devices=devices)["failure_class"] is expected
