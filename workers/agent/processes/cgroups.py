"""Control groups of version 2: a run in one is killed whole, whatever its processes do.

``cgroup.kill`` (Linux 5.14) kills every process in a group at once; nothing can be forked away from
it. A process of the agent's own user could leave the group on purpose by writing to the group above
it: T0 is no wall. What only forks, detaches and changes its session stays in the group.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "xeenet-"
_KILL: Final = "cgroup.kill"
_PROCESSES: Final = "cgroup.procs"
_MOUNTS: Final = Path("/proc/self/mountinfo")
_OWN: Final = Path("/proc/self/cgroup")
_PAUSE_SECONDS: Final = 0.01


class CgroupUnavailable(Exception):
    """This agent cannot make a cgroup; the message says why."""


def own_cgroup() -> Path:
    """Return the folder of the cgroup in which this agent runs. Raises `CgroupUnavailable`."""
    root, mount = _mount()
    try:
        lines = _OWN.read_text().splitlines()
    except OSError as error:
        raise CgroupUnavailable(f"{_OWN}: {error.strerror}") from error
    own = next((line[3:] for line in lines if line.startswith("0::")), "")
    if not own:
        raise CgroupUnavailable("this process is in no cgroup of version 2")
    inside = os.path.relpath(own, root)
    if inside.startswith(".."):
        raise CgroupUnavailable("the agent's own cgroup is not visible here")
    return mount / inside


def check(parent: Path) -> None:
    """Make and remove a cgroup for a trial. Raises `CgroupUnavailable`."""
    try:
        folder = make(parent, f"trial.{os.getpid()}")
    except OSError as error:
        reason = f"no cgroup can be made in {parent}: {error.strerror}"
        raise CgroupUnavailable(reason) from error
    try:
        if not os.access(folder / _KILL, os.W_OK):
            raise CgroupUnavailable("the kernel has no cgroup.kill (Linux 5.14)")
    finally:
        remove(folder)


def new_name(tag: str) -> str:
    """Return a name for the cgroup of the run with this tag; no other run ever gets the same."""
    return f"{_name_start(tag)}.{uuid.uuid4().hex[:12]}"


def make(parent: Path, tag: str) -> Path:
    """Make the run's cgroup. Raises OSError."""
    folder = parent / new_name(tag)
    folder.mkdir()
    return folder


def kill(folder: Path) -> None:
    """Kill every process in the cgroup and in those below it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder / _KILL, os.O_WRONLY)
        try:
            os.write(handle, b"1")
        finally:
            os.close(handle)


def processes(folder: Path) -> list[int]:
    """Return the ids of the processes in the cgroup and in those below it."""
    pids: list[int] = []
    for name, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            pids += map(int, Path(name, _PROCESSES).read_text().split())
    return pids


def remove(folder: Path, seconds: float = 0.5) -> bool:
    """Remove an emptied cgroup and those below it; return whether it is gone."""
    end = time.monotonic() + seconds
    while True:
        for name, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(name).rmdir()
        if not folder.exists() or time.monotonic() > end:
            return not folder.exists()
        time.sleep(_PAUSE_SECONDS)


def left_behind(tag_prefix: str) -> Iterator[Path]:
    """Yield the cgroups of runs whose tag starts with ``tag_prefix``, wherever they lie."""
    with contextlib.suppress(CgroupUnavailable):
        _, mount = _mount()
        for name, folders, _ in os.walk(mount):
            for folder in folders:
                if folder.startswith(_name_start(tag_prefix)):
                    yield Path(name, folder)


def _name_start(tag: str) -> str:
    return _PREFIX + re.sub(r"[^A-Za-z0-9-]", "_", tag)


def _mount() -> tuple[str, Path]:
    """Return which cgroup is mounted where. Raises `CgroupUnavailable`."""
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                _, _, _, root, mount, *_ = fields.split()
                return root, Path(mount)
    raise CgroupUnavailable("no cgroup file system of version 2 is mounted")
