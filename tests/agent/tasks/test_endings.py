"""The judgement of ended runs: what the way in which a process ended means for its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agent.tasks.verdicts import LIMITS, SOUND, ended, verdict_on
from workers.agent.running.execution import Ending
from workers.agent.tasks.judgement import judge
from workers.protocol import FailureClass, Outcome


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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "time_budget"),
        ({"val_bpb": None, "eval_nll_nats": None}, "no_time_to_evaluate"),
    ],
)
def test_a_script_that_says_no_step_fitted_after_a_step_is_corrected(
    changes: dict[str, Any], reason: str
) -> None:
    result = SOUND | {"stop_reason": "budget_too_small", "steps_completed": 1} | changes
    submission = judge(ended(result=result), LIMITS)
    metrics = submission["metrics"]
    assert metrics is not None
    assert (metrics["val_bpb"], metrics["stop_reason"]) == (result["val_bpb"], reason)
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
