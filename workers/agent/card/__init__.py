"""The card: what the agent is doing, on a terminal, with keys. It needs the package `textual`."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.agent.card.beside import Beside
    from workers.agent.work import Work


def find_card() -> Callable[[Work, Beside], int] | None:
    """Return what runs an agent under a card, None where only a log is possible.

    The card writes to stderr and reads keys, so all three streams must be a terminal that can move
    its cursor.
    """
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if not all(stream is not None and stream.isatty() for stream in streams):
        return None
    if os.name == "posix" and os.environ.get("TERM", "dumb") == "dumb":
        return None
    if importlib.util.find_spec("textual") is None:
        return None
    from workers.agent.card.session import run_under_card

    return run_under_card
