"""How much memory programs here can still get: of the machine, or within a container's limit."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import psutil

_CGROUP: Final = Path("/sys/fs/cgroup")
# By version of control groups: the limit, what is used, and what of it are pages of files.
_FILES: Final = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
_PAGES_OF_FILES: Final = ("inactive_file", "total_inactive_file")


def available_bytes(root: Path = _CGROUP) -> int | None:
    """Return the bytes that can be had without swapping; None where the system does not tell."""
    left = None
    with contextlib.suppress(psutil.Error, OSError):
        left = int(psutil.virtual_memory().available)
    for limit, used, statistics in _FILES:
        with contextlib.suppress(OSError, ValueError):  # no such version, or "max"
            most = int((root / limit).read_text())
            now = int((root / used).read_text()) - _reclaimable(root / statistics)
            left = most - now if left is None else min(left, most - now)
    return left


def _reclaimable(statistics: Path) -> int:
    """Return the bytes of files that were not used of late: the kernel gives them up at once."""
    figures = dict(line.split() for line in statistics.read_text().splitlines())
    return max((int(figures.get(name, 0)) for name in _PAGES_OF_FILES), default=0)
