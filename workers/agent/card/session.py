"""An agent under its card: the agent in a thread of its own, the terminal in the main thread."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from workers.agent.browser import open_address
from workers.agent.card.app import Card, Controls
from workers.agent.card.beside import Beside
from workers.agent.log_tail import LogTail
from workers.agent.status import words
from workers.agent.work import Work

_JOIN_SECONDS: Final = 0.5  # a signal is handled within this time
_AT_THE_END: Final = 10  # lines of the log that stay on the terminal

log = logging.getLogger("xeenet.agent")


class _Working(threading.Thread):
    """Runs the agent, and keeps its exit code or what ended it."""

    def __init__(self, work: Work) -> None:
        super().__init__(name="agent")
        self.exit_code = 0
        self.error: BaseException | None = None
        self._work = work

    def run(self) -> None:
        try:
            self.exit_code = self._work.run()
        except BaseException as error:  # noqa: BLE001 (raised again in the main thread)
            self.error = error


def run_under_card(work: Work, beside: Beside) -> int:
    """Run the agent with the card; return its exit code.

    A card that fails leaves the agent running, with its log in the card's place.
    """
    working = _Working(work)
    with _log_for_card() as tail:
        card = Card(_controls(work, working, beside), tail.lines, is_unicode=is_unicode_terminal())
        working.start()
        try:
            card.run(mouse=False)
        except Exception:
            log.exception("the card failed, the agent goes on")
    _print(list(tail.lines)[-_AT_THE_END:])
    while working.is_alive():  # not one long wait: handlers of signals run in between
        working.join(_JOIN_SECONDS)
    if working.error is not None:
        raise working.error
    _print([words.safe(_farewell(work))])
    return working.exit_code


def _print(lines: list[str]) -> None:
    """Leave lines on the terminal, if it is still there."""
    with suppress(OSError, ValueError):
        for line in lines:
            print(line, file=sys.stderr, flush=True)


def _farewell(work: Work) -> str:
    status = work.board.status
    given = words.span(status.totals.seconds)
    return f"{words.totals_text(status.totals, status.to_send)}; {given} of training given"


def _controls(work: Work, working: _Working, beside: Beside) -> Controls:
    return Controls(
        status=lambda: work.board.status,
        pause=work.pause,
        resume=work.resume,
        drain=work.on_interrupt,
        stop=work.stop_now,
        is_over=lambda: not working.is_alive(),
        open_address=open_address,
        beside=beside,
    )


@contextmanager
def _log_for_card() -> Iterator[LogTail]:
    """Send the log to the card instead of the terminal, which the card draws on."""
    root, tail = logging.getLogger(), LogTail()
    former = root.handlers[:]
    root.handlers[:] = [tail]
    try:
        yield tail
    finally:
        root.handlers[:] = former


def is_unicode_terminal() -> bool:
    """Return whether the terminal takes more than ASCII, as far as its settings tell."""
    encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower().replace("-", "")
    return encoding.startswith("utf") and os.environ.get("TERM") != "linux"
