"""Readers of a script's pipes whose memory use is bounded, whatever the script prints.

They read in chunks: `communicate()` would take as much memory as the script prints, and reading by
lines twice as much when no newline comes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Any, Final

from workers.agent.output.json_lines import LineSplitter, ObjectFinder, parse_json_object
from workers.agent.output.metrics import read_result_line
from workers.agent.output.progress import ProgressBuffer
from workers.agent.output.script_text import quoted
from workers.protocol import MAX_STDERR_TAIL_BYTES

CHUNK_BYTES: Final = 64 * 1024
MAX_RESULT_LINE_BYTES: Final = 1024 * 1024
MAX_PROGRESS_LINE_BYTES: Final = 64 * 1024
METRIC: Final = "val_bpb"
_METRIC_MARKER: Final = b'"val_bpb"'
# Number of lines without the metric kept that look like a JSON object; the last that parses is
# the result where no line has the metric.
_KEPT_CANDIDATES: Final = 8
_SHOWN_BYTES: Final = 200

log = logging.getLogger("xeenet.readers")


class PipeReader(threading.Thread):
    """Reads one pipe to its end in the background and hands each chunk to ``consume``.

    After ``limit_bytes`` it sets `flooded` and goes on reading without keeping anything, so that
    the script does not block before it is killed.
    """

    def __init__(self, pipe: IO[bytes], consume: Callable[[bytes], None], limit_bytes: int) -> None:
        super().__init__(name="pipe-reader", daemon=True)
        self.flooded = False
        self._pipe = pipe
        self._consume = consume
        self._limit_bytes = limit_bytes

    def run(self) -> None:
        """Read until every process that holds the write end is gone."""
        total = 0
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), CHUNK_BYTES):
                total += len(chunk)
                if total > self._limit_bytes:
                    self.flooded = True
                else:
                    self._hand_over(chunk)

    def _hand_over(self, chunk: bytes) -> None:
        try:
            self._consume(chunk)
        except Exception:  # a reader that ends would leave the script blocked on a full pipe
            log.exception("a part of the script's output could not be read")


class ResultCollector:
    """Keeps the last result line of stdout that keeps the contract.

    Where no line does, it keeps the last object with the metric, and where none has the metric the
    last object. ``max_steps`` is the number of steps after which the script has nothing left to do.
    """

    def __init__(self, max_steps: int | None = None) -> None:
        # When a line last reported all of max_steps, by the monotonic clock.
        self.all_steps_at: float | None = None
        self._max_steps = max_steps
        # Of a script that cannot be killed, a pipe is still read while the result is asked for.
        self._lock = threading.Lock()
        self._splitter = LineSplitter(MAX_RESULT_LINE_BYTES)
        self._finder = ObjectFinder(
            _METRIC_MARKER, lambda parsed: METRIC in parsed, limit_bytes=MAX_RESULT_LINE_BYTES
        )
        self._sound: dict[str, Any] | None = None
        self._with_metric: dict[str, Any] | None = None
        self._candidates: deque[bytes] = deque(maxlen=_KEPT_CANDIDATES)
        self._lines = 0
        self._last_line = b""

    @property
    def has_result(self) -> bool:
        """Whether a line that keeps the contract has come."""
        return self._sound is not None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of stdout."""
        with self._lock:
            for line in self._splitter.feed(chunk):
                self._consider(line)

    def result(self) -> dict[str, Any] | None:
        """Return the result line's object, or None; call it after the last chunk.

        A last line without a newline counts when it is a whole object: then nothing is missing.
        """
        with self._lock:
            self._consider(self._splitter.rest())
            if self._sound is not None:
                return self._sound
            if self._with_metric is not None:
                return self._with_metric
            for line in reversed(self._candidates):
                parsed = parse_json_object(line)
                if parsed is not None:
                    return parsed
            return None

    def seen(self) -> str:
        """Say in a few words what was on stdout; call it after `result`."""
        with self._lock:
            if dropped := self._splitter.dropped_lines:
                return f"{dropped} line(s) on stdout had over {MAX_RESULT_LINE_BYTES:,} bytes"
            if unfinished := self._finder.unfinished():
                return f"on stdout an object begins and does not end: {quoted(unfinished)}"
            if self._lines == 0:
                return "nothing was on stdout"
            last = quoted(self._last_line.decode("utf-8", "replace"))
            return f"the last of {self._lines:,} line(s) on stdout: {last}"

    def _consider(self, line: bytes) -> None:
        stripped = line.strip()
        if not stripped:
            return
        self._lines += 1
        self._last_line = stripped[:_SHOWN_BYTES]
        for parsed in self._finder.feed(line):
            self._take(parsed)
        if _METRIC_MARKER not in stripped and stripped[:1] == b"{" and stripped[-1:] == b"}":
            self._candidates.append(stripped)

    def _take(self, parsed: dict[str, Any]) -> None:
        self._with_metric = parsed
        line = read_result_line(parsed)
        if line.problems:
            return
        self._sound = parsed
        if self._max_steps is not None and line.metrics["steps_completed"] >= self._max_steps:
            self.all_steps_at = time.monotonic()


class StderrCollector:
    """Keeps the tail of stderr and passes its progress lines on."""

    def __init__(self, progress: ProgressBuffer) -> None:
        self.has_metric = False  # whether an object with the metric came, which belongs on stdout
        self._lock = threading.Lock()
        self._splitter = LineSplitter(MAX_PROGRESS_LINE_BYTES)
        self._finder = ObjectFinder(
            b'"progress"',
            lambda parsed: parsed.get("event") == "progress",
            limit_bytes=MAX_PROGRESS_LINE_BYTES,
        )
        self._tail = bytearray()
        self._progress = progress

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of stderr."""
        with self._lock:
            self._tail += chunk[-MAX_STDERR_TAIL_BYTES:]
            del self._tail[:-MAX_STDERR_TAIL_BYTES]
            for line in self._splitter.feed(chunk):
                self._consider(line)

    def finish(self) -> None:
        """Take what came after the last line end as a line; call it after the last chunk."""
        with self._lock:
            self._consider(self._splitter.rest())

    def tail(self) -> str:
        """Return the last bytes as text that JSON and the database accept, at most 16 KiB of it."""
        with self._lock:
            tail = bytes(self._tail)
        text = tail.decode("utf-8", "replace").replace("\0", "\ufffd")
        # An invalid byte becomes a character of three bytes, so apply the bound once more.
        return text.encode()[-MAX_STDERR_TAIL_BYTES:].decode("utf-8", "ignore")

    def _consider(self, line: bytes) -> None:
        found = self._finder.feed(line)
        for parsed in found:
            self._progress.add_line(parsed)
        if not found and _METRIC_MARKER in line and b"{" in line:
            self.has_metric = True
