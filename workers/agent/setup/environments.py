"""The folder beside the state folder in which set-up makes environments, and which one is chosen.

It is no part of the state folder, because scripts in the sandbox read their environment and must
see nothing of the state. One small file names the environment; it is replaced in one step, so at
any moment a start finds the old one or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from workers.agent.disk import remove_folder
from workers.agent.files import read_regular, write_new

SUFFIX: Final = "-python"
_PREFIX: Final = "env-"
_CHOICE: Final = "current.json"
_SCHEMA: Final = 1
_MAX_BYTES: Final = 64 * 1024


class SetUpRuns(Exception):
    """Another set-up works on these environments."""


@dataclass(frozen=True)
class Choice:
    """The Python of the scripts. ``environment`` is its folder's name if set-up made it."""

    python: str
    torch_version: str
    device: str
    reason: str
    environment: str = ""
    previous: str = ""  # the environment of before: an agent that runs may still use it


class Environments:
    """The environments of the agent on ``state_root``."""

    def __init__(self, state_root: Path) -> None:
        root = state_root.expanduser().absolute()
        self.root = root.with_name(root.name + SUFFIX)
        self.cache = self.root / "cache"  # what uv has fetched, until a set-up has worked
        self.pythons = self.root / "python"  # what `uv python install` has fetched
        self._choice = self.root / _CHOICE

    def choice(self) -> Choice | None:
        """Return the Python that set-up chose; None without any, or where the file is broken."""
        try:
            data = json.loads(read_regular(self._choice, _MAX_BYTES))
            if data.pop("schema") != _SCHEMA:
                return None
            choice = Choice(**data)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return choice if all(isinstance(text, str) for text in asdict(choice).values()) else None

    def choose(self, choice: Choice) -> None:
        """Let the scripts run with ``choice`` from the agent's next task on. Raises OSError."""
        former = self.choice()
        if former is not None and former.environment != choice.environment:
            choice = replace(choice, previous=former.environment or former.previous)
        temporary = self._choice.with_suffix(".tmp")
        text = json.dumps({"schema": _SCHEMA, **asdict(choice)}, indent=2)
        write_new(temporary, text, mode=0o600, durable=True)
        temporary.replace(self._choice)

    def forget(self) -> None:
        """Let the scripts run with the agent's own Python again. Raises OSError."""
        self._choice.unlink(missing_ok=True)

    def new_folder(self) -> Path:
        """Return a path for a new environment, whose parent exists. Raises OSError."""
        return self.root / f"{_PREFIX}{uuid.uuid4().hex[:8]}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder for one set-up; it is made if need be. Raises OSError, `SetUpRuns`."""
        self.root.mkdir(parents=True, exist_ok=True)
        if os.name == "posix":
            self.root.chmod(0o700)
        with (self.root / "lock").open("a+") as file:
            _lock(file.fileno())
            yield file.fileno()

    def remove_leftovers(self, *, keep_previous: bool = True) -> int:
        """Remove environments that nobody uses; return how many. Call it with the lock held.

        The previous one is used by an agent that has run since before the last set-up.
        """
        choice = self.choice()
        kept = set() if choice is None else {choice.environment}
        if choice is not None and keep_previous:
            kept.add(choice.previous)
        leftovers = [path for path in self.root.glob(f"{_PREFIX}*") if path.name not in kept]
        leftovers += [*self.root.glob("trial-*"), *self.root.glob("*.tmp")]
        return sum(remove_folder(path) for path in leftovers)

    def remove_cache(self) -> None:
        """Remove what uv has fetched: the environment has all of it by hard links or copies."""
        remove_folder(self.cache)


def python_of(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _lock(handle: int) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SetUpRuns("another set-up is running here; wait for it to end") from None
