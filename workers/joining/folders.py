"""The agent as a folder that needs no Python and no shell, where an operator has put one here.

`make packages` builds it on a machine of each kind. The server hands out what lies in the folder
`programs` of XEENET_HOME, and nothing else.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

# No name leads out of the folder.
_NAME: Final = re.compile(r"xeenet-worker-[A-Za-z0-9._-]{1,80}\.(?:tar\.gz|zip|dmg|exe|msi)")
_MOST: Final = 20


@dataclass(frozen=True)
class Folder:
    """An archive: its file name, and its bytes."""

    name: str
    size_bytes: int


def folders() -> list[Folder]:
    """Return the archives that are there, by their names."""
    try:
        paths = sorted(_place().iterdir())
    except OSError:
        return []
    found = [_folder(path) for path in paths if _NAME.fullmatch(path.name)]
    return [folder for folder in found if folder is not None][:_MOST]


def folder_path(name: str) -> Path | None:
    """Return where the archive with this name lies; None for any other name."""
    path = _place() / name
    return path if _NAME.fullmatch(name) and _folder(path) is not None else None


def _place() -> Path:
    return Path(settings.XEENET_HOME) / "programs"


def _folder(path: Path) -> Folder | None:
    """Return the plain file at a path; None for a link or anything else."""
    try:
        about = path.lstat()
    except OSError:
        return None
    return Folder(path.name, about.st_size) if stat.S_ISREG(about.st_mode) else None
