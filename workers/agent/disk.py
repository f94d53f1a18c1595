"""Disk space: what a task folder uses, what is free, and bounds for folders that grow."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from pathlib import Path
from typing import Final

# A run that leaves less than this is killed; no task is claimed below twice as much.
MIN_FREE_BYTES: Final = 128 * 1024 * 1024
MAX_FILES: Final = 20_000  # in one task folder, which is scanned once a second
MAX_DEPTH: Final = 100  # of folders in one task folder; each level takes a descriptor
_BLOCK_BYTES: Final = 512  # the unit of st_blocks on every file system
# What happens when something was removed, or put in a folder's place, since it was listed.
_SWAPPED: Final = (FileNotFoundError, NotADirectoryError)
_HAS_DESCRIPTORS: Final = os.scandir in os.supports_fd and os.open in os.supports_dir_fd
TEMPORARY_PREFIX: Final = ".download-"  # of incomplete downloads


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk that holds ``folder``, for this user."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # the folder is gone, so nothing more can be written to it
        return MIN_FREE_BYTES


def folder_usage(folder: Path, most_bytes: int) -> tuple[int, bool]:
    """Return the bytes that ``folder`` takes on disk, and whether that is too much.

    Too much are more than ``most_bytes``, more than `MAX_FILES` entries, and folders nested deeper
    than `MAX_DEPTH`. The count stops there, so that no number of files can keep the agent busy. A
    folder that the script made unreadable is made readable; one that still cannot be read counts as
    too much. A script may swap any folder for a link meanwhile: no link is followed.
    """
    if not _HAS_DESCRIPTORS:
        return _usage_by_path(folder, most_bytes)
    count = _Count(most_bytes)
    opened: list[tuple[int, list[str]]] = []  # folders from the top down, and what is inside each
    try:
        root = _open_folder(str(folder))
        opened.append((root, []))
        opened[0][1].extend(count.add(root))
        while opened and not count.is_too_much:
            descriptor, names = opened[-1]
            if not names:
                os.close(opened.pop()[0])
                continue
            with contextlib.suppress(*_SWAPPED):
                inner = _open_folder(names.pop(), descriptor)
                opened.append((inner, []))
                opened[-1][1].extend(count.add(inner))
            count.is_too_much |= len(opened) > MAX_DEPTH
    except FileNotFoundError:  # the task folder itself is gone
        return count.used, count.is_too_much
    except OSError:  # it cannot be looked into, or it is a link by now
        return count.used, True
    finally:
        for descriptor, _ in opened:
            os.close(descriptor)
    return count.used, count.is_too_much


class _Count:
    """What was counted in a task folder so far."""

    def __init__(self, most_bytes: int) -> None:
        self.used = 0
        self.is_too_much = False
        self._entries = 0
        self._most_bytes = most_bytes

    def add(self, folder: int | str) -> list[str]:
        """Count what is directly in a folder; return the names of the folders in it."""
        folders = []
        with os.scandir(folder) as listing:
            for entry in listing:
                self.used += _bytes_on_disk(entry)
                self._entries += 1
                if self.used > self._most_bytes or self._entries > MAX_FILES:
                    self.is_too_much = True
                    return []
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
        return folders


def _open_folder(name: str, parent: int | None = None) -> int:
    """Open a folder to look into it, never through a link, even one that is closed to its owner.

    Raises OSError when there is no folder at this name.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        _make_accessible(name, parent)
        descriptor = os.open(name, flags, dir_fd=parent)
    with contextlib.suppress(OSError):  # somebody else's folder
        if os.fstat(descriptor).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(descriptor, stat.S_IRWXU)
    return descriptor


def _make_accessible(name: str, parent: int | None) -> None:
    """Give the owner every right to a folder; a link in its place is not followed.

    Raises OSError. By the name alone, the script could put a link to a folder of the owner in its
    place between the look and the change.
    """
    if not hasattr(os, "O_PATH"):  # macOS, which can change a mode without following a link
        os.chmod(name, stat.S_IRWXU, dir_fd=parent, follow_symlinks=False)
        return
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        # fchmod refuses a descriptor that was opened without the right to read.
        Path(f"/proc/self/fd/{descriptor}").chmod(stat.S_IRWXU)
    finally:
        os.close(descriptor)


def _usage_by_path(folder: Path, most_bytes: int) -> tuple[int, bool]:
    """Return what `folder_usage` does on Windows, where nothing can be opened by a descriptor."""
    count, waiting = _Count(most_bytes), [str(folder)]
    while waiting and not count.is_too_much:
        current = waiting.pop()
        with contextlib.suppress(OSError):  # it is gone or being deleted
            waiting += [str(Path(current, name)) for name in count.add(current)]
    return count.used, count.is_too_much


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
    """Remove ``folder`` whatever a script did to its permissions and however deep it nested it.

    Something else at this path is removed, too. Return whether it is gone.
    """
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return True
    if _HAS_DESCRIPTORS:
        with contextlib.suppress(OSError):
            root = _open_folder(str(folder))
            try:
                _empty(root)
            finally:
                os.close(root)
    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _empty(root: int) -> None:
    """Remove what is in a folder. Folders inside are brought to the top, so that no depth matters.

    Raises OSError when something cannot be removed.
    """
    waiting = dict.fromkeys(os.listdir(root), False)
    while waiting:
        name, is_emptied = waiting.popitem()
        if is_emptied or not _is_folder(name, root):
            (os.rmdir if is_emptied else os.unlink)(name, dir_fd=root)
            continue
        inner = _open_folder(name, root)
        try:
            for child in os.listdir(inner):  # noqa: PTH208 (a descriptor is no path)
                if _is_folder(child, inner):
                    _make_accessible(child, inner)  # moving a folder changes its entry ".."
                    moved = uuid.uuid4().hex
                    os.rename(child, moved, src_dir_fd=inner, dst_dir_fd=root)
                    waiting[moved] = False
                else:
                    os.unlink(child, dir_fd=inner)
        finally:
            os.close(inner)
        waiting[name] = True


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _bytes_on_disk(entry: os.DirEntry[str]) -> int:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    # A sparse file takes less than its length, so count blocks; Windows reports no blocks.
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * _BLOCK_BYTES
