"""When there is a card, and what happens when it fails: the agent never depends on it."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tests.processes import ROOT
from workers.agent import browser
from workers.agent.card import find_card, session
from workers.agent.card.app import Card
from workers.agent.status.board import StatusBoard


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_has_a_card_only_where_textual_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_a_terminal(monkeypatch)
    assert find_card() is session.run_under_card
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert find_card() is None


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_is_no_terminal_means_a_log(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, name, SimpleNamespace(isatty=lambda: False))
    assert find_card() is None


def test_the_agent_starts_without_the_packages_of_the_card() -> None:
    code = "import sys, workers.agent.cli; assert not {'textual', 'rich'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


BESIDE: Any = SimpleNamespace(page_address="")


class Agent:
    """Runs until the card has failed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.board = StatusBoard()
        self.card_failed = threading.Event()
        self.error = error

    def on_interrupt(self) -> None: ...

    def pause(self, seconds: float | None) -> None: ...

    def resume(self) -> None: ...

    def stop_now(self) -> None: ...

    def run(self) -> int:
        assert self.card_failed.wait(30)
        if self.error is not None:
            raise self.error
        return 5


@pytest.mark.parametrize("error", [None, ValueError("a bug")])
def test_a_card_that_fails_leaves_the_agent_running_with_its_log(
    error: Exception | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent: Any = Agent(error)

    def fail(card: Card, **_: Any) -> None:
        agent.card_failed.set()
        raise RuntimeError("no such terminal")

    monkeypatch.setattr(Card, "run", fail)
    handlers = logging.getLogger().handlers[:]
    if error is None:
        assert session.run_under_card(agent, BESIDE) == 5
    else:
        with pytest.raises(ValueError, match="a bug"):
            session.run_under_card(agent, BESIDE)
    assert logging.getLogger().handlers == handlers
    assert "the card failed, the agent goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "opens"),
    [({}, False), ({"DISPLAY": ":0"}, True), ({"WAYLAND_DISPLAY": "wayland-0"}, True)],
)
def test_a_browser_is_opened_only_in_a_graphical_session(
    variables: dict[str, str], opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    opened: list[str] = []
    monkeypatch.setattr(browser.webbrowser, "open", lambda address: not opened.append(address))
    assert browser.open_address("https://lab.example.org/campaigns/3/") is opens
    assert len(opened) == int(opens)
