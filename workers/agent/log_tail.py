"""The newest lines of the log, for the faces that show it."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from workers.agent.plain_text import PlainFormatter

KEPT_LINES: Final = 200


class LogTail(logging.Handler):
    """Keeps the newest lines. They are counted, so that a reader can ask for those it lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.count = 0
        self.setFormatter(PlainFormatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record's lines; the caller holds the handler's lock."""
        new = self.format(record).split("\n")
        self.lines += new
        self.count += len(new)

    def after(self, number: int) -> tuple[int, list[str]]:
        """Return how many lines there were so far, and the newest of those after ``number``."""
        self.acquire()
        try:
            lines = list(self.lines)
            missing = self.count - number if 0 <= number <= self.count else len(lines)
            return self.count, lines[max(0, len(lines) - missing) :]
        finally:
            self.release()
