"""Looks after agent, window and icon from the start to the end of a desktop worker."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from workers.agent.exits import EXIT_OK
from workers.agent.limits.rules import RulesError, changed
from workers.agent.limits.rules_file import load, store
from workers.agent.plain_text import plain
from workers.agent.state import STATUS_FILE
from workers.agent.status.file import read_status
from workers.agent.status.model import State

_LOOK_SECONDS: Final = 2.0
_START_SECONDS: Final = 60.0
_TITLE: Final = "XeeNet worker"
_TONES: Final = {
    State.WORKING: "live",
    State.MEASURING: "live",
    State.PAUSED: "amber",
    State.TROUBLE: "red",
}

Events = queue.Queue[tuple[str, str]]


class Shown(Protocol):
    """A window, or an icon."""

    @property
    def is_shown(self) -> bool:
        """Whether it is there."""

    def tell(self, order: dict[str, Any]) -> None:
        """Say what it shows."""

    def end(self) -> None:
        """Close it."""


class Agent(Protocol):
    """The agent's process."""

    root: Path

    @property
    def is_running(self) -> bool:
        """Whether this program started it and it has not ended."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and before it was started."""

    def stop(self) -> None:
        """Let it give its tasks back and end."""


class Coordinator:
    """Shows pages and reacts to the person until the last of window, icon and agent has gone.

    ``new_address`` gives an address of what there is to show by then, ``why_page`` one of the page
    that says why the agent has failed.

    Without an icon the window is all that a person sees of the worker, so closing it stops an agent
    that was started for it. With an icon the agent works on, and the icon opens the window again.
    An agent that ran before is never stopped by a window.
    """

    def __init__(
        self,
        agent: Agent,
        events: Events,
        *,
        open_window: Callable[[str, str], Shown] | None,
        open_browser: Callable[[str], bool],
        open_tray: Callable[[str], Shown] | None,
        new_address: Callable[[], str],
        is_joining: Callable[[], bool] = lambda: False,
        why_page: Callable[[], str] = str,
        say: Callable[[str], None] = print,
    ) -> None:
        self._agent = agent
        self._events = events
        self._open_window = open_window
        self._open_browser = open_browser
        self._open_tray = open_tray
        self._new_address = new_address
        self._is_joining = is_joining
        self._why_page = why_page
        self._failure_is_shown = False
        self._say = say
        self._window: Shown | None = None
        self._tray: Shown | None = None
        self._tray_is_there = False
        self._window_was_seen = False
        self._told: State | None = None

    def run(self, first_address: str) -> int:
        """Show the first page, then stay as long as there is something to look after."""
        if self._open_tray is not None:
            self._tray = self._open_tray(_TITLE)
            self._wait_for_tray()
        try:
            self.show(first_address)
            while self._is_needed():
                self._follow()
                self._tell_tray()
                self._show_failure()
            return EXIT_OK
        finally:
            for face in (self._window, self._tray):
                if face is not None:
                    face.end()
            if self._agent.is_running:
                self._say("The worker stops; its tasks go back.")
                self._agent.stop()

    def show(self, address: str) -> None:
        """Show an address in the window, or in the browser where there is no window."""
        if self._open_window is not None:
            self._window = self._open_window(address, self.title)
        elif not self._open_browser(address):
            self._say("This address opens the page once, on this machine:")
            self._say(address)

    @property
    def title(self) -> str:
        """The window's title, which says what closing it means."""
        if self._tray_is_there or not self._agent.is_running:
            return _TITLE
        return f"{_TITLE} – closing this window stops it"

    def _is_needed(self) -> bool:
        if self._window is not None:
            if self._window.is_shown:
                return True
            self._window.end()
            self._window = None
            if not self._window_was_seen:
                self._say("No window can be opened here; the page opens in the browser.")
                self._open_window = None
                self.show(self._new_address())
        if self._open_window is None:  # a browser tells nobody that its tab was closed
            return self._agent.is_running or self._is_joining()
        return self._agent.is_running and self._tray_is_there

    def _wait_for_tray(self) -> None:
        """Wait until the icon is there or its program has ended."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            try:
                name, word = self._events.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if name == "tray":
                self._tray_is_there = word.startswith("shown")
                return

    def _follow(self) -> None:
        """Do what the person chose, if they chose something."""
        try:
            name, word = self._events.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return
        if name == "window":
            self._window_was_seen = self._window_was_seen or word == "opened"
            return
        verb, _, rest = word.partition(" ")
        if verb == "ended":
            self._tray_is_there = False
        elif verb == "open" and self._window is None:
            if address := self._new_address():
                self.show(address)
        elif verb == "pause":
            self._pause(rest)
        elif verb == "stop":
            self._agent.stop()

    def _pause(self, length: str) -> None:
        root = self._agent.root
        try:
            store(root, changed(load(root), {"pause": length}, now_seconds=time.time()))
        except (OSError, RulesError) as error:
            self._say(plain(f"No pause: {error}"))

    def _show_failure(self) -> None:
        """Say once why the agent has failed: its own page is gone with it."""
        if self._agent.is_running:
            self._failure_is_shown = False
        elif self._agent.exit_code and not self._failure_is_shown and not self._is_joining():
            self._failure_is_shown = True
            if self._window is not None:
                self._window.end()
            self.show(self._why_page())

    def _tell_tray(self) -> None:
        """Say what the agent does, when that has changed: a menu that is open would close."""
        if self._tray is None or not self._tray_is_there:
            return
        reading = read_status(self._agent.root / STATUS_FILE)
        state = State.STOPPED
        if reading.status is not None and reading.is_living:
            state = reading.status.state
        if state is not self._told:
            self._told = state
            self._tray.tell({"title": f"{_TITLE}: {state}", "tone": _TONES.get(state, "")})
