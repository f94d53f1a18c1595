"""Which processes belong to a run, as the process table and their environments tell."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import psutil

TAG_VARIABLE: Final = "XEENET_RUN_TAG"


def descendants(roots: Iterable[psutil.Process], until: float) -> set[psutil.Process]:
    """Return the processes below ``roots``, the roots excluded. One pass over the process table.

    A script can make thousands of processes, so the pass ends at ``until`` by the monotonic clock
    with what it has by then.
    """
    children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            children[process.ppid()].append(process)
        if time.monotonic() > until:
            break
    below: set[psutil.Process] = set()
    waiting = list(roots)
    while waiting:
        parent = waiting.pop()
        for child in children.get(parent.pid, ()):
            # The number of a process that ended may belong to a younger process by now.
            if child not in below and created_at(child) >= created_at(parent):
                below.add(child)
                waiting.append(child)
    return below


def tagged(tag_prefix: str, until: float) -> list[psutil.Process]:
    """Return the processes whose tag starts with ``tag_prefix``, as far as ``until`` allows."""
    processes = []
    for process in psutil.process_iter():
        if (tag := tag_of(process)) and tag.startswith(tag_prefix):
            processes.append(process)
        if time.monotonic() > until:
            break
    return processes


def tag_of(process: psutil.Process) -> str:
    """Return the run tag in a process's environment; "" when absent or unreadable."""
    try:
        return process.environ().get(TAG_VARIABLE, "")
    except (psutil.Error, OSError):
        return ""


def created_at(process: psutil.Process) -> float:
    """Return the creation time of the process in psutil's seconds; 0 when it is already gone."""
    try:
        return float(process.create_time())
    except psutil.Error:
        return 0.0


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those of the processes that still run; a zombie does not."""
    living = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill the processes that still exist and may be killed."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
