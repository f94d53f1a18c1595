"""Where tokens go: to a XeeNet server at the address that the owner gave, and nowhere else."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.agent.server import (
    WORKER_TOKEN,
    AgentServer,
    Reply,
    error,
    running_server,
    wait_until,
)
from tests.agent.test_cli import ABLE, credentials, options
from tests.processes import ROOT
from tests.standstills import within
from workers.agent import enrolment, exits
from workers.agent.connection.client import Client
from workers.agent.state import Credentials, StateFolder
from workers.agent.status import words
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Fault, State
from workers.agent.work import Work
from workers.protocol import ErrorCode

PAGE = b"<html>Please log in</html>"
ENROL = ("--enrol", "xe_once", "--name", "bench")


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.fixture(autouse=True)
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment.Backoff, "next_wait", lambda *_: 0.01)


def test_waiting_for_the_server_is_a_state_with_a_reason_and_can_be_ended(
    state: StateFolder,
) -> None:
    board, gives_up = StatusBoard(), threading.Event()
    given = options("--server", "http://127.0.0.1:9", *ENROL)
    ends: list[BaseException] = []

    def join() -> None:
        try:
            enrolment.find_credentials(given, state, ABLE, board, gives_up)
        except exits.StartError as error:
            ends.append(error)

    waiting = threading.Thread(target=join)
    waiting.start()
    wait_until(lambda: board.status.troubles)
    assert board.status.state is State.SETTING_UP
    assert words.headline(board.status, 0.0) == "Setting up: joins its server."
    (trouble,) = board.status.troubles
    assert trouble.fault is Fault.NETWORK
    assert "no answer from http://127.0.0.1:9" in words.trouble_text(trouble)
    assert board.status.identity.name == "bench"
    gives_up.set()
    waiting.join(30)
    assert [error.exit_code for error in ends] == [exits.EXIT_OK]  # type: ignore[attr-defined]


def test_what_ends_work_also_ends_the_wait_before_it() -> None:
    seen: list[bool] = []

    def begin(gives_up: threading.Event, _stack: Any) -> Any:
        work.stop_now()
        seen.append(gives_up.is_set())
        return SimpleNamespace(run=lambda: pytest.fail("it was stopped"))

    work = Work(StatusBoard(), begin)
    work.pause(None)  # nothing to pause yet
    assert work.run() == exits.EXIT_OK
    assert seen == [True]
    assert work.board.status.state is State.STOPPED


def redirect(server: AgentServer, path: str, target: str) -> None:
    server.scripted[path] = [Reply(301, b"", {"Location": target})] * 100


@pytest.mark.parametrize("path", ["workers/me", "workers/enrol"])
def test_a_redirect_ends_the_enrolment_and_says_which_address_to_use(
    server: AgentServer, state: StateFolder, path: str
) -> None:
    with running_server() as elsewhere:
        redirect(server, path, f"{elsewhere.url}/api/v1/{path}")
        with pytest.raises(exits.StartError, match=f"--server {elsewhere.url}$") as raised:
            credentials(state, "--server", server.url, *ENROL)
        assert elsewhere.requests == []
    assert raised.value.exit_code == exits.EXIT_USAGE
    assert len(server.calls("enrol")) <= 1
    assert state.load_credentials() is None


@pytest.mark.parametrize(
    "reply",
    [
        Reply(302, b"", {"Location": "http://login.example/"}),
        Reply(200, PAGE),
        Reply(403, PAGE),
        Reply(404, PAGE),
        Reply(200, {"token": "not xeenet", "name": "x"}),
        error(503, "starting"),
    ],
)
def test_an_enrolment_token_waits_until_a_xeenet_server_answers(
    server: AgentServer, state: StateFolder, reply: Reply
) -> None:
    server.scripted["workers/me"] = [reply] * 3
    assert credentials(state, "--server", server.url, *ENROL).token == WORKER_TOKEN
    assert [path for _, path, _ in server.requests] == ["workers/me"] * 4 + ["workers/enrol"]


@pytest.mark.parametrize(
    "reply",
    [Reply(200, PAGE), Reply(200, {"name": "x"}), Reply(403, PAGE), Reply(408, PAGE)],
)
def test_whoever_answers_in_the_servers_place_gets_the_token_once_and_enrolment_goes_on(
    server: AgentServer, state: StateFolder, reply: Reply
) -> None:
    server.scripted["workers/enrol"] = [reply]
    server.scripted["workers/me"] = [error(401, ErrorCode.NO_CREDENTIALS), Reply(200, PAGE)]
    assert credentials(state, "--server", server.url, *ENROL).token == WORKER_TOKEN
    assert len(server.calls("enrol")) == 2


def test_a_server_of_the_first_version_is_recognised_too(
    server: AgentServer, state: StateFolder
) -> None:
    server.scripted["workers/me"] = [error(401, ErrorCode.NOT_AUTHENTICATED)]
    assert credentials(state, "--server", server.url, *ENROL).token == WORKER_TOKEN


def test_the_question_whether_a_server_answers_carries_no_token(server: AgentServer) -> None:
    client = Client(server.url)
    client.probe()
    client.close()
    (request,) = server.requests
    assert request == ("GET", "workers/me", None)
    assert "Authorization" not in client._headers


def test_a_refusal_after_a_lost_answer_says_so(server: AgentServer, state: StateFolder) -> None:
    server.scripted["enrol"] = [Reply(cut=True), error(403, ErrorCode.ENROLMENT_REFUSED, "Used.")]
    with pytest.raises(exits.StartError, match="earlier try may have been lost"):
        credentials(state, "--server", server.url, *ENROL)


@pytest.mark.parametrize(
    "arguments", [("--token", "xw_ü"), ("--token", "xw_1\n"), ("--enrol", "xe 1")]
)
def test_a_token_that_fits_into_no_header_is_refused_with_a_sentence(
    state: StateFolder, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(exits.StartError, match="must be one word") as raised:
        credentials(state, "--server", "http://127.0.0.1:1", *arguments)
    assert raised.value.exit_code == exits.EXIT_USAGE


def test_unencrypted_addresses_are_warned_of_before_a_token_is_sent(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stopped(Exception):
        pass

    def probe(_client: Client) -> None:
        assert "in the clear" in caplog.text
        raise Stopped

    monkeypatch.setattr(Client, "probe", probe)
    with pytest.raises(Stopped):
        credentials(state, "--server", "http://xeenet.example", *ENROL)


# A server whose address changed.


@pytest.mark.parametrize(
    ("stored_url", "new_url"),
    [
        ("http://xeenet.example", "https://other.example"),
        ("https://xeenet.example", "http://xeenet.example"),
        ("http://xeenet.example", "http://xeenet.example:8000"),
    ],
)
def test_a_stored_token_goes_to_no_other_host_and_never_back_to_http(
    state: StateFolder, stored_url: str, new_url: str
) -> None:
    state.store_credentials(Credentials(stored_url, WORKER_TOKEN, "bench"))
    with pytest.raises(exits.StartError, match="its new address into"):
        credentials(state, "--server", new_url)


@pytest.mark.parametrize("answers", [True, False])
def test_a_server_that_moved_to_https_keeps_its_workers(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    before = Credentials("http://127.0.0.1:1", WORKER_TOKEN, "bench")
    state.store_credentials(before)
    if answers:
        monkeypatch.setattr(Client, "probe", lambda _: None)
    moved = credentials(state, "--server", "https://127.0.0.1:2/lab")
    assert moved == Credentials("https://127.0.0.1:2/lab", WORKER_TOKEN, "bench")
    # An address at which nobody has answered yet may be a slip of the hand.
    assert state.load_credentials() == (moved if answers else before)


# Signals while the program waits.

DRIP: dict[str, Any] = {"drip_seconds": 0.2}


@pytest.fixture
def start(server: AgentServer, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    agents: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.agent.program", "--server", server.url]
        command += ["--state-dir", str(tmp_path / "state"), "--isolation", "T0", *arguments]
        with (tmp_path / "log").open("wb") as log:
            agents.append(subprocess.Popen(command, cwd=ROOT, stderr=log))
        return agents[-1]

    yield start
    for agent in agents:
        agent.kill()
        agent.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("workers/me", Reply(301, b"", {"Location": "http://login.example/"})),
        ("workers/me", Reply(200, b" " * 10_000, **DRIP)),
        ("workers/enrol", Reply(200, b" " * 10_000, **DRIP)),
        ("workers/enrol", Reply(200, b"", drips_head=True, **DRIP)),
        ("leases/claim", Reply(200, b" " * 10_000, **DRIP)),
        ("leases/claim", Reply(200, b"", drips_head=True, **DRIP)),
        ("leases/claim", Reply(301, b"", {"Location": "http://login.example/"})),
    ],
    ids=["redirect", "drip", "enrol", "enrol head", "claim", "claim head", "claim redirect"],
)
def test_a_signal_ends_the_program_soon_and_without_a_traceback(
    server: AgentServer,
    tmp_path: Path,
    start: Callable[..., Any],
    number: signal.Signals,
    path: str,
    reply: Reply,
) -> None:
    server.scripted[path] = [reply] * 1_000
    agent = start(*ENROL)
    wait_until(lambda: server.calls(path), 60)
    time.sleep(0.3)
    with within(6.0):
        agent.send_signal(number)
        status = agent.wait(30)
    assert status in ({0} if number is signal.SIGTERM or "claim" in path else {130})
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "Exception" not in log
