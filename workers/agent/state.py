"""The agent's folder on disk: identity, credentials, outbox, task folders, caches, and its lock."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from workers.agent.disk import TEMPORARY_PREFIX, remove_folder
from workers.agent.files import NotARegularFile, read_regular, write_new

HOME_VARIABLE: Final = "XEENET_WORKER_HOME"
STATUS_FILE: Final = "status.json"
HISTORY_FILE: Final = "history.jsonl"
LOCK_FILE: Final = "lock"
CACHE_FOLDER: Final = "shared"  # data sets and scripts of ephemeral workers
# The logs of an agent that was started without a terminal.
SERVICE_LOG_FILE: Final = "service.log"
DESKTOP_LOG_FILE: Final = "desktop.log"
_APP_NAME: Final = "xeenet-worker"
_MAX_FILE_BYTES: Final = 64 * 1024  # of credentials and id
_AGENT_ID: Final = re.compile(r"[0-9a-f]{32}")


class StateFolderError(Exception):
    """The state folder cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Credentials:
    """What enrolment returned. The token is never sent to another server."""

    server_url: str
    token: str
    name: str


def default_state_folder() -> Path:
    """Return XEENET_WORKER_HOME if it is set, otherwise the platform's place for program state."""
    if override := os.environ.get(HOME_VARIABLE):
        return Path(override)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / _APP_NAME
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / _APP_NAME
    xdg = os.environ.get("XDG_STATE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".local" / "state") / _APP_NAME


class StateFolder:
    """Paths below ``root``, which is made private to the user. Raises `StateFolderError`.

    ``home`` is the folder whose set-up of torch holds here, too, and ``cache`` has the data sets
    and scripts; both are ``root`` unless the folder is made for one job.
    """

    def __init__(self, root: Path, *, home: Path | None = None, cache: Path | None = None) -> None:
        self.root = root.expanduser().absolute()
        self.home = home or self.root
        self.outbox = self.root / "outbox"
        self.work = self.root / "work"  # one folder per running task
        self.kept = self.root / "kept"  # task folders of failed runs, with --keep-failed
        self.data = (cache or self.root) / "data"
        self.packages = (cache or self.root) / "packages"
        self.status = self.root / STATUS_FILE  # what the agent is doing, for `status`
        self.history = self.root / HISTORY_FILE
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if os.name == "posix":
                self.root.chmod(0o700)
            for folder in (self.outbox, self.work, self.data, self.packages):
                folder.mkdir(exist_ok=True)
            self.agent_id = self._read_or_make_id()
        except OSError as error:
            raise StateFolderError(
                f"The state folder {self.root} cannot be written: {error}. "
                f"Choose another with --state-dir or {HOME_VARIABLE}."
            ) from error

    @property
    def tag_prefix(self) -> str:
        """The prefix of the run tags of this folder's agent; restarts do not change it."""
        return f"{self.agent_id}/"

    @contextlib.contextmanager
    def locked(self) -> Iterator[StateFolder]:
        """Hold the folder for one agent. Raises `StateFolderError` when another agent holds it."""
        path = self.root / LOCK_FILE
        with path.open("a+") as file:
            try:
                _lock(file.fileno())
            except OSError:
                raise StateFolderError(
                    f"Another agent is already running on {self.root}. "
                    "Stop it, or give this one its own --state-dir."
                ) from None
            yield self  # closing the file releases the lock, even when the agent is killed

    def load_credentials(self) -> Credentials | None:
        """Return the stored credentials, None before enrolment. Raises `StateFolderError`."""
        try:
            return _credentials(read_regular(self._credentials_path, _MAX_FILE_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StateFolderError(
                f"{self._credentials_path} is unreadable: {error}. "
                "Delete it and enrol this worker again."
            ) from error

    def store_credentials(self, credentials: Credentials) -> None:
        """Store the credentials, readable for the user only."""
        temporary = self._credentials_path.with_suffix(".tmp")
        write_new(temporary, json.dumps(asdict(credentials)), mode=0o600, durable=True)
        temporary.replace(self._credentials_path)

    def remove_stale_folders(self) -> int:
        """Remove task folders and incomplete files that a killed agent left; return how many."""
        stale = list(self.work.iterdir())
        for folder in (self.root / "data", self.root / "packages"):  # not those others share
            stale += folder.glob(f"{TEMPORARY_PREFIX}*")
        stale += [*self.outbox.glob("*.tmp"), *self.root.glob("*.tmp")]
        return sum(remove_folder(folder) for folder in stale)

    @property
    def _credentials_path(self) -> Path:
        return self.root / "credentials.json"

    def _read_or_make_id(self) -> str:
        path = self.root / "agent-id"
        try:
            agent_id = read_regular(path, _MAX_FILE_BYTES).decode("ascii", "replace").strip()
        except (FileNotFoundError, NotARegularFile):
            agent_id = ""
        if not _AGENT_ID.fullmatch(agent_id):  # also after a crash that left the file empty
            agent_id = uuid.uuid4().hex
            temporary = path.with_suffix(".tmp")
            write_new(temporary, agent_id, durable=True)
            temporary.replace(path)
        return agent_id


def _credentials(content: bytes) -> Credentials:
    """Return the credentials in a file. Raises ValueError, TypeError or RecursionError."""
    credentials = Credentials(**json.loads(content))
    if not all(isinstance(value, str) for value in asdict(credentials).values()):
        raise TypeError("server_url, token and name must be texts")
    return credentials


def _lock(handle: int) -> None:
    """Lock an open file against other processes. Raises OSError when it is locked already."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
