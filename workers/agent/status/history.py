"""The history of this agent's tasks: a bounded file of JSON lines in the state folder.

A line is a whole entry. The answer of the server to a result adds a second line of the same lease,
and the later one counts, so that nothing is ever written in place. When the file has grown to twice
its bound it is replaced by its newest entries. A script of tier T0 can write to the file: what is
read back is bounded, checked, and only shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from workers.agent.files import open_regular, write_new
from workers.agent.status.encoding import Unreadable, read
from workers.agent.status.model import EndedTask

MAX_ENTRIES: Final = 500
MAX_BYTES: Final = 512 * 1024
SCHEMA: Final = 1
_MAX_LINE_BYTES: Final = 16 * 1024

log = logging.getLogger("xeenet.agent")


class History:
    """The newest ended tasks, in memory and in the file at ``path``. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._tasks: dict[str, EndedTask] = {}
        self._lines = self._bytes = 0
        self._failed = False
        content = _tail(path)
        for task in entries(content):
            self._keep(task)
        self._lines, self._bytes = content.count(b"\n"), len(content)

    def tasks(self) -> list[EndedTask]:
        """Return the newest ended tasks, newest last."""
        with self._lock:
            return list(self._tasks.values())

    def find(self, lease_id: str) -> EndedTask | None:
        """Return the task with this lease, None when it is not here any more."""
        with self._lock:
            return self._tasks.get(lease_id)

    def add(self, task: EndedTask) -> None:
        """Add a task, or what became of it. A disk that does not take it is logged once."""
        line = _line(task)
        with self._lock:
            self._keep(task)
            try:
                if self._lines >= 2 * MAX_ENTRIES or self._bytes + len(line) > 2 * MAX_BYTES:
                    self._rewrite()
                else:
                    _append(self._path, line)
                    self._lines, self._bytes = self._lines + 1, self._bytes + len(line)
                self._failed = False
            except OSError as error:
                if not self._failed:
                    log.warning("the history of tasks is not written: %s", error)
                self._failed = True

    def _keep(self, task: EndedTask) -> None:
        """Keep a task at its former place, or as the newest."""
        self._tasks[task.lease_id] = task
        while len(self._tasks) > MAX_ENTRIES:
            del self._tasks[next(iter(self._tasks))]

    def _rewrite(self) -> None:
        lines: list[bytes] = []
        size = 0
        for task in reversed(self._tasks.values()):
            line = _line(task)
            size += len(line)
            if size > MAX_BYTES:
                break
            lines.append(line)
        content = b"".join(reversed(lines))
        temporary = self._path.with_suffix(".tmp")
        write_new(temporary, content.decode("ascii"), mode=0o600)
        temporary.replace(self._path)
        self._lines, self._bytes = len(lines), len(content)


def entries(content: bytes) -> Iterable[EndedTask]:
    """Return the tasks of a history file, later lines of a lease in the place of earlier ones.

    A line that is torn, foreign, too long or of a newer version is passed over.
    """
    tasks: dict[str, EndedTask] = {}
    for line in content.split(b"\n"):
        if not line or len(line) > _MAX_LINE_BYTES:
            continue
        with contextlib.suppress(ValueError, RecursionError, Unreadable):
            data = json.loads(line)
            if isinstance(data, dict) and data.get("schema") == SCHEMA:
                task: EndedTask = read(EndedTask, data, "entry")
                tasks[task.lease_id] = task
    return tasks.values()


def read_history(path: Path) -> list[EndedTask]:
    """Return the newest tasks of the file, newest last; [] where there is none to be read."""
    return list(entries(_tail(path)))[-MAX_ENTRIES:]


def _line(task: EndedTask) -> bytes:
    data: dict[str, Any] = {"schema": SCHEMA, **dataclasses.asdict(task)}
    return json.dumps(data, allow_nan=False).encode("ascii") + b"\n"


def _append(path: Path, line: bytes) -> None:
    """Add a line at the end of the file, after the torn line of a crash if there is one."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags, 0o600)
    with os.fdopen(handle, "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is not a regular file")
        end = file.seek(0, os.SEEK_END)
        torn = False
        if end:
            file.seek(end - 1)
            torn = file.read(1) != b"\n"
        file.write(b"\n" + line if torn else line)


def _tail(path: Path) -> bytes:
    """Return the end of the file, as much as a whole history may have; b"" when there is none."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2 * MAX_BYTES))
            return file.read(2 * MAX_BYTES)
    except OSError:
        return b""
