"""When no task is claimed although the server may have some: by the owner, or by the agent itself.

Only a pause by the owner's rules touches running tasks, and not here: see `workers.agent.limits`.
"""

from __future__ import annotations

import math
import time
from typing import Final

from workers.agent.backoff import Backoff
from workers.agent.connection.client import ServerUnavailable
from workers.agent.limits.decisions import Pause as RulePause
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import PausedBy

_MACHINE_SECONDS: Final = (30.0, 600.0)  # first and longest pause of a machine at fault
_FILES_SECONDS: Final = (1.0, 600.0)


class Pauses:
    """The pauses of one agent. Thread-safe: tasks begin them, the main loop ends them."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board
        self._agent_until = 0.0
        self._owner_until = 0.0  # infinite until the owner resumes
        self._rule = ""  # of the owner's rules, that pauses the agent
        self._machine_backoff = Backoff(*_MACHINE_SECONDS)
        self._files_backoff = Backoff(*_FILES_SECONDS)

    def hold(self) -> bool:
        """Return whether a pause is on; tell of those whose time has come."""
        now = time.monotonic()
        if now >= self._owner_until:
            self._board.resume(PausedBy.OWNER)
        if now >= self._agent_until:
            self._board.resume(PausedBy.AGENT)
        return now < max(self._owner_until, self._agent_until)

    def by_owner(self, seconds: float | None = None, reason: str = "") -> None:
        """Pause for ``seconds``, None until `end_by_owner`."""
        self._owner_until = time.monotonic() + (math.inf if seconds is None else seconds)
        self._board.pause(PausedBy.OWNER, reason, seconds)

    def end_by_owner(self) -> None:
        """End the owner's pause."""
        self._owner_until = 0.0
        self._board.resume(PausedBy.OWNER)

    def by_rules(self, pause: RulePause | None) -> None:
        """Tell of the pause by the owner's rules, None for none; the loop itself keeps it."""
        rule = "" if pause is None else pause.rule
        if rule == self._rule:
            return
        self._rule = rule
        if pause is None:
            self._board.resume(PausedBy.RULE)
            return
        until = None if pause.until is None else pause.until.timestamp()
        seconds = None if until is None else max(0.0, until - time.time())
        self._board.pause(PausedBy.RULE, pause.reason, seconds)

    def after_missing_files(self, away: ServerUnavailable, reason: str) -> None:
        """Pause after a task whose files the server did not deliver: short, it is soon back."""
        self._by_agent(self._files_backoff.next_wait(away.retry_after_seconds), reason)

    def after_trouble(self, reason: str) -> None:
        """Pause after a task that this machine cannot run: long, it probably needs a person."""
        self._by_agent(self._machine_backoff.next_wait(), reason)

    def forget_trouble(self) -> None:
        """Begin with short pauses again: a task was run."""
        self._machine_backoff.reset()
        self._files_backoff.reset()

    def _by_agent(self, seconds: float, reason: str) -> None:
        """Pause for ``seconds``; a longer pause because of another task goes on."""
        until = time.monotonic() + seconds
        if until > self._agent_until:
            self._agent_until = until
            self._board.pause(PausedBy.AGENT, reason, seconds)
