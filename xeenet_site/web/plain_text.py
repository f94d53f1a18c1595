"""Makes untrusted text safe to print in a terminal."""

from __future__ import annotations


def plain(value: object) -> str:
    """Return the value as text without control characters, which could steer the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(value))
