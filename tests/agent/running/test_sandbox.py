"""Isolation tier T1: what a script in the sandbox cannot see, reach or leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agent.runs import (
    ANNOUNCE,
    DETACH,
    Run,
    in_both_tiers,
    kill_with_its_guardians,
    working_sandbox,
)
from tests.agent.server import running_server, wait_until
from tests.agent.tasks.bench import (
    PREPARING_SCRIPT,
    SCRIPT,
    SERVER_CODE,
    TEXT_SHA256,
    Bench,
    failure_of,
    metrics_of,
)
from tests.processes import ROOT
from workers.agent.processes.process_tree import kill_tagged
from workers.agent.running import sandbox as sandbox_module
from workers.agent.running.environment import script_environment
from workers.agent.running.sandbox import SandboxUnavailable, find_sandbox
from workers.agent.state import Credentials
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import FailureClass, IsolationTier, ScriptOrigin

SECRET = "xw_do-not-find-me"
UPLOADS = CodePolicy(uploaded_scripts=True)

# Reports in its result line what it could find, reach and write.
SPY = (
    b"""
import os, pathlib, socket, sys
report = {}
def attempt(name, action):
    try:
        report[name] = action()
    except Exception as error:
        report[name] = type(error).__name__
def secrets():
    places = [pathlib.Path(os.environ["SPY_STATE"]), pathlib.Path("/proc")]
    hits = []
    for place in places:
        for folder, folders, files in os.walk(place):
            folders[:] = [name for name in folders if name not in {"sys", "task", "net"}]
            for name in files if place.name != "proc" else {"environ", "cmdline"} & set(files):
                try:
                    with open(os.path.join(folder, name), "rb") as file:
                        if b"do-not-"+b"find-me" in file.read(1 << 20):
                            hits.append(os.path.join(folder, name))
                except OSError:
                    pass
    return hits
config = pathlib.Path(sys.argv[2]).read_text()
import json
os.environ["SPY_STATE"] = json.loads(config)["state"]
attempt("secrets", secrets)
attempt("connect", lambda: socket.create_connection(("127.0.0.1", json.loads(config)["port"]), 5)
        .close())
attempt("dataset", lambda: len(next(pathlib.Path(os.environ["XEENET_DATA_DIR"]).glob("hamlet-*"))
        .read_bytes()))
attempt("write to the cache", lambda: pathlib.Path(os.environ["XEENET_DATA_DIR"], "x")
        .write_text("x"))
