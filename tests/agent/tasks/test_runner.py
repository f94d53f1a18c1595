"""The seven steps of one task: verified inputs, a clean environment, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import catalog
from tests.agent.server import TEXT, WORKER_TOKEN, AgentServer, error, make_lease, running_server
from workers.agent.attempt import Attempt, StopReason
from workers.agent.connection.client import Client
from workers.agent.running.hardware import Machine
from workers.agent.state import StateFolder
from workers.agent.tasks.runner import Runner, RunnerSettings, RunOutcome
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import ErrorCode, FailureClass, Outcome, ScriptOrigin, metrics_problems

MACHINE = Machine({"torch_version": "2.13.0", "devices": ["cpu"]})
SERVER_CODE = CodePolicy(server_code=True)
TEXT_SHA256 = hashlib.sha256(TEXT).hexdigest()

# Prints a sound result line that also contains what the script saw.
SCRIPT = b"""
import json, os, pathlib, sys
config = json.loads(pathlib.Path(sys.argv[2]).read_text())
pathlib.Path("left_behind").mkdir(mode=0o000)
print("to stderr", file=sys.stderr)
print(json.dumps({
    "val_bpb": 2.0, "train_loss": 1.0, "steps_completed": 1, "wall_time_seconds": 0.1,
    "device_used": "cpu", "model_params": 1, "eval_nll_nats": 138.62943611198907,
    "eval_bytes": 100, "eval_tokens": 100, "tokens_trained": 1, "seed": config["seed"],
    "dataset_sha256": config["dataset_sha256"], "stop_reason": "time",
    "config": config, "environment": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(),
}))
"""

# A script whose prepare step writes the data set.
PREPARING_SCRIPT = (
    f"""
import os, pathlib, sys
if sys.argv[1] == "--prepare":
    name = "hamlet-{TEXT_SHA256[:12]}.txt"
    pathlib.Path(os.environ["XEENET_DATA_DIR"], name).write_bytes({TEXT!r})
    sys.exit(0)
