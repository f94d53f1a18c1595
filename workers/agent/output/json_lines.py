"""JSON objects amid what a script prints: bounded in memory and time, whatever it prints.

A line ends at a line feed or a carriage return, so that what follows a progress bar is a line of
its own. An object is found amid a line too (a bar without a line end, a logger's prefix, colour
codes) and over several lines (indented JSON).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from workers.agent.output.script_text import without_escapes

Object = dict[str, Any]

# Places in one line where an object may begin; each costs one more parse of the line.
_MAX_STARTS: Final = 8
# Linear: it never gives back what it matched, and a string without its end runs to the end of the
# text; otherwise each quote of an endless string would be tried as a beginning.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# What a line of indented JSON begins with, NaN and Infinity included.
_CONTINUES: Final = frozenset(b'"{}[],:-0123456789tfnNI')
_DECODER: Final = json.JSONDecoder()


class LineSplitter:
    """Cuts a byte stream into lines and drops those longer than ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self.dropped_lines = 0
        self._limit_bytes = limit_bytes
        self._partial = bytearray()
        self._dropping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that ``chunk`` completes, without their ends and without empty ones."""
        first, *others = chunk.replace(b"\r", b"\n").split(b"\n")
        self._extend(first)
        if not others:
            return []
        lines = [bytes(self._partial)]  # nothing when it is dropped
        self._partial.clear()
        self._dropping = False
        *whole, rest = others
        lines += whole
        self._extend(rest)
        long = [line for line in whole if len(line) > self._limit_bytes]
        self.dropped_lines += len(long)
        return [line for line in lines if line and len(line) <= self._limit_bytes]

    def rest(self) -> bytes:
        """Return what came after the last line end."""
        return bytes(self._partial)

    def _extend(self, piece: bytes) -> None:
        if not self._dropping and len(self._partial) + len(piece) <= self._limit_bytes:
            self._partial += piece
        elif not self._dropping:
            self._partial.clear()
            self._dropping = True
            self.dropped_lines += 1


class ObjectFinder:
    """Finds the objects that ``wanted`` accepts in lines that it is fed one after the other.

    Only text with ``marker`` is parsed, as every wanted object has it. Indented objects are put
    together up to ``limit_bytes``.
    """

    def __init__(
        self, marker: bytes, wanted: Callable[[Object], bool], *, limit_bytes: int
    ) -> None:
        self._marker = marker
        self._wanted = wanted
        self._limit_bytes = limit_bytes
        self._open: list[bytes] = []  # the lines of an object that has not ended yet
        self._open_bytes = 0
        self._open_braces = 0

    def feed(self, line: bytes) -> list[Object]:
        """Return the wanted objects that end on this line, in their order."""
        if b"\x1b" in line:
            line = without_escapes(line.decode("utf-8", "replace")).encode()
        found = []
        if self._marker in line and b"{" in line:
            found += self._parse(line)
        if self._open or b"{" in line:
            found += self._feed_indented(line, complete=bool(found))
        return found

    def unfinished(self) -> str:
        """Return the beginning of an object that has not ended; "" when there is none."""
        return b" ".join(self._open[:3])[:200].decode("utf-8", "replace")

    def _feed_indented(self, line: bytes, *, complete: bool) -> list[Object]:
        stripped = line.strip()
        if not stripped:
            return []
        if self._open and not line.startswith(b"{") and stripped[0] in _CONTINUES:
            return self._continue(stripped)
        self._close()
        start = line.find(b"{")
        if start != -1 and not complete:
            text = line[start:]
            if _open_braces(text) > 0:
                return self._continue(text)
        return []

    def _continue(self, text: bytes) -> list[Object]:
        self._open.append(text)
        self._open_bytes += len(text) + 1
        self._open_braces += _open_braces(text)
        if self._open_bytes > self._limit_bytes:
            self._close()
        if not self._open or self._open_braces > 0:
            return []
        whole = b"\n".join(self._open)
        self._close()
        return self._parse(whole) if self._marker in whole else []

    def _close(self) -> None:
        self._open.clear()
        self._open_bytes = self._open_braces = 0

    def _parse(self, line: bytes) -> list[Object]:
        """Return the wanted objects amid a text, whatever stands around them."""
        text = line.decode("utf-8", "replace")
        found, place = [], text.find("{")
        for _ in range(_MAX_STARTS):
            if place == -1:
                break
            try:
                parsed, place = _DECODER.raw_decode(text, place)
            except (ValueError, RecursionError):
                place += 1
            else:
                if isinstance(parsed, dict) and self._wanted(parsed):
                    found.append(parsed)
            place = text.find("{", place)
        return found


def parse_json_object(line: bytes) -> Object | None:
    """Return the JSON object in ``line``, or None for anything else, however hostile."""
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _open_braces(text: bytes) -> int:
    """Return how many braces outside of strings stay open at the end of ``text``."""
    plain = _STRING.sub(b"", text)
    return plain.count(b"{") - plain.count(b"}")
