"""`xeenet-worker status`, against real agents, and the agent under its card in a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.agent.runs import linux_only
from tests.agent.server import WORKER_TOKEN, AgentServer, make_lease, running_server, wait_until
from tests.agent.status.samples import NOW, READY
from tests.processes import ROOT
from workers.agent import exits, status_command
from workers.agent.secrecy import TOKEN_VARIABLE
from workers.agent.state import StateFolder
from workers.agent.status.encoding import as_dict
from workers.agent.status.model import Status

START_SECONDS = 60.0
LASTING = {"time_budget_seconds": 600.0, "deadline_seconds": 700.0}


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as server:
        yield server


def command(server: AgentServer, folder: Path, *more: str) -> list[str]:
    words = [sys.executable, "-m", "tests.agent.program", "--server", server.url]
    return [*words, "--state-dir", str(folder), "--allow-server-code", "--isolation", "T0", *more]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {TOKEN_VARIABLE: WORKER_TOKEN} | more


def run(words: list[str], **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, cwd=ROOT, env=variables, stderr=subprocess.PIPE, check=False)


def ask(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    code = status_command.main(["--state-dir", str(folder), *more])
    return code, capsys.readouterr().out


def told(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(ask(folder, capsys, "--json")[1])
    return data


def test_a_live_agent_is_asked_without_disturbing_it_and_is_missed_when_it_is_killed(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state"
    assert ask(folder, capsys) == (exits.EXIT_NOT_RUNNING, f"No agent has run on {folder}.\n")
    assert not folder.exists()  # it changes nothing

    agent = subprocess.Popen(
        command(server, folder, "--simulate"), cwd=ROOT, env=environment(), stderr=subprocess.PIPE
    )
    try:
        server.leases.append(make_lease(b"", campaign_name="LR \x1b[2Jschedule"))
        wait_until(lambda: bool(server.results), START_SECONDS)
        wait_until(
            lambda: (
                '"accepted": 1' in ask(folder, capsys, "--json")[1]
                and told(folder, capsys)["state"] == "idle"
            ),
            START_SECONDS,
        )
        code, text = ask(folder, capsys)
        assert code == 0
        assert text.startswith("Idle. There is nothing to do.")
        assert "SIMULATED results only" in text
        assert "1 task: 1 accepted" in text
        assert "1/0  val_bpb" in text
        assert "\x1b" not in text
        data = told(folder, capsys)
        assert (data["running"], data["silent"], data["problem"]) == (True, False, "")
        assert data["identity"]["pid"] == agent.pid
        assert data["ended"][0]["said"] == "thanks"
        assert WORKER_TOKEN not in json.dumps(data)
    finally:
        agent.kill()
        agent.communicate()
    code, text = ask(folder, capsys)
    assert code == exits.EXIT_NOT_RUNNING
    assert "gone without a word" in text


def test_the_end_of_an_agent_is_told_with_its_exit_code(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(server, tmp_path, "--simulate", "--once")
    assert run(words, **environment()).returncode == 0
    code, text = ask(tmp_path, capsys)
    assert code == exits.EXIT_NOT_RUNNING
    assert "with exit code 0: nothing to claim: done" in text


def test_an_agent_that_cannot_start_tells_why(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(server, tmp_path)
    bare = {key: value for key, value in environment().items() if key != TOKEN_VARIABLE}
    assert run(words, **bare).returncode == exits.EXIT_USAGE
    assert "This worker is not enrolled" in ask(tmp_path, capsys)[1]


def test_the_command_takes_no_lock_and_an_agent_in_the_way_changes_no_status(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = StateFolder(tmp_path)
    state.status.write_text(json.dumps(as_dict(READY, NOW)))
    with state.locked():
        assert ask(tmp_path, capsys)[0] == exits.EXIT_NOT_RUNNING
        before = state.status.read_bytes()
        second = run(command(server, tmp_path), **environment())
        assert second.returncode == exits.EXIT_STATE_FOLDER
        assert state.status.read_bytes() == before


@pytest.mark.parametrize("content", ['{"schema": 2}', "{", "[1]"])
def test_a_file_that_cannot_be_read_has_its_own_exit_code_and_a_sentence(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "status.json").write_text(content)
    code, text = ask(tmp_path, capsys)
    assert code == exits.EXIT_STATE_FOLDER
    assert text.startswith("Nothing can be told: ")
    code, text = ask(tmp_path, capsys, "--json")
    assert code == exits.EXIT_STATE_FOLDER
    assert json.loads(text)["problem"]


def test_a_silent_process_is_told_from_a_living_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status: dict[str, Any] = as_dict(Status(READY.identity, setting_up=""), time.time() - 300)
    (tmp_path / "status.json").write_text(json.dumps(status))
    monkeypatch.setattr("workers.agent.status.file.is_living", lambda pid, mark: True)
    code, text = ask(tmp_path, capsys)
    assert code == exits.EXIT_SILENT
    assert "Process 4711 is there, but has told nothing for 5 m" in text


class Terminal:
    """An agent in a terminal of 80 × 24."""

    def __init__(self, words: list[str], **more: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        self.agent = subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment(**{"TERM": "xterm-256color", **more}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.output = b""

    def shows(self, text: str) -> bool:
        with suppress(BlockingIOError, OSError):
            while chunk := os.read(self.master, 65536):
                self.output += chunk
        written = self.output.decode("utf-8", "replace")
        return text in re.sub(r"\x1b\[[0-9;?<>=u]*[a-zA-Z]", "", written)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def close(self) -> None:
        self.agent.kill()
        self.agent.wait()
        with suppress(OSError):
            os.close(self.master)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


HANGING = b"import time; time.sleep(600)"


def offer(server: AgentServer) -> str:
    lease = make_lease(HANGING, campaign_name="LR schedule", **LASTING)
    server.files[lease["code_sha256"]] = HANGING
    server.leases.append(lease)
    return lease["lease_id"]


@linux_only
def test_on_a_terminal_the_card_shows_the_task_and_its_keys_reach_the_agent(
    server: AgentServer, tmp_path: Path, terminals: list[Terminal]
) -> None:
    lease_id = offer(server)
    terminal = Terminal(command(server, tmp_path))
    terminals.append(terminal)
    wait_until(lambda: terminal.shows("“LR schedule”"), START_SECONDS)
    wait_until(lambda: terminal.shows("of 10 m"), START_SECONDS)
    terminal.press("p")
    wait_until(lambda: terminal.shows("Claim nothing for"), START_SECONDS)
    terminal.press("1")
    wait_until(lambda: terminal.shows("paused by you until"), START_SECONDS)
    terminal.press("q")
    wait_until(lambda: terminal.shows("Stop now?"), START_SECONDS)
    terminal.press("q")
    wait_until(lambda: terminal.shows("of training given"), START_SECONDS)
    assert terminal.agent.wait(START_SECONDS) == 0
    assert server.released == [lease_id]
    assert terminal.shows("1 given back")


@linux_only
def test_a_terminal_that_goes_away_gives_the_task_back(
    server: AgentServer, tmp_path: Path, terminals: list[Terminal]
) -> None:
    lease_id = offer(server)
    terminal = Terminal(command(server, tmp_path))
    terminals.append(terminal)
    wait_until(lambda: terminal.shows("of 10 m"), START_SECONDS)
    os.close(terminal.master)
    terminal.agent.send_signal(signal.SIGHUP)  # the kernel's, where this is no session's terminal
    assert terminal.agent.wait(START_SECONDS) == 0
    assert server.released == [lease_id]


@linux_only
@pytest.mark.parametrize("more", [("--log",), ()])
def test_without_the_card_a_terminal_gets_the_log(
    more: tuple[str, ...], server: AgentServer, tmp_path: Path, terminals: list[Terminal]
) -> None:
    words = command(server, tmp_path, "--simulate", "--once", *more)
    terminal = Terminal(words) if more else Terminal(words, TERM="dumb")
    terminals.append(terminal)
    wait_until(lambda: terminal.shows("nothing to claim: done"), START_SECONDS)
    assert terminal.agent.wait(START_SECONDS) == 0
    assert b"\x1b" not in terminal.output
