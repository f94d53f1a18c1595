"""Files in folders that scripts may have written to: opened without waiting, read with a bound.

In tier T0 a script runs as the agent's own user. It can put a pipe, a device or an endless file in
the place of a file that the agent reads later.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotARegularFile(OSError):
    """There is something else than a plain file at this path."""


def open_regular(path: Path, *, follow_links: bool = False) -> BinaryIO:
    """Open a plain file for reading, without waiting. Raises OSError, `NotARegularFile`.

    A pipe without a writer would otherwise block the agent for ever. Without ``follow_links`` a
    symbolic link is refused where the system can tell.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotARegularFile(f"{path} is not a regular file")
    return os.fdopen(handle, "rb")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a plain file. Raises OSError when it is none or larger than allowed."""
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(f"{path.name} is larger than {most_bytes:,} bytes")
    return content


def write_new(
    path: Path,
    text: str,
    *,
    mode: int = 0o666,
    durable: bool = False,
    newline: str | None = None,
) -> None:
    """Write a new plain file in the place of whatever is at ``path``. Raises OSError.

    The file is created, never opened: writing into a pipe or through a link is impossible. With
    "" for ``newline`` line ends are written as they are.
    """
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)
    with os.fdopen(handle, "w", encoding="utf-8", newline=newline) as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
