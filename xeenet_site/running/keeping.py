"""Keeps the processes of `serve` and `demo` alive: one that ends is started again.

Between two tries it waits, twice as long each time. A process that ends again and again cannot be
kept alive: then everything is stopped, and the command says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.core.management.base import CommandError

from xeenet_site.running.processes import Child, Supervisor

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 16.0
# A process that lived for so long was well: its earlier ends are forgotten.
WELL_SECONDS: Final = 60.0
# After so many ends in a row, none of them well, a process counts as impossible to keep alive.
MOST_ENDS: Final = 6


@dataclass
class _Kept:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    child: Child | None = None
    started_at: float = 0.0
    ends: int = 0
    # When the next start is due, while `child` is None.
    due_at: float = 0.0


class Keeper:
    """Starts vital processes under a supervisor, and starts them again when they end."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
        most_ends: int = MOST_ENDS,
    ) -> None:
        self._supervisor = supervisor
        self._first_wait_seconds = first_wait_seconds
        self._most_ends = most_ends
        self._kept: list[_Kept] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a process that is to be kept alive; return its first child. Raises OSError.

        A log file is that of all its children.
        """
        kept = _Kept(name, command, environment)
        self._kept.append(kept)
        return self._start(kept)

    def look_after(self, say: Callable[[str], None]) -> list[Child]:
        """Start again what has ended; return the ended children that are not kept alive.

        `say` gets a sentence about each end. Raises CommandError when a process cannot be kept
        alive.
        """
        ended = self._supervisor.newly_ended()
        for kept in self._kept:
            if kept.child in ended:
                ended.remove(kept.child)
                self._note_end(kept, kept.child, say)
            if kept.child is None and time.monotonic() >= kept.due_at:
                self._start(kept)
        return ended

    def _start(self, kept: _Kept) -> Child:
        kept.started_at = time.monotonic()
        kept.child = self._supervisor.start(kept.name, kept.command, kept.environment)
        return kept.child

    def _note_end(self, kept: _Kept, child: Child, say: Callable[[str], None]) -> None:
        now = time.monotonic()
        kept.child = None
        kept.ends = 1 if now - kept.started_at >= WELL_SECONDS else kept.ends + 1
        how = child.how_it_ended()
        if kept.ends >= self._most_ends:
            words = "Its last lines are above."
            if child.log is not None:
                words = f"It said last:\n{child.log_tail()}\nWhole log: {child.log}"
            raise CommandError(
                f"The {kept.name} ended {kept.ends} times in a row (last: {how}). Everything was "
                f"stopped. {words}"
            )
        wait = min(self._first_wait_seconds * 2 ** (kept.ends - 1), LONGEST_WAIT_SECONDS)
        kept.due_at = now + wait
        say(f"The {kept.name} ended by itself ({how}); it starts again in {wait:g} s.")
