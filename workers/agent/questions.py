"""Questions to the person at the terminal."""

from __future__ import annotations

import sys

from workers.agent.plain_text import plain


class NobodyToAsk(Exception):
    """This is no terminal; the message says which option answers instead."""


def ask(question: str, *, yes: bool, instead: str = "--yes") -> bool:
    """Return whether the person agrees; the answer without a word is no.

    With ``yes`` nobody is asked. Raises `NobodyToAsk` where there is no terminal.
    """
    if yes:
        return True
    if not (sys.stdin and sys.stdin.isatty()):
        raise NobodyToAsk(f"{question} Nobody can answer here; {instead} does.")
    print(plain(f"{question} [y/N] "), end="", flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
