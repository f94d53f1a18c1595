"""The seven steps of one task: verified inputs, a clean environment, and nothing left behind."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.agent.tasks.bench import SCRIPT, TEXT_SHA256, Bench, failure_of, metrics_of
from workers.agent.attempt import StopReason
from workers.agent.running.hardware import Machine
from workers.agent.tasks.outcomes import RunOutcome
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import FailureClass, ScriptOrigin
from workers.result_line import metrics_problems


def test_a_task_becomes_a_submission_with_the_hash_of_the_code_that_ran(bench: Bench) -> None:
    outcome = bench.run(bench.attempt())
    assert metrics_of(outcome)["val_bpb"] == 2.0
    assert outcome.submission is not None
    assert outcome.submission["code_sha256"] == hashlib.sha256(SCRIPT).hexdigest()
    assert outcome.submission["stderr_tail"] == "to stderr\n"
    assert outcome.submission.get("simulated") is None


def test_the_script_reads_params_seed_budget_and_data_set_from_the_config_file(
    bench: Bench,
) -> None:
    metrics = metrics_of(bench.run(bench.attempt(config={"seed": 48, "lr": 0.5})))
    assert metrics["config"] == {
        "seed": 48,
        "lr": 0.5,
        "time_budget_seconds": 20.0,
        "dataset": "hamlet",
        "dataset_sha256": TEXT_SHA256,
    }
    assert metrics["argv"][1] == "--config-file"


def test_the_environment_is_clean_and_stays_in_the_task_folder(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XEENET_WORKER_TOKEN", "xw_secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    metrics = metrics_of(bench.run(bench.attempt(), grant={"threads": 3}))
    environment = metrics["environment"]
    assert "xw_secret" not in json.dumps(metrics)
    assert "PYTHONPATH" not in environment
    assert environment["HOME"] == environment["TMPDIR"] == metrics["cwd"]
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["XEENET_DATA_DIR"] == str(bench.state.data)


def test_a_machine_without_torch_gives_the_task_back_as_env_error(bench: Bench) -> None:
    machine = Machine({"notes": ["torch: No module named 'torch'"]})
    outcome = bench.run(bench.attempt(), machine)
    assert failure_of(outcome)[0] is FailureClass.ENV_ERROR
    assert outcome.pause_reason


@pytest.mark.parametrize("origin", list(ScriptOrigin))
def test_a_script_that_says_it_has_no_data_pays_for_it_itself(
    bench: Bench, origin: ScriptOrigin
) -> None:
    policy = CodePolicy(server_code=True, uploaded_scripts=True)
    attempt = bench.attempt(b"import sys; sys.exit(3)", script_origin=origin)
    outcome = bench.run(attempt, policy=policy)
    assert failure_of(outcome)[0] is FailureClass.SCRIPT_ERROR
    assert outcome.pause_reason == ""


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (ScriptOrigin.BUILTIN, FailureClass.ENV_ERROR),
        (ScriptOrigin.UPLOADED, FailureClass.SCRIPT_ERROR),
    ],
)
def test_only_an_installed_script_is_believed_that_its_data_set_vanished(
    bench: Bench, origin: ScriptOrigin, expected: FailureClass
) -> None:
    source = b"""
import os, pathlib, sys
for path in pathlib.Path(os.environ["XEENET_DATA_DIR"]).iterdir():
    path.unlink()