""".encode()
    + SCRIPT
)


class Bench:
    """A runner with its server and state folder."""

    def __init__(self, root: Path, server: AgentServer) -> None:
        self.server = server
        self.state = StateFolder(root / "state")
        self.client = Client(server.url, WORKER_TOKEN)

    def run(self, attempt: Attempt, machine: Machine = MACHINE, **settings: Any) -> RunOutcome:
        settings = {"policy": SERVER_CODE, "memory_bytes": 2**32} | settings
        runner = Runner(self.state, self.client, machine, RunnerSettings(**settings))
        return runner.run(attempt)

    def attempt(self, source: bytes = SCRIPT, **changes: Any) -> Attempt:
        """Return an attempt on ``source``, which the server holds, with a generous budget."""
        self.server.files[hashlib.sha256(source).hexdigest()] = source
        return Attempt(make_lease(source, **({"time_budget_seconds": 20.0} | changes)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        bench = Bench(tmp_path, server)
        yield bench
        bench.client.close()


def failure_of(outcome: RunOutcome) -> tuple[FailureClass | None, str]:
    assert outcome.submission is not None
    assert outcome.submission["outcome"] is Outcome.FAILED
    return outcome.submission.get("failure_class"), outcome.submission["message"]


def metrics_of(outcome: RunOutcome) -> dict[str, Any]:
    assert outcome.submission is not None
    assert outcome.submission["outcome"] is Outcome.COMPLETED, outcome.submission
    metrics = outcome.submission["metrics"]
    assert metrics is not None
    return metrics


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
    metrics = metrics_of(bench.run(bench.attempt(), threads=3))
    environment = metrics["environment"]
    assert "xw_secret" not in json.dumps(metrics)
    assert "PYTHONPATH" not in environment
    assert environment["HOME"] == environment["TMPDIR"] == metrics["cwd"]
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["XEENET_DATA_DIR"] == str(bench.state.data)


def test_the_script_of_this_installation_needs_no_server(bench: Bench) -> None:
    name, sha256 = "train_char_lm", catalog.script_sha256("train_char_lm")
    attempt = bench.attempt(code_package_ref=name, code_sha256=sha256)
    bench.run(attempt, policy=CodePolicy())
    assert bench.server.calls("packages") == []


@pytest.mark.parametrize("name", ["train_char_lm", "script_of_a_test"])
def test_other_code_than_this_installations_is_refused(bench: Bench, name: str) -> None:
    attempt = bench.attempt(code_package_ref=name)
    outcome = bench.run(attempt, policy=CodePolicy())
    failure_class, message = failure_of(outcome)
    assert failure_class is FailureClass.REFUSED
    assert "--allow-server-code" in message
    assert outcome.pause_reason


def test_allowed_code_is_fetched_once_by_its_hash(bench: Bench) -> None:
    for _ in range(2):
        metrics_of(bench.run(bench.attempt()))
    assert len(bench.server.calls("packages")) == 1


def test_code_with_another_hash_than_asked_for_does_not_run(bench: Bench) -> None:
    attempt = bench.attempt()
    bench.server.files[attempt.lease["code_sha256"]] = b"print('something else')"
    failure_class, message = failure_of(bench.run(attempt))
    assert failure_class is FailureClass.ENV_ERROR
    assert "SHA-256" in message


def test_cached_code_that_was_changed_on_disk_does_not_run(bench: Bench) -> None:
    attempt = bench.attempt()
    cached = bench.state.packages / f"{attempt.lease['code_sha256']}.py"
    cached.write_text("print('something else')")
    assert failure_of(bench.run(attempt))[0] is FailureClass.ENV_ERROR
    assert metrics_of(bench.run(bench.attempt()))


def test_a_machine_without_torch_gives_the_task_back_as_env_error(bench: Bench) -> None:
    machine = Machine({"notes": ["torch: No module named 'torch'"]})
    outcome = bench.run(bench.attempt(), machine)
    assert failure_of(outcome)[0] is FailureClass.ENV_ERROR
    assert outcome.pause_reason


@pytest.mark.parametrize("files", ["packages", "datasets"])
def test_a_lease_that_ran_out_before_its_files_were_fetched_is_nobodys_fault(
    bench: Bench, files: str
) -> None:
    bench.server.scripted[files] = [error(409, ErrorCode.LEASE_LOST)]
    outcome = bench.run(bench.attempt())
    assert (outcome.submission, outcome.pause_reason, outcome.release_reason) == (None, "", "")


@pytest.mark.parametrize("files", ["packages", "datasets"])
def test_a_server_that_does_not_deliver_a_tasks_files_gets_it_back_and_nobody_is_blamed(
    bench: Bench, files: str
) -> None:
    bench.server.scripted[files] = [error(503, "away", Retry_After="0") for _ in range(4)]
    outcome = bench.run(bench.attempt())
    assert (outcome.submission, outcome.pause_reason) == (None, "")
    assert outcome.release_reason == "the server did not deliver the task's files: no (HTTP 503)"
    assert outcome.unavailable is not None
    assert list(bench.state.work.iterdir()) == []


def test_no_task_is_held_for_as_long_as_a_server_asks_to_be_left_alone(bench: Bench) -> None:
    bench.server.scripted["packages"] = [error(503, "away", Retry_After="3600")]
    outcome = bench.run(bench.attempt())
    assert outcome.unavailable is not None
    assert outcome.unavailable.retry_after_seconds == 3600.0
    assert len(bench.server.calls("packages")) == 1


def test_a_script_that_fetches_its_data_set_by_itself_needs_no_server_for_it(bench: Bench) -> None:
    bench.server.scripted["datasets"] = [error(503, "away", Retry_After="3600")]
    assert metrics_of(bench.run(bench.attempt(PREPARING_SCRIPT)))


@pytest.mark.parametrize("files", ["packages", "datasets"])
def test_files_that_the_server_refuses_are_this_machines_trouble(bench: Bench, files: str) -> None:
    bench.server.scripted[files] = [error(403, ErrorCode.PERMISSION_DENIED)]
    outcome = bench.run(bench.attempt())
    assert failure_of(outcome)[0] is FailureClass.ENV_ERROR
    assert outcome.pause_reason


def test_the_data_set_is_fetched_from_the_server_once(bench: Bench) -> None:
    for _ in range(2):
        metrics_of(bench.run(bench.attempt()))
    assert len(bench.server.calls("datasets")) == 1
    (path,) = bench.state.data.iterdir()
    assert path.read_bytes() == TEXT
    assert path.name == f"hamlet-{TEXT_SHA256[:12]}.txt"


def test_a_data_set_that_was_changed_on_disk_is_fetched_again(bench: Bench) -> None:
    bench.run(bench.attempt())
    (path,) = bench.state.data.iterdir()
    path.write_text("poisoned")
    metrics_of(bench.run(bench.attempt()))
    assert path.read_bytes() == TEXT


def test_a_data_set_the_server_does_not_hold_comes_from_the_scripts_prepare_step(
    bench: Bench,
) -> None:
    del bench.server.files[TEXT_SHA256]
    assert metrics_of(bench.run(bench.attempt(PREPARING_SCRIPT)))


def test_a_data_set_that_nobody_has_is_an_env_error_that_says_what_was_tried(
    bench: Bench,
) -> None:
    del bench.server.files[TEXT_SHA256]
    source = b"import sys; print('no mirror answers', file=sys.stderr); sys.exit(3)"
    failure_class, message = failure_of(bench.run(bench.attempt(source)))
    assert failure_class is FailureClass.ENV_ERROR
    assert "hamlet" in message
    assert "no mirror answers" in message


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

    monkeypatch.setattr("workers.agent.tasks.runner.judge", break_down)
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


def test_a_data_set_larger_than_announced_is_not_taken(bench: Bench) -> None:
    dataset = {"name": "hamlet", "sha256": TEXT_SHA256, "size_bytes": 10}
    assert failure_of(bench.run(bench.attempt(dataset=dataset)))[0] is FailureClass.ENV_ERROR
    assert list(bench.state.data.iterdir()) == []


def test_a_busy_server_does_not_spoil_the_set_up(bench: Bench) -> None:
    bench.server.scripted["datasets"] = [error(503, "database_unavailable", Retry_After="0.1")]
    assert metrics_of(bench.run(bench.attempt()))


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