attempt("write beside the interpreter", lambda: os.access(os.path.dirname(sys.executable), os.W_OK))
attempt("write to /tmp", lambda: pathlib.Path("/tmp/xeenet-spy").write_text("x"))
attempt("write here", lambda: pathlib.Path("x").write_text("x"))
attempt("fill shared memory", lambda: pathlib.Path("/dev/shm/x").write_bytes(bytes(300 << 20)))
attempt("open files", lambda: len(os.listdir("/proc/self/fd")) - 1)  # without the listing's own
attempt("processes", lambda: sum(name.isdigit() for name in os.listdir("/proc")))
os.environ["SPY"] = json.dumps(report)
"""
    + SCRIPT
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        bench = Bench(tmp_path, server)
        bench.state.store_credentials(Credentials(server.url, SECRET, "bench"))
        yield bench
        bench.client.close()


def report_of_the_spy(bench: Bench, **settings: Any) -> dict[str, Any]:
    port = int(bench.server.url.rpartition(":")[2])
    config = {"seed": 42, "port": port, "state": str(bench.state.root)}
    metrics = metrics_of(bench.run(bench.attempt(SPY, config=config), **settings))
    report: dict[str, Any] = json.loads(metrics["environment"]["SPY"])
    return report


def test_a_script_in_the_sandbox_finds_no_token_no_network_and_nothing_to_write_but_its_folder(
    bench: Bench,
) -> None:
    assert report_of_the_spy(bench, sandbox=working_sandbox()) == {
        "secrets": [],
        "connect": "ConnectionRefusedError",  # its own loopback, where nothing listens
        "dataset": 2150,
        "write to the cache": "OSError",
        "write beside the interpreter": False,
        "write to /tmp": "OSError",
        "write here": 1,
        "fill shared memory": "OSError",
        "open files": 3,
        "processes": 2,
    }
    assert list(bench.state.work.iterdir()) == []


def test_without_a_sandbox_the_same_script_reads_the_token_file_and_reaches_the_server(
    bench: Bench,
) -> None:
    report = report_of_the_spy(bench)
    # Environment and arguments stay clean; only the file belongs to the same user.
    assert report["secrets"] == [str(bench.state.root / "credentials.json")]
    assert report["open files"] == 3
    assert report["connect"] is None
    Path("/tmp/xeenet-spy").unlink()


@pytest.mark.parametrize("guarded", [True, False])
def test_everything_in_the_sandbox_dies_with_the_agent(tmp_path: Path, guarded: bool) -> None:
    working_sandbox()
    source = ANNOUNCE + DETACH + 'detach(["/bin/sleep", "60"]); announce(); time.sleep(60)'
    run = Run(tmp_path, source, IsolationTier.T1)
    program = f"""
        from pathlib import Path
        from tests.agent.runs import Run
        from workers.protocol import IsolationTier
        run = Run(Path({str(tmp_path)!r}), {source!r}, IsolationTier.T1)
        run.tag = {run.tag!r}
        run.execute(time_budget_seconds=60.0)
        """
    agent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env={**script_environment(tmp_path, tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    wait_until(lambda: run.announced() == 2, 60)
    assert len(run.leftovers()) >= 3
    if guarded:
        agent.kill()
        agent.wait()
    else:
        kill_with_its_guardians(agent)
    wait_until(lambda: run.leftovers() == [], 5)
    kill_tagged(run.tag)  # an emptied cgroup, which the guardian would have removed


@in_both_tiers
def test_a_script_that_stays_in_its_budget_uses_the_same_folder_and_data_in_both_tiers(
    bench: Bench, tier: IsolationTier
) -> None:
    sandbox = None if tier is IsolationTier.T0 else working_sandbox()
    metrics = metrics_of(bench.run(bench.attempt(), sandbox=sandbox))
    environment = metrics["environment"]
    assert environment["HOME"] == environment["TMPDIR"] == metrics["cwd"]
    assert environment["XEENET_DATA_DIR"] == str(bench.state.data)


def test_the_prepare_step_of_a_built_in_script_can_write_the_cache_from_its_sandbox(
    bench: Bench,
) -> None:
    del bench.server.files[TEXT_SHA256]
    assert metrics_of(bench.run(bench.attempt(PREPARING_SCRIPT), sandbox=working_sandbox()))


def test_an_uploaded_script_runs_only_where_the_owner_allows_it(bench: Bench) -> None:
    attempt = bench.attempt(script_origin=ScriptOrigin.UPLOADED)
    outcome = bench.run(attempt, policy=SERVER_CODE)
    failure_class, message = failure_of(outcome)
    assert failure_class is FailureClass.REFUSED
    assert "--allow-uploaded-scripts" in message
    assert bench.server.calls("packages") == []
    again = bench.attempt(script_origin=ScriptOrigin.UPLOADED)
    assert metrics_of(bench.run(again, policy=UPLOADS))


def test_an_uploaded_script_with_another_hash_than_approved_does_not_run(bench: Bench) -> None:
    attempt = bench.attempt(script_origin=ScriptOrigin.UPLOADED)
    bench.server.files[attempt.lease["code_sha256"]] = b"print('something else')"
    failure_class, message = failure_of(bench.run(attempt, policy=UPLOADS))
    assert failure_class is FailureClass.ENV_ERROR
    assert "SHA-256" in message


def test_an_uploaded_script_does_not_fetch_data_sets_itself(bench: Bench) -> None:
    del bench.server.files[TEXT_SHA256]
    attempt = bench.attempt(PREPARING_SCRIPT, script_origin=ScriptOrigin.UPLOADED)
    failure_class, message = failure_of(bench.run(attempt, policy=UPLOADS))
    assert failure_class is FailureClass.ENV_ERROR
    assert "the server does not hold it" in message
    assert list(bench.state.data.iterdir()) == []


def test_a_task_that_needs_the_sandbox_does_not_run_without_one(bench: Bench) -> None:
    outcome = bench.run(bench.attempt(required_isolation=IsolationTier.T1))
    failure_class, message = failure_of(outcome)
    assert failure_class is FailureClass.ENV_ERROR
    assert message == "the task needs isolation T1, here is T0"
    assert outcome.pause_reason
    sandboxed = bench.attempt(required_isolation=IsolationTier.T1)
    assert metrics_of(bench.run(sandboxed, sandbox=working_sandbox()))


# Finding the sandbox.


def test_the_probe_tells_where_it_can_look_out(tmp_path: Path) -> None:
    (tmp_path / "state" / "work").mkdir(parents=True)
    (tmp_path / "state" / "credentials.json").touch()
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(sandbox_module._PROBE), str(tmp_path / "state")],
        cwd=tmp_path / "state" / "work",
        capture_output=True,
        check=True,
    )
    problems = json.loads(answer.stdout)["problems"]
    assert "the agent's state folder can be read" in problems
    assert "processes outside can be seen" in problems
    assert "/tmp can be written" in problems


@pytest.mark.parametrize("option", ["--unshare-pid", "--remount-ro"])
def test_a_sandbox_with_a_hole_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    whole = working_sandbox()

    def wrap_with_a_hole(self: Any, command: list[str], **options: Any) -> list[str]:
        words = original(whole, command, **options)
        if option == "--remount-ro":
            place = words.index("--remount-ro", words.index("--chdir"))
            return words[:place] + words[place + 2 :]
        return [word for word in words if word != option]

    original = sandbox_module.Sandbox.wrap
    monkeypatch.setattr(sandbox_module.Sandbox, "wrap", wrap_with_a_hole)
    with pytest.raises(SandboxUnavailable, match="does not hold"):
        find_sandbox(tmp_path, tmp_path, f"test/{uuid.uuid4()}")


def test_a_state_folder_inside_what_scripts_must_read_rules_the_sandbox_out(
    tmp_path: Path,
) -> None:
    working_sandbox()
    with pytest.raises(SandboxUnavailable, match="lies in it"):
        find_sandbox(Path(sys.prefix) / "state", tmp_path, f"test/{uuid.uuid4()}")


@pytest.mark.parametrize("program", ["exit 1", "sleep 60"])
def test_a_bubblewrap_that_does_not_work_here_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(f"#!/bin/sh\necho 'bwrap: No permissions' >&2\n{program}\n")
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sandbox_module, "_PROBE_SECONDS", 0.5)
    reason = "No permissions" if program == "exit 1" else "not done|ended with"
    with pytest.raises(SandboxUnavailable, match=reason):
        find_sandbox(tmp_path, tmp_path, f"test/{uuid.uuid4()}")
    children = [child.name() for child in psutil.Process().children()]
    assert not {"bwrap", "sleep"} & set(children)


def test_a_machine_without_bubblewrap_has_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable):
        find_sandbox(tmp_path, tmp_path, f"test/{uuid.uuid4()}")
