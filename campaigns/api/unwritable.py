"""A database that answers but takes no changes: it is read-only, or its disk is full.

Both last until somebody mends them. Clients are asked to come again later, and `/readyz` names the
problem as long as requests meet it.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Final

from django.db import connection

READ_ONLY: Final = "is read-only"
FULL: Final = "has no room left"
# A problem that no request has met for so long is no longer reported.
REMEMBERED_SECONDS: Final = 10.0
# SQLSTATE codes of PostgreSQL.
_STATES: Final = {"25006": READ_ONLY, "53100": FULL}
# With less room than this on its disk, SQLite counts as full.
ROOM_BYTES: Final = 1024 * 1024
# Words of PostgreSQL's and of SQLite's messages; SQLite has no codes that Django passes on.
_WORDS: Final = {
    "in a read-only transaction": READ_ONLY,
    "attempt to write a readonly database": READ_ONLY,
    "database or disk is full": FULL,
    "No space left on device": FULL,
}
# What SQLite says when it cannot write one of its files; the disk tells why.
_VAGUE_WORDS: Final = ("disk I/O error", "unable to open database file")


class _Memory:
    """The last problem that a request of this process met."""

    problem = ""
    at = 0.0


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's code of an error that Django wrapped, "" for other databases."""
    return str(getattr(error.__cause__, "sqlstate", None) or "")


def write_problem(error: BaseException) -> str:
    """Return READ_ONLY or FULL when that is why the database refused a change, "" otherwise."""
    if problem := _STATES.get(sqlstate(error)):
        return problem
    text = str(error)
    if any(words in text for words in _VAGUE_WORDS):
        return sqlite_problem()
    return next((problem for words, problem in _WORDS.items() if words in text), "")


def sqlite_problem() -> str:
    """Return what is wrong with the disk or the file of SQLite's database, "" if nothing is."""
    file = Path(str(connection.settings_dict["NAME"]))
    if connection.vendor != "sqlite" or not file.is_file():
        return ""
    if shutil.disk_usage(file.parent).free < ROOM_BYTES:
        return FULL
    return "" if os.access(file, os.W_OK) and os.access(file.parent, os.W_OK) else READ_ONLY


def remember(error: BaseException) -> None:
    """Remember for `recent_problem` that a request met this error, if it is such a problem."""
    if problem := write_problem(error):
        _Memory.problem, _Memory.at = problem, time.monotonic()


def recent_problem() -> str:
    """Return the problem that a request of this process has met in the last seconds, or ""."""
    is_recent = time.monotonic() - _Memory.at < REMEMBERED_SECONDS
    return _Memory.problem if is_recent else ""


def forget() -> None:
    """Forget the last problem."""
    _Memory.problem = ""
