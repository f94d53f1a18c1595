"""Agent, window and icon together: what ends what, and what a person chooses in the tray."""

from __future__ import annotations

import queue
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.agent.desktop.doubles import FakeAgent, FakeFace
from tests.agent.server import wait_until
from workers.agent.desktop import coordinator, faces, pythons
from workers.agent.desktop.agent import AgentProcess, why_ended
from workers.agent.desktop.coordinator import Coordinator, Events
from workers.agent.desktop.pythons import Missing, Shower, find_tray, find_web_view
from workers.agent.limits.rules_file import load

PAGE = "http://127.0.0.1:1/#ticket"


class Desk:
    """A desktop on which everything can be opened, until a test says otherwise."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.agent = FakeAgent(root)
        self.agent.page = PAGE
        self.agent.start()
        self.events: Events = queue.Queue()
        self.windows: list[FakeFace] = []
        self.browsed: list[str] = []
        self.said: list[str] = []
        self.tray = FakeFace()
        values: dict[str, Any] = {
            "open_window": self._open,
            "open_browser": lambda address: not self.browsed.append(address),
            "open_tray": lambda title: self.tray,
            "new_address": self.agent.address,
            "say": self.said.append,
        }
        self.coordinator = Coordinator(self.agent, self.events, **(values | changes))
        self.thread = threading.Thread(target=self.coordinator.run, args=(PAGE,), daemon=True)

    def _open(self, address: str, title: str) -> FakeFace:
        self.windows.append(FakeFace(address, title))
        return self.windows[-1]

    def close(self) -> None:
        self.windows[-1].is_shown = False
        self.events.put(("window", "ended"))

    def wait(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "_LOOK_SECONDS", 0.02)


def test_without_an_icon_a_closed_window_stops_the_agent_and_its_title_says_so(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, open_tray=None)
    desk.events.put(("window", "opened"))
    desk.thread.start()
    wait_until(lambda: desk.windows)
    assert "closing this window stops it" in desk.windows[0].title
    desk.close()
    desk.wait()
    assert desk.agent.stops == 1
    assert desk.said == ["The worker stops; its tasks go back."]


def test_with_an_icon_the_agent_works_on_until_the_person_stops_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.events.put(("tray", "shown"))
    desk.events.put(("window", "opened"))
    desk.thread.start()
    wait_until(lambda: desk.windows)
    assert "stops it" not in desk.windows[0].title
    desk.close()
    desk.events.put(("tray", "open"))
    wait_until(lambda: len(desk.windows) == 2)
    assert desk.windows[1].address == PAGE
    desk.events.put(("tray", "pause 1h"))
    wait_until(lambda: load(tmp_path).paused_until is not None)
    desk.close()
    assert desk.agent.stops == 0
    desk.events.put(("tray", "stop"))
    desk.wait()
    assert desk.agent.stops == 1
    assert not desk.tray.is_shown


def test_a_tray_that_is_none_counts_as_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for event in (("tray", "no tray"), ("tray", "ended"), ("window", "opened")):
        desk.events.put(event)
    desk.thread.start()
    wait_until(lambda: desk.windows)
    desk.close()
    desk.wait()
    assert desk.agent.stops == 1


def test_a_window_that_never_opened_gives_way_to_the_browser(tmp_path: Path) -> None:
    desk = Desk(tmp_path, open_tray=None)
    desk.thread.start()
    wait_until(lambda: desk.windows)
    desk.close()
    wait_until(lambda: desk.browsed)
    assert desk.browsed == [PAGE]
    assert desk.agent.is_running
    desk.agent.end(0)  # stopped on its page
    desk.wait()


def test_without_window_and_browser_the_address_is_printed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, open_tray=None, open_window=None, open_browser=lambda _: False)
    desk.thread.start()
    wait_until(lambda: PAGE in desk.said)
    desk.agent.end(0)
    desk.wait()


def test_an_agent_that_fails_gives_way_to_the_page_that_says_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path, open_tray=None, why_page=lambda: "http://127.0.0.1:2/#why")
    desk.events.put(("window", "opened"))
    desk.thread.start()
    wait_until(lambda: desk.windows)
    desk.agent.end(4)
    wait_until(lambda: len(desk.windows) == 2)
    assert not desk.windows[0].is_shown
    assert desk.windows[1].address == "http://127.0.0.1:2/#why"
    desk.close()
    desk.wait()
    assert len(desk.windows) == 2
    assert desk.agent.stops == 0


def test_an_agent_that_ran_before_is_not_stopped(tmp_path: Path) -> None:
    desk = Desk(tmp_path, open_tray=None)
    desk.agent.is_running = False
    desk.events.put(("window", "opened"))
    desk.thread.start()
    wait_until(lambda: desk.windows)
    assert "stops it" not in desk.windows[0].title
    desk.close()
    desk.wait()
    assert desk.agent.stops == 0


# Which Python shows it.


def test_a_python_without_the_systems_library_gives_way_to_the_distributions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pythons, "_candidates", lambda: [sys.executable, "/usr/bin/python3"])
    monkeypatch.setattr(pythons, "_folder_of", lambda name: "/venv/site-packages")

    def works(words: Any) -> str:
        return "" if words[0] == "/usr/bin/python3" else "No module named 'gi'"

    other = Shower("/usr/bin/python3", ("/venv/site-packages",))
    assert find_web_view(works) == other
    assert find_tray(works) == other
    assert find_web_view(lambda _: "") == Shower(sys.executable, ())
    # An icon with a menu is better than one of the agent's own Python without.
    assert find_tray(lambda words: "" if words[0] == other.python else "exit code 9") == other
    assert find_tray(lambda _: "exit code 9") == Shower(sys.executable, ())


def test_what_is_missing_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pythons, "_folder_of", lambda name: None)
    missing = find_web_view(lambda _: "")
    assert isinstance(missing, Missing)
    assert missing.command == f'{sys.executable} -m pip install "pywebview>=6.2,<7"'
    monkeypatch.setattr(pythons, "_folder_of", lambda name: "/site-packages")
    monkeypatch.setattr(sys, "platform", "linux")
    release = tmp_path / "os-release"
    for text, command in (
        ("ID=debian\n", "apt-get install python3-gi gir1.2-webkit2-4.1"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt-get install"),
        ("ID=fedora\n", "dnf install python3-gobject"),
        ('ID="opensuse-leap"\n', "zypper install"),
        ("ID=nixos\n", ""),
    ):
        release.write_text(text)
        monkeypatch.setattr(pythons, "_OS_RELEASE", release)
        missing = find_web_view(lambda _: "No module named 'gi'")
        assert "come from the distribution" in str(missing)
        assert isinstance(missing, Missing)
        assert (command in missing.command) if command else missing.command == ""


# The processes.


def test_what_a_program_says_arrives_and_no_secret_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys\n"
        "order = json.loads(sys.stdin.readline())\n"
        "print(order['title'], *(v for v in os.environ if 'TOKEN' in v), flush=True)\n"
        "print(json.loads(sys.stdin.readline())['title'], flush=True)\n"
        "sys.stdin.read()\n"
    )
    for name in ("XEENET_WORKER_TOKEN", "XEENET_ENROLMENT_TOKEN"):
        monkeypatch.setenv(name, "secret")
    events: Events = queue.Queue()
    face = faces.Face("tray", Shower(sys.executable, ()), program, {"title": "one"}, events)
    name, word = events.get(timeout=60)
    assert (name, word.partition(" ")[0]) == ("tray", "one")
    assert "XEENET" not in word
    face.tell({"title": "two"})
    assert events.get(timeout=60) == ("tray", "two")
    face.end()
    assert events.get(timeout=60) == ("tray", "ended")
    face.tell({"title": "three"})  # nobody listens any more
    assert not face.is_shown


def test_an_agent_that_cannot_start_says_why(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "state", ["--no-such-option"])
    agent.start([], {"XEENET_ENROLMENT_TOKEN": "xe_secret"})
    wait_until(lambda: agent.exit_code is not None)
    assert agent.exit_code == 2
    assert "--no-such-option" in why_ended(agent)
    assert agent.address() == ""
    agent.stop()
