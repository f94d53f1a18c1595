"""What scripts print, as plain text: without terminal escapes and control characters.

Every pattern here is linear: its repetitions never give back what they matched.
"""

from __future__ import annotations

import re
from typing import Final

# Colours and cursor movements (CSI), titles and links (OSC), other strings, single functions. A
# string without its end is left alone, so that it cannot swallow the rest of a line.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|\x1b\][^\x07\x1b]*+(?:\x07|\x1b\\)"
    r"|\x1b[PX^_][^\x1b]*+\x1b\\"
    r"|\x1b[ -/]*+[0-OQ-WYZ\\`-~]"
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def without_escapes(text: str) -> str:
    """Return ``text`` without terminal escape sequences."""
    return _ESCAPES.sub("", text) if "\x1b" in text or "\x9b" in text else text


def plain_lines(text: str) -> list[str]:
    """Return the lines of ``text``, cut at line feeds and carriage returns, without escapes.

    A progress bar returns to the start of its line: what it draws next is a line of its own here.
    """
    lines = without_escapes(text).replace("\r", "\n").split("\n")
    return [_CONTROLS.sub("\ufffd", line.rstrip()) for line in lines]


def quoted(text: str, most_characters: int = 120) -> str:
    """Return ``text`` on one line and cut to ``most_characters``, safe for logs and terminals."""
    plain = _CONTROLS.sub("\ufffd", " ".join(without_escapes(text).split()))
    return plain if len(plain) <= most_characters else f"{plain[: most_characters - 1]}…"
