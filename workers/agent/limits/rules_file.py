"""The file of the owner's rules in the state folder, read again whenever it changes.

Page, card and command write it, without the lock of the state folder; the agent only reads it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from workers.agent.files import read_regular, write_new
from workers.agent.limits.rules import Rules, RulesError, from_json, to_json

FILE_NAME: Final = "limits.json"
_MAX_BYTES: Final = 16 * 1024


def load(root: Path) -> Rules:
    """Return the rules in the state folder ``root``, the defaults without a file.

    Raises `RulesError` when the file is there and cannot be used.
    """
    path = root / FILE_NAME
    try:
        return from_json(read_regular(path, _MAX_BYTES))
    except FileNotFoundError:
        return Rules()
    except (OSError, RulesError) as error:
        hint = "`xeenet-worker limits reset` makes a new one"
        raise RulesError(f"{path} cannot be used: {error}. {hint}") from error


def store(root: Path, rules: Rules) -> None:
    """Put the rules into the state folder, whole or not at all, for the owner only.

    Raises OSError.
    """
    # A name of its own: two writers at a time must not write into one file.
    temporary = root / f"limits.{os.getpid()}.tmp"
    write_new(temporary, to_json(rules), mode=0o600, durable=True)
    temporary.replace(root / FILE_NAME)


class RulesFile:
    """The rules as the agent follows them: those of the file, as long as it can be used.

    A file that breaks while the agent runs leaves the rules of before in force. At the start there
    are none of before: `rules` is None, and the agent does nothing that its owner may not want.
    """

    def __init__(self, root: Path) -> None:
        self.rules: Rules | None = None
        self.problem = ""
        self._root = root
        self._seen: tuple[int, ...] | None = ()
        self.read()

    def read(self) -> bool:
        """Read the file when it has changed; return whether it had."""
        seen = self._signature()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.rules, self.problem = load(self._root), ""
        except RulesError as error:
            self.problem = str(error)
        return True

    def _signature(self) -> tuple[int, ...] | None:
        """Return what changes with the file; None without a file."""
        try:
            status = (self._root / FILE_NAME).lstat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
