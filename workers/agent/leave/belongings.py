"""What a worker has on this machine, how large it is, and its removal. Links are never followed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.agent.browser import OPENING_FILE
from workers.agent.disk import remove_folder
from workers.agent.limits.limiter import NOW_FILE_NAME
from workers.agent.limits.rules_file import FILE_NAME as RULES_FILE
from workers.agent.limits.session_helper import FILE_NAME as PRESENCE_FILE
from workers.agent.page.asking import ANSWER_FILE, REQUEST_FILE
from workers.agent.setup.environments import Environments
from workers.agent.setup.progress import FILE_NAME as SETUP_FILE
from workers.agent.state import (
    CACHE_FOLDER,
    DESKTOP_LOG_FILE,
    HISTORY_FILE,
    SERVICE_LOG_FILE,
    STATUS_FILE,
)
from workers.agent.stop_request import STOP_FILE

CREDENTIALS_FILE: Final = "credentials.json"
ID_FILE: Final = "agent-id"
ENVIRONMENTS: Final = "environments"
DATA_FOLDER: Final = "data"
_ENVIRONMENT_NAMES: Final = ("env-*", "trial-*", "cache", "python", "current.json", "lock", "*.tmp")
_FOLDERS: Final = ("outbox", "work", "kept", "packages")
_FILES: Final = (
    *(
        ID_FILE,
        STATUS_FILE,
        HISTORY_FILE,
        RULES_FILE,
        NOW_FILE_NAME,
        PRESENCE_FILE,
        SERVICE_LOG_FILE,
        DESKTOP_LOG_FILE,
    ),
    *(SETUP_FILE, REQUEST_FILE, ANSWER_FILE, OPENING_FILE, STOP_FILE),
)


@dataclass(frozen=True)
class Belonging:
    """Something that can be deleted on its own, with the paths that belong to it."""

    title: str
    about: str
    paths: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """The space that it takes, without what lies behind links."""
        return sum(size_of(path) for path in self.paths)


def environments_of(root: Path) -> Path:
    """Return the folder in which set-up makes environments for this state folder."""
    return Environments(root).root


def belongings(root: Path) -> list[Belonging]:
    """Return what is there of the worker with this state folder, the largest kinds first.

    Only what agents make is named. Whatever else lies in the folder stays.
    """
    inside = [*(root / name for name in (*_FOLDERS, *_FILES)), *_temporary(root)]
    beside, data = environments_of(root), root / DATA_FOLDER
    shared = root / CACHE_FOLDER
    is_used = data.is_symlink() or any(data.glob("*"))
    if not is_used:
        inside.append(data)  # there is nothing to keep
    made = [path for name in _ENVIRONMENT_NAMES for path in sorted(beside.glob(name))]
    kinds = (
        (ENVIRONMENTS, f"Pythons with torch that set-up made, in {beside}", tuple(made)),
        (
            "data sets",
            "fetched again when a task needs them",
            (data, shared) if is_used else (shared,),
        ),
        (
            "state",
            "history, rules, scripts, kept task folders, results that no server took",
            tuple(inside),
        ),
    )
    return [
        Belonging(title, about, there)
        for title, about, paths in kinds
        if (there := tuple(path for path in paths if os.path.lexists(path)))
    ]


def links_among(paths: Iterable[Path]) -> list[Path]:
    """Return those that are links: what they point to is somebody else's."""
    return [path for path in paths if path.is_symlink()]


def size_of(path: Path) -> int:
    """Return the bytes that a file or folder takes on the disk; what cannot be seen is nothing."""
    total, waiting = 0, [str(path)]
    while waiting:
        with contextlib.suppress(OSError):
            current = waiting.pop()
            status = os.lstat(current)
            blocks = getattr(status, "st_blocks", None)
            total += status.st_size if blocks is None else blocks * 512
            if stat.S_ISDIR(status.st_mode):
                waiting += [str(Path(current, name)) for name in os.listdir(current)]  # noqa: PTH208
    return total


def delete(belonging: Belonging) -> list[Path]:
    """Delete all of it; return what stays. Of a link only the link goes."""
    return [path for path in belonging.paths if not _is_deleted(path)]


def delete_empty(folder: Path) -> list[str]:
    """Remove a folder that holds nothing more; return the names of what keeps it."""
    try:
        left = sorted(path.name for path in folder.iterdir())
        if not left and not folder.is_symlink():
            folder.rmdir()
    except OSError:
        return []
    return left


def _is_deleted(path: Path) -> bool:
    try:
        return remove_folder(path)
    except OSError:
        return False


def _temporary(root: Path) -> Iterator[Path]:
    """Yield the files that a write which broke off left behind."""
    with contextlib.suppress(OSError):
        yield from (path for path in root.glob("*.tmp") if not path.is_dir())