sys.exit(3)
"""
    policy = CodePolicy(server_code=True, uploaded_scripts=True)
    outcome = bench.run(bench.attempt(source, script_origin=origin), policy=policy)
    assert failure_of(outcome)[0] is expected


@pytest.mark.parametrize(
    "line",
    [
        '{"a":' + "[" * 600 + "]" * 600 + "}",
        '{"val_bpb":' + "[" * 600 + "]" * 600 + "}",
        '{"val_bpb":' * 400 + "1" + "}" * 400,
        '{"val_bpb": 1e999, "seed": -1e999, "eval_bytes": []}',
        '{"val_bpb": {}, "stop_reason": {}, "steps_completed": "x", "diverged": []}',
        '{"val_bpb": "\\ud800", "\\ud800": 1}',
        '{"val_bpb": 2, "n": [' + "9" * 4000 + "]}",
    ],
    ids=["deep", "deep metric", "deep objects", "infinite", "types", "surrogates", "digits"],
)
def test_nothing_that_a_script_prints_is_the_workers_trouble(bench: Bench, line: str) -> None:
    source = f"import sys; print({line!r}); print({line!r}, file=sys.stderr)".encode()
    outcome = bench.run(bench.attempt(source))
    assert failure_of(outcome)[0] is FailureClass.INVALID_RESULT
    assert outcome.pause_reason == ""


def test_a_judgement_that_breaks_is_the_scripts_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr("workers.agent.tasks.verdict.judge", break_down)
    outcome = bench.run(bench.attempt())
    assert failure_of(outcome)[0] is FailureClass.INVALID_RESULT
    assert outcome.pause_reason == ""


def test_a_broken_gpu_pauses_the_worker_with_the_reason(bench: Bench) -> None:
    source = b"raise RuntimeError('CUDA error: uncorrectable ECC error encountered')"
    outcome = bench.run(bench.attempt(source))
    assert failure_of(outcome)[0] is FailureClass.ENV_ERROR
    assert "uncorrectable ECC error" in outcome.pause_reason


def test_a_config_that_the_script_refuses_is_told_to_the_server_as_final(bench: Bench) -> None:
    source = b"import sys; print('lr must be above 0', file=sys.stderr); sys.exit(2)"
    outcome = bench.run(bench.attempt(source, config={"seed": 1, "lr": -1}))
    assert outcome.submission is not None
    assert outcome.submission["final"] is True


def test_a_run_that_hangs_after_all_its_steps_is_ended_before_its_budget(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.agent.running.execution._AFTER_ALL_STEPS_SECONDS", 0.2)
    source = SCRIPT + b"import time; sys.stdout.flush(); time.sleep(60)\n"
    attempt = bench.attempt(source, config={"seed": 1, "max_steps": 1})
    outcome = bench.run(attempt)
    assert metrics_of(outcome)["val_bpb"] == 2.0
    assert outcome.submission is not None
    assert outcome.submission["message"].startswith("did not exit: ")


def test_the_task_folder_is_gone_whatever_the_script_did_to_it(bench: Bench) -> None:
    bench.run(bench.attempt())
    assert list(bench.state.work.iterdir()) == []


def test_the_folder_of_a_failed_run_is_kept_when_asked_for(bench: Bench) -> None:
    attempt = bench.attempt(b"import sys; sys.exit(1)")
    bench.run(attempt, keep_failed=True)
    assert list(bench.state.work.iterdir()) == []
    assert (bench.state.kept / attempt.lease_id / "config.json").exists()


def test_a_folder_that_cannot_be_kept_does_not_cost_the_result(bench: Bench) -> None:
    bench.state.kept.write_text("a file where the folder should be")
    outcome = bench.run(bench.attempt(b"import sys; sys.exit(1)"), keep_failed=True)
    assert failure_of(outcome)[0] is FailureClass.SCRIPT_ERROR


def test_the_folder_of_a_completed_run_is_never_kept(bench: Bench) -> None:
    bench.run(bench.attempt(), keep_failed=True)
    assert not bench.state.kept.exists()


@pytest.mark.parametrize(
    ("reason", "release_reason"),
    [
        (StopReason.CANCEL, ""),
        (StopReason.LOST, ""),
        (StopReason.DRAIN, "the agent was stopped"),
    ],
)
def test_a_stopped_run_submits_nothing_and_only_a_drained_one_is_released(
    bench: Bench, reason: StopReason, release_reason: str
) -> None:
    attempt = bench.attempt()
    attempt.stop.request(reason)
    assert bench.run(attempt) == RunOutcome(release_reason=release_reason)
    assert list(bench.state.work.iterdir()) == []


def test_a_task_whose_set_up_ate_its_deadline_is_released_instead_of_run_in_vain(
    bench: Bench,
) -> None:
    attempt = bench.attempt(time_budget_seconds=20.0, deadline_seconds=19.0)
    reason = "the set-up took too long for the deadline"
    assert bench.run(attempt) == RunOutcome(release_reason=reason)


def test_a_broken_work_folder_is_an_env_error_and_no_crash(bench: Bench) -> None:
    bench.state.work.rmdir()
    bench.state.work.write_text("a file where the folder should be")
    outcome = bench.run(bench.attempt())
    assert failure_of(outcome)[0] is FailureClass.ENV_ERROR
    assert "NotADirectoryError" in outcome.pause_reason


def test_a_simulated_run_says_so_and_is_sound(bench: Bench) -> None:
    outcome = bench.run(bench.attempt(), simulate=True)
    assert outcome.submission is not None
    assert outcome.submission["simulated"] is True
    assert metrics_problems(metrics_of(outcome)) == []
    assert bench.server.calls("datasets") == []
