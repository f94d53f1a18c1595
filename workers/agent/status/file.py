"""The small file in the state folder from which `xeenet-worker status` reads."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.agent.files import NotARegularFile, read_regular, write_new
from workers.agent.status.board import StatusBoard
from workers.agent.status.encoding import Unreadable, decode, encode
from workers.agent.status.living import is_living
from workers.agent.status.model import Status

MAX_BYTES: Final = 1024 * 1024
WRITE_SECONDS: Final = 1.0  # between two writes at least, however much changes …
REFRESH_SECONDS: Final = 15.0  # … and at most, so that an agent that hangs is told from an idle one
SILENT_SECONDS: Final = 60.0

log = logging.getLogger("xeenet.agent")


class StatusFile:
    """Writes the board's status to ``path`` whenever it has changed. Its writes stop no agent."""

    def __init__(self, path: Path, board: StatusBoard) -> None:
        self._path = path
        self._board = board
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)
        board.listen(self._changed.set)

    def start(self) -> None:
        """Write now, and from now on."""
        self.write()
        self._thread.start()

    def stop(self) -> None:
        """Write what is known at the end."""
        self._ending.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self.write()

    def write(self) -> None:
        """Replace the file by the status now. A disk that does not take it is logged once."""
        temporary = self._path.with_suffix(".tmp")
        try:
            content = encode(self._board.status, time.time())
            write_new(temporary, content.decode("ascii"), mode=0o600)
            temporary.replace(self._path)
            self._failed = False
        except (OSError, ValueError) as error:
            if not self._failed:
                log.warning("the status file is not written: %s", error)
            self._failed = True

    def _run(self) -> None:
        while not self._ending.is_set():
            self._changed.wait(REFRESH_SECONDS)
            self._changed.clear()
            if self._ending.is_set():
                return
            self.write()
            self._ending.wait(WRITE_SECONDS)


@dataclass(frozen=True)
class Reading:
    """What the file in a state folder tells. ``problem`` says why it tells nothing."""

    status: Status | None = None
    written_at: float = 0.0
    is_living: bool = False
    problem: str = ""

    def is_silent(self, now: float) -> bool:
        """Return whether the process is there, but has not written for too long."""
        return self.is_living and now - self.written_at > SILENT_SECONDS


def read_status(path: Path) -> Reading:
    """Read the status at ``path``, without the state folder's lock, and changing nothing."""
    try:
        status, written_at = decode(read_regular(path, MAX_BYTES))
    except FileNotFoundError:
        return Reading()
    except NotARegularFile:
        return Reading(problem=f"{path} is not a regular file.")
    except (OSError, Unreadable) as error:
        return Reading(problem=f"{path} cannot be read: {error}.")
    stopped = status.exit_code is not None
    living = not stopped and is_living(status.identity.pid, status.identity.start_mark)
    return Reading(status, written_at, living)
