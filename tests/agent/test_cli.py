"""The ``xeenet-worker`` program itself: start, enrolment, exit codes, signals and sudden death."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.bench import HANGING, Bench
from tests.agent.page.bench import ask
from tests.agent.runs import ANNOUNCE, DETACH, kill_with_its_guardians, linux_only
from tests.agent.server import (
    WORKER_TOKEN,
    AgentServer,
    Reply,
    error,
    make_lease,
    running_server,
    wait_until,
)
from tests.processes import ROOT
from workers.agent import cli, equipping, exits
from workers.agent.enrolment import find_credentials, rotate_token
from workers.agent.grants import Grant, Priority
from workers.agent.isolation import Containment
from workers.agent.limits.options import limiter_of
from workers.agent.limits.rules import Rules
from workers.agent.limits.rules_file import store
from workers.agent.options import parser
from workers.agent.page.asking import ask_for_page
from workers.agent.running.hardware import Machine
from workers.agent.secrecy import ENROLMENT_VARIABLE, TOKEN_VARIABLE
from workers.agent.state import Credentials, StateFolder
from workers.protocol import ErrorCode, Outcome

START_SECONDS = 60.0  # importing torch takes its time on a busy machine
ABLE = Machine({"torch_version": "2.13.0", "devices": ["cpu"]})
UNABLE = Machine({"notes": ["torch: No module named 'torch'"]})


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv("XEENET_WORKER_HOME", raising=False)


@pytest.fixture
def started(server: AgentServer, tmp_path: Path) -> Iterator[Any]:
    """Return a function that starts the program; programs that still run at the end are killed."""
    agents: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.agent.program", "--server", server.url]
        command += ["--state-dir", str(tmp_path / "state"), "--allow-server-code", *arguments]
        environment = {**os.environ, TOKEN_VARIABLE: WORKER_TOKEN}
        with (tmp_path / "log").open("ab") as log:
            agent = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
        agents.append(agent)
        return agent

    yield start
    for agent in agents:
        agent.kill()
        agent.wait()


def offer_task(server: AgentServer, source: bytes, **changes: Any) -> str:
    server.files[hashlib.sha256(source).hexdigest()] = source
    lease = make_lease(source, **({"time_budget_seconds": 60.0} | changes))
    server.leases.append(lease)
    return lease["lease_id"]


def options(*arguments: str) -> argparse.Namespace:
    return parser().parse_args(arguments)


def credentials(state: StateFolder, *arguments: str) -> Any:
    return find_credentials(options(*arguments), state, ABLE)


# The program as a process.


def test_sigterm_drains_releases_and_leaves_no_process(
    server: AgentServer, tmp_path: Path, started: Any
) -> None:
    lease_id = offer_task(server, HANGING)
    bench = Bench(tmp_path, server)
    agent = started()
    wait_until(lambda: " runs: " in (tmp_path / "log").read_text(), START_SECONDS)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(START_SECONDS) == 0
    assert server.released == [lease_id]
    assert bench.scripts() == []


def test_sigterm_before_the_first_claim_leaves_no_folder_and_no_process(
    server: AgentServer, tmp_path: Path
) -> None:
    # The real program, because the signal has to interrupt its check of torch.
    bench = Bench(tmp_path, server)
    command = [sys.executable, "-m", "workers.agent", "--server", server.url]
    command += ["--state-dir", str(tmp_path / "state")]
    agent = subprocess.Popen(command, cwd=ROOT, env={**os.environ, TOKEN_VARIABLE: WORKER_TOKEN})
    try:
        wait_until(lambda: list(bench.state.work.glob("torch-check-*")), START_SECONDS)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(START_SECONDS) == 0
    finally:
        agent.kill()
    assert list(bench.state.work.iterdir()) == []
    assert bench.scripts() == []


def test_the_page_shows_and_stops_an_agent_that_still_sets_up(
    server: AgentServer, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, server)
    root = tmp_path / "state"
    command = [sys.executable, "-m", "workers.agent", "--server", server.url]
    command += ["--state-dir", str(root)]
    agent = subprocess.Popen(command, cwd=ROOT, env={**os.environ, TOKEN_VARIABLE: WORKER_TOKEN})
    try:
        wait_until(lambda: list(bench.state.work.glob("torch-check-*")), START_SECONDS)
        address = ask_for_page(root, START_SECONDS)
        host, _, ticket = address.removeprefix("http://").partition("/#")
        token = ask(host, "POST", "/api/session", {"ticket": ticket}).json["token"]
        header = {"Authorization": f"Bearer {token}"}
        state = ask(host, "GET", "/api/state", **header).json
        if state["state"] == "setting up":  # a fast machine may be done with it
            assert state["can"] == {"pause": False, "resume": False, "drain": False, "stop": True}
        assert ask(host, "POST", "/api/stop", {}, **header).status == 200
        assert agent.wait(START_SECONDS) == 0
    finally:
        agent.kill()
    assert list(bench.state.work.iterdir()) == []


def test_the_second_ctrl_c_stops_at_once_and_leaves_no_process(
    server: AgentServer, tmp_path: Path, started: Any
) -> None:
    lease_id = offer_task(server, HANGING)
    bench = Bench(tmp_path, server)
    agent = started()
    wait_until(lambda: " runs: " in (tmp_path / "log").read_text(), START_SECONDS)
    agent.send_signal(signal.SIGINT)
    wait_until(lambda: "no new tasks" in (tmp_path / "log").read_text())
    wait_until(bench.scripts)
    agent.send_signal(signal.SIGINT)
    assert agent.wait(START_SECONDS) == 0
    assert server.released == [lease_id]
    assert bench.scripts() == []


@linux_only
def test_after_a_sudden_death_the_next_start_leaves_no_process_and_delivers_what_was_finished(
    server: AgentServer, tmp_path: Path, started: Any
) -> None:
    server.scripted["result"] = [error(503, "oops", Retry_After="60")]
    finished = offer_task(server, b"print('no result')")
    detaching = ANNOUNCE + DETACH + "detach(); announce(); time.sleep(60)"
    unfinished = offer_task(server, detaching.encode())
    bench = Bench(tmp_path, server)
    agent = started("--isolation", "T0")  # a sandbox would leave nothing to sweep
    wait_until(lambda: len(list(bench.state.work.glob("*/[0-9]*"))) == 2, START_SECONDS)
    kill_with_its_guardians(agent)
    wait_until(lambda: len(bench.scripts()) == 1)  # the script died, its detached process did not
    assert started("--once").wait(START_SECONDS) == 0
    assert bench.scripts() == []
    assert list(bench.state.work.iterdir()) == []
    assert server.results[finished]["outcome"] == Outcome.FAILED
    assert unfinished not in server.results


def test_a_second_agent_on_the_same_folder_ends_with_its_own_exit_code(
    server: AgentServer, tmp_path: Path, started: Any
) -> None:
    with StateFolder(tmp_path / "state").locked():
        assert started().wait(START_SECONDS) == exits.EXIT_STATE_FOLDER
    assert "already running" in (tmp_path / "log").read_text()


# Single decisions of the program.


def test_enrolment_stores_a_token_that_the_next_start_uses(
    server: AgentServer, tmp_path: Path
) -> None:
    state = StateFolder(tmp_path)
    enrolled = credentials(state, "--server", server.url, "--enrol", "xe_once", "--name", "bench")
    assert (enrolled.token, enrolled.name) == (WORKER_TOKEN, "bench")
    (request,) = server.calls("enrol")
    assert request["enrolment_token"] == "xe_once"
    assert request["hardware"] == ABLE.hardware
    assert credentials(state) == credentials(state, "--server", server.url) == enrolled
    # A service whose command always has --enrol must not fail at its second start.
    assert credentials(state, "--server", server.url, "--enrol", "xe_once") == enrolled
    assert len(server.calls("enrol")) == 1


def test_enrolment_waits_for_a_server_that_is_not_up_yet(
    server: AgentServer, tmp_path: Path
) -> None:
    server.scripted["enrol"] = [Reply(cut=True), error(503, "starting", Retry_After="0.1")]
    assert credentials(StateFolder(tmp_path), "--server", server.url, "--enrol", "xe_once")


def test_a_refused_enrolment_says_what_to_do(server: AgentServer, tmp_path: Path) -> None:
    server.scripted["enrol"] = [error(403, ErrorCode.ENROLMENT_REFUSED, "Used already.")]
    with pytest.raises(exits.StartError, match=r"Used already.*make a new one") as raised:
        credentials(StateFolder(tmp_path), "--server", server.url, "--enrol", "xe_once")
    assert raised.value.exit_code == exits.EXIT_NOT_AUTHENTICATED


def test_a_host_whose_name_is_taken_enrols_under_another(
    server: AgentServer, tmp_path: Path
) -> None:
    server.scripted["enrol"] = [error(400, ErrorCode.INVALID, "The name is taken.")]
    state = StateFolder(tmp_path)
    enrolled = credentials(state, "--server", server.url, "--enrol", "xe_once")
    assert enrolled.name.endswith(state.agent_id[:6])


def test_a_chosen_name_that_is_taken_is_not_changed(server: AgentServer, tmp_path: Path) -> None:
    server.scripted["enrol"] = [error(400, ErrorCode.INVALID, "The name is taken.")]
    arguments = ("--server", server.url, "--enrol", "xe_once", "--name", "bench")
    with pytest.raises(exits.StartError, match="--name"):
        credentials(StateFolder(tmp_path), *arguments)


def test_a_stored_token_is_never_sent_to_another_server(
    server: AgentServer, tmp_path: Path
) -> None:
    state = StateFolder(tmp_path)
    credentials(state, "--server", server.url, "--enrol", "xe_once")
    with pytest.raises(exits.StartError, match="--state-dir"):
        credentials(state, "--server", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ((), "not enrolled"),
        (("--enrol", "xe_once"), "add --server"),
        (("--token", "xw_1"), "add --server"),
        (("--server", "http://127.0.0.1:1", "--token", "xe_1"), "--enrol"),
        (("--server", "http://127.0.0.1:1", "--token", "xp_1"), "personal token"),
    ],
)
def test_wrong_options_get_a_sentence_that_says_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], advice: str
) -> None:
    with pytest.raises(exits.StartError, match=advice) as raised:
        credentials(StateFolder(tmp_path), *arguments)
    assert raised.value.exit_code == exits.EXIT_USAGE


def test_the_token_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "xw_from_environment")
    enrolled = credentials(StateFolder(tmp_path), "--server", "http://localhost:8000/")
    assert (enrolled.server_url, enrolled.token) == ("http://localhost:8000", "xw_from_environment")


def test_a_token_is_exchanged_for_a_new_one_that_later_starts_use(
    server: AgentServer, tmp_path: Path
) -> None:
    state = StateFolder(tmp_path)
    state.store_credentials(Credentials(server.url, WORKER_TOKEN, "bench"))
    server.scripted["workers/me/token"] = [Reply(200, {"token": "xw_new"})]
    assert rotate_token(state) == exits.EXIT_OK
    assert state.load_credentials() == Credentials(server.url, "xw_new", "bench")


@pytest.mark.parametrize(
    ("reply", "advice", "exit_code"),
    [
        (error(401, ErrorCode.NOT_AUTHENTICATED), "Enrol this", exits.EXIT_NOT_AUTHENTICATED),
        (error(403, ErrorCode.PERMISSION_DENIED), "No new token", exits.EXIT_CANNOT_RUN),
        (Reply(cut=True), "lost on its way", exits.EXIT_CANNOT_RUN),
    ],
)
def test_an_exchange_that_fails_keeps_the_stored_token_and_says_what_to_do(
    server: AgentServer, tmp_path: Path, reply: Reply, advice: str, exit_code: int
) -> None:
    state = StateFolder(tmp_path)
    stored = Credentials(server.url, WORKER_TOKEN, "bench")
    state.store_credentials(stored)
    server.scripted["workers/me/token"] = [reply]
    with pytest.raises(exits.StartError, match=advice) as raised:
        rotate_token(state)
    assert raised.value.exit_code == exit_code
    assert state.load_credentials() == stored


def test_a_worker_that_is_not_enrolled_has_no_token_to_exchange(tmp_path: Path) -> None:
    with pytest.raises(exits.StartError, match="only an enrolled worker"):
        rotate_token(StateFolder(tmp_path))


def test_the_enrolment_token_may_come_from_the_environment(
    server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENROLMENT_VARIABLE, "xe_from_environment")
    credentials(StateFolder(tmp_path), "--server", server.url)
    (request,) = server.calls("enrol")
    assert request["enrolment_token"] == "xe_from_environment"
    assert ENROLMENT_VARIABLE not in os.environ


def test_check_prints_the_profile_and_says_whether_tasks_can_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli._print_check(Containment(ABLE)) == 0
    profile, _, sentence = capsys.readouterr().out.rpartition("}\n")
    assert json.loads(profile + "}") == ABLE.hardware
    assert sentence == ("Scripts run in isolation tier T0.\nThis machine can run tasks on: cpu.\n")
    assert cli._print_check(Containment(UNABLE)) == exits.EXIT_CANNOT_RUN
    assert "No module named 'torch'. Fetch torch for this machine: " in capsys.readouterr().out


def test_a_machine_with_torch_trains() -> None:
    assert equipping.why_simulated(options(), ABLE) == ""


def test_a_machine_without_torch_simulates_and_says_so_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert equipping.why_simulated(options(), UNABLE) == "torch: No module named 'torch'"
    assert "SIMULATED RESULTS ONLY: torch: No module named 'torch'" in caplog.text


def test_no_simulate_refuses_to_start_and_says_how_to_get_torch() -> None:
    with pytest.raises(exits.StartError, match="agent setup") as raised:
        equipping.why_simulated(options("--no-simulate"), UNABLE)
    assert raised.value.exit_code == exits.EXIT_CANNOT_RUN


def test_slots_share_processors_and_memory_and_options_outrank_rules(tmp_path: Path) -> None:
    def grant_of(*words: str) -> Grant:
        limiter = limiter_of(options(*words), tmp_path)
        return limiter.grant()

    single, double = grant_of(), grant_of("--slots", "2")
    assert double.memory_bytes == pytest.approx(single.memory_bytes / 2, rel=1e-6)
    assert limiter_of(options("--parallel", "2"), tmp_path).slots == 2  # its name until 0.1
    assert grant_of("--threads", "1").threads == 1
    store(tmp_path, Rules(memory_mib=200, slots=3, priority=Priority.IDLE))
    assert limiter_of(options(), tmp_path).slots == 3
    assert limiter_of(options("--slots", "2"), tmp_path).slots == 2
    granted = grant_of("--memory-limit", "100")
    assert (granted.memory_bytes, granted.priority) == (100 * 1024 * 1024, Priority.IDLE)


@pytest.mark.parametrize(
    "argument",
    [
        *("--slots=0", "--parallel=65", "--max-tasks=0", "--priority=high"),
        *("--memory-limit=-1", "--disk-limit=inf"),
        *("--server=localhost:8000", "--server=ftp://localhost", "--server=http://"),
    ],
)
def test_impossible_values_are_refused_before_anything_starts(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        options(argument)
    assert raised.value.code == exits.EXIT_USAGE
    assert argument.partition("=")[0] in capsys.readouterr().err
