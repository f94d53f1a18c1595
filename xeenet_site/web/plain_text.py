"""Text of others for a terminal."""

from __future__ import annotations


def plain(value: object) -> str:
    """Return text with every control character replaced: no value may steer the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(value))
