"""An agent can be asked to stop where no signal does that: its tasks go back, as with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.processes import ROOT
from workers.agent import console
from workers.agent.desktop import agent as desktop_agent
from workers.agent.desktop.agent import AgentProcess
from workers.agent.service import apply, command
from workers.agent.service.plan import Kind
from workers.agent.service.record import Record
from workers.agent.status.board import StatusBoard, this_process
from workers.agent.status.file import StatusFile
from workers.agent.status.living import start_mark
from workers.agent.stop_request import STOP_FILE, ask_to_stop, is_asked_to_stop, stop_agent

# Ends as an agent does that was asked to; a signal would end it with another code.
WAITS = (
    "import pathlib, sys, time\n"
    "from workers.agent.stop_request import is_asked_to_stop\n"
    "print('waits', flush=True)\n"
    "while not is_asked_to_stop(pathlib.Path(sys.argv[1])): time.sleep(0.02)\n"
    "sys.exit(7)\n"
)


def test_without_signals_closing_the_window_asks_the_agent_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = SimpleNamespace(words=[sys.executable, "-c", WAITS, str(tmp_path)], folder=ROOT)
    monkeypatch.setattr(desktop_agent, "this_program", lambda _: program)
    process = AgentProcess(tmp_path, has_signals=False)
    process.start()
    process.stop()
    assert process.exit_code == 7
    process.stop()  # it has ended: nobody is asked
    assert not (tmp_path / STOP_FILE).exists()


def test_removing_the_service_of_windows_stops_the_agent_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_plan_of", lambda *_: None)
    monkeypatch.setattr(apply, "remove", lambda *_: [])
    words = [sys.executable, "-c", WAITS, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        mark = {"pid": agent.pid, "start_mark": start_mark(agent.pid)}
        board = StatusBoard(this_process("0.2.0"))
        board.identify(**mark)
        StatusFile(tmp_path / "status.json", board).write()
        record = Record(Kind.STARTUP, "xeenet-worker", {}, (), linger=False)
        reaper = threading.Thread(target=agent.wait)  # as whoever started it does
        reaper.start()
        assert command.remove_service(tmp_path, record) == []
        reaper.join()
    assert agent.returncode == 7
    assert stop_agent(tmp_path, 0.0)  # nobody runs by now
    board.identify(pid=os.getpid(), start_mark=start_mark(os.getpid()))
    StatusFile(tmp_path / "status.json", board).write()
    monkeypatch.setattr(command, "_STOP_SECONDS", 0.0)
    (problem,) = command.remove_service(tmp_path, record)
    assert "has not ended yet" in problem


def test_only_the_agent_that_is_named_stops_and_only_once(tmp_path: Path) -> None:
    assert not is_asked_to_stop(tmp_path)
    ask_to_stop(tmp_path, os.getpid())
    assert (tmp_path / STOP_FILE).stat().st_mode & 0o077 == 0
    assert is_asked_to_stop(tmp_path)
    assert not is_asked_to_stop(tmp_path)
    other = {"pid": os.getpid(), "mark": "of an earlier process with this number"}
    for text in (json.dumps(other), json.dumps({"pid": 1, "mark": ""}), "{", "[]", "x" * 5000):
        (tmp_path / STOP_FILE).write_text(text)
        assert not is_asked_to_stop(tmp_path)
        assert not (tmp_path / STOP_FILE).exists()


def test_a_console_that_is_closed_waits_for_the_end_of_the_agent() -> None:
    handlers: list[Any] = []
    kernel = SimpleNamespace(SetConsoleCtrlHandler=lambda handler, _: handlers.append(handler))
    ends, is_over = list[str](), threading.Event()

    def end() -> None:
        ends.append("stop")
        is_over.set()

    console.end_well_when_closed(end, is_over, kernel)
    (handler,) = handlers
    assert handler(0) == 0  # Ctrl-C stays a signal
    assert ends == []
    assert handler(2) == 1
    assert ends == ["stop"]
