"""Whether the process that wrote a status still runs, or another one has its number by now."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import psutil

_IS_LINUX: Final = sys.platform.startswith("linux")
_STARTED_FIELD: Final = 22  # of /proc/PID/stat: clock ticks from the boot to the start
_TOLERANCE_SECONDS: Final = 2.0


def start_mark(pid: int) -> str:
    """Return what tells a process from a later one of the same number; "" when there is none.

    On Linux the kernel's own count since the boot, which setting the clock does not change.
    """
    if _IS_LINUX:
        return _ticks(pid)
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def _ticks(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    # The name in parentheses may hold spaces and parentheses itself.
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in {"Z", "X"} else f"{boot}/{fields[_STARTED_FIELD - 4]}"


def is_living(pid: int, mark: str) -> bool:
    """Return whether the process with this number and mark still runs."""
    if pid <= 0 or not mark:
        return False
    now = start_mark(pid)
    if not now or now == mark:
        return bool(now)
    try:
        return abs(float(now) - float(mark)) <= _TOLERANCE_SECONDS
    except ValueError:
        return False
