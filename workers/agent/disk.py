"""Disk space: what a task folder uses, what is free, and bounds for folders that grow."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path
from typing import Final

# A run that leaves less than this is killed; no task is claimed below twice as much.
MIN_FREE_BYTES: Final = 128 * 1024 * 1024
MAX_FILES: Final = 20_000  # in one task folder, which is scanned once a second
_BLOCK_BYTES: Final = 512  # the unit of st_blocks on every file system
TEMPORARY_PREFIX: Final = ".download-"  # of incomplete downloads


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk that holds ``folder``, for this user."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # the folder is gone, so nothing more can be written to it
        return MIN_FREE_BYTES


def folder_usage(folder: Path, most_bytes: int) -> tuple[int, bool]:
    """Return the bytes that ``folder`` takes on disk, and whether that is too much.

    More than ``most_bytes`` or more than `MAX_FILES` entries is too much. The count stops there, so
    that no number of files can keep the agent busy. A folder that the script made unreadable is
    made readable; one that is unreadable again right afterwards counts as too much.
    """
    used, entries, waiting, opened = 0, 0, [str(folder)], set[str]()
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as listing:
                for entry in listing:
                    used += _bytes_on_disk(entry)
                    entries += 1
                    if used > most_bytes or entries > MAX_FILES:
                        return used, True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except PermissionError:
            if os.name != "posix":  # Windows raises this for folders that are being deleted
                continue
            if current in opened:
                return used, True
            with contextlib.suppress(OSError):
                Path(current).chmod(stat.S_IRWXU)
            opened.add(current)
            waiting.append(current)
        except OSError:  # removed in the meantime
            continue
    return used, False


def trim_folder(folder: Path, *, most_bytes: int, most_entries: int) -> None:
    """Remove the oldest entries of ``folder`` until the rest is within both bounds.

    The newest entry stays, however large it is.
    """
    entries = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                is_folder = path.is_dir() and not path.is_symlink()
                size = folder_usage(path, most_bytes)[0] if is_folder else path.lstat().st_size
                entries.append((path.lstat().st_mtime, path, size))
    entries.sort(reverse=True)
    total = 0
    for place, (_, path, size) in enumerate(entries):
        total += size
        if place > 0 and (total > most_bytes or place >= most_entries):
            with contextlib.suppress(OSError):
                remove_folder(path)


def remove_folder(folder: Path) -> bool:
    """Remove ``folder`` whatever a script did to its permissions; return whether it is gone."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return True
    with contextlib.suppress(OSError):
        folder.chmod(stat.S_IRWXU)
    for name, subfolders, _ in os.walk(folder):  # top-down: readable before listed
        for subfolder in subfolders:
            path = Path(name, subfolder)
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _bytes_on_disk(entry: os.DirEntry[str]) -> int:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    # A sparse file takes less than its length, so count blocks; Windows reports no blocks.
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * _BLOCK_BYTES
