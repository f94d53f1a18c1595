"""Readers of a script's pipes whose memory use is bounded, whatever the script prints.

They read in chunks: `communicate()` would take as much memory as the script prints, and reading by
lines twice as much when no newline comes.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import IO, Any, Final

from workers.agent.progress import ProgressBuffer
from workers.protocol import MAX_STDERR_TAIL_BYTES

CHUNK_BYTES: Final = 64 * 1024
MAX_RESULT_LINE_BYTES: Final = 1024 * 1024
MAX_PROGRESS_LINE_BYTES: Final = 64 * 1024
# Number of lines kept that look like a JSON object; the last that parses is the result.
_KEPT_CANDIDATES: Final = 8


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
                    self._consume(chunk)


class LineSplitter:
    """Cuts a byte stream into lines and drops those longer than ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._partial = bytearray()
        self._dropping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that ``chunk`` completes, without their newlines."""
        *ends, rest = chunk.split(b"\n")
        lines = []
        for end in ends:
            self._extend(end)
            if not self._dropping:
                lines.append(bytes(self._partial))
            self._partial.clear()
            self._dropping = False
        self._extend(rest)
        return lines

    def rest(self) -> bytes:
        """Return what came after the last newline."""
        return bytes(self._partial)

    def _extend(self, piece: bytes) -> None:
        if not self._dropping and len(self._partial) + len(piece) <= self._limit_bytes:
            self._partial += piece
        else:
            self._partial.clear()
            self._dropping = True


class ResultCollector:
    """Keeps the last complete JSON object on a line of stdout."""

    def __init__(self) -> None:
        self._splitter = LineSplitter(MAX_RESULT_LINE_BYTES)
        self._candidates: deque[bytes] = deque(maxlen=_KEPT_CANDIDATES)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of stdout."""
        for line in self._splitter.feed(chunk):
            self._consider(line)

    def result(self) -> dict[str, Any] | None:
        """Return the result line's object, or None; call it after the last chunk.

        A last line without a newline counts when it is a whole object: then nothing is missing.
        """
        self._consider(self._splitter.rest())
        for line in reversed(self._candidates):
            parsed = parse_json_object(line)
            if parsed is not None:
                return parsed
        return None

    def _consider(self, line: bytes) -> None:
        stripped = line.strip()
        if stripped.startswith(b"{") and stripped.endswith(b"}"):
            self._candidates.append(stripped)


class StderrCollector:
    """Keeps the tail of stderr and passes its progress lines on."""

    def __init__(self, progress: ProgressBuffer) -> None:
        self._splitter = LineSplitter(MAX_PROGRESS_LINE_BYTES)
        self._tail = bytearray()
        self._progress = progress

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of stderr."""
        self._tail += chunk[-MAX_STDERR_TAIL_BYTES:]
        del self._tail[:-MAX_STDERR_TAIL_BYTES]
        for line in self._splitter.feed(chunk):
            if line.startswith(b"{") and b'"progress"' in line:
                self._progress.add_line(parse_json_object(line))

    def tail(self) -> str:
        """Return the last bytes as text that JSON and the database accept, at most 16 KiB of it."""
        text = bytes(self._tail).decode("utf-8", "replace").replace("\0", "\ufffd")
        # An invalid byte becomes a character of three bytes, so apply the bound once more.
        return text.encode()[-MAX_STDERR_TAIL_BYTES:].decode("utf-8", "ignore")


def parse_json_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in ``line``, or None for anything else, however hostile."""
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
