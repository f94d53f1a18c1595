"""The processes of one run: start them, watch them, and leave none behind.

No single way finds every process of a hostile script, so these are used together:

* the enclosure (Linux): a cgroup or a process-id namespace, which is killed whole. Which of them
  this machine has is in `workers.agent.processes.enclosure`;
* the guardian (Linux): parent of all that detaches, which also ends the run when the agent dies;
* the walk: children of children, followed once a second while the run lives;
* adoption (Linux): the agent is a subreaper, too, for a script that kills its guardian;
* the tag: an environment variable that every descendant inherits; the next agent finds it, too.

macOS has no adoption and no death signal, and Windows has no process group either; the walk and
the tag remain. The kill returns in bounded time in any case, and says what it could not kill.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, cast

import psutil

from workers.agent.grants import Priority
from workers.agent.processes import cgroups
from workers.agent.processes.guarded import (
    NO_ENCLOSURE,
    Enclosure,
    EnclosureKind,
    GuardedCommand,
    PlainCommand,
    RunStart,
)
from workers.agent.processes.process_table import (
    TAG_VARIABLE,
    alive,
    created_at,
    descendants,
    kill_all,
    tag_of,
    tagged,
)

__all__ = [
    "KILL_SECONDS",
    "TAG_VARIABLE",
    "ProcessTree",
    "adopt_orphans",
    "kill_tagged",
    "start_own",
]

KILL_SECONDS: Final = 5.0  # a kill returns after so long, and the last look at the process table
_PR_SET_CHILD_SUBREAPER: Final = 36
_SIGNALLED: Final = 128
_KILL_PAUSE_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 1.0  # at the process table, however many processes a script makes
_REAPED_AT_A_TIME: Final = 1_000
_IS_LINUX: Final = sys.platform.startswith("linux")


class _OwnChildren:
    """The processes that this agent started itself, as opposed to adopted ones."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pids: set[int] = set()
        self.adopts_orphans = False

    def spawn(self, words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process and register it before anybody can take it for an adopted one."""
        with self.lock:
            process = subprocess.Popen(words, **options)
            self.pids.add(process.pid)
        return process


_own = _OwnChildren()


def start_own(words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that belongs to the agent itself, so that no run takes it for its own.

    Raises OSError.
    """
    return _own.spawn(words, **options)


def adopt_orphans() -> bool:
    """Make this process the new parent of every descendant whose parent ends; return success.

    Call it once at the agent's start. It works only on Linux.
    """
    if _IS_LINUX:
        _own.adopts_orphans = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    return _own.adopts_orphans


def kill_tagged(tag_prefix: str, patience_seconds: float = KILL_SECONDS) -> tuple[int, list[int]]:
    """Kill every process whose tag starts with ``tag_prefix``, and all in the cgroups of such runs.

    Return (how many died, survivors). The sweep at the start uses it: an agent that was killed had
    no chance to end its scripts.
    """
    seen: set[int] = set()
    end = time.monotonic() + patience_seconds
    while True:
        living = alive(tagged(tag_prefix, end + _LOOK_SECONDS))
        pids = {process.pid for process in living}
        for folder in cgroups.left_behind(tag_prefix) if _IS_LINUX else ():
            pids.update(cgroups.processes(folder))
            cgroups.kill(folder)
            cgroups.remove(folder)
        seen |= pids
        if not pids or time.monotonic() > end:
            return len(seen - pids), sorted(pids)
        kill_all(living)
        time.sleep(_KILL_PAUSE_SECONDS)


class ProcessTree:
    """A started command and everything that descends from it.

    ``tag`` identifies the run and must be unique among the current runs on this machine. The
    processes cannot make a file larger than ``file_bytes`` (Linux). ``sandboxed`` says that the
    command is bubblewrap with the script inside; the sandbox has process ids of its own, so it
    needs no second namespace. Raises OSError when the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        tag: str,
        environment: Mapping[str, str],
        folder: Path,
        file_bytes: int = sys.maxsize,
        sandboxed: bool = False,
        enclosure: Enclosure = NO_ENCLOSURE,
        priority: Priority = Priority.NORMAL,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.tag = tag
        self._sandboxed = sandboxed
        self._created_at = time.time()
        self.started_at = time.monotonic()
        if sandboxed and enclosure.kind is EnclosureKind.NAMESPACE:
            enclosure = NO_ENCLOSURE
        self._cpu_seconds_before = 0.0
        run = RunStart(command, tag, environment, folder, _own.spawn, priority, stdin)
        self._command: GuardedCommand | PlainCommand
        if _IS_LINUX:
            self._command = GuardedCommand(run, file_bytes=file_bytes, enclosure=enclosure)
        else:
            self._command = PlainCommand(run)
        self.pid = self._command.pid
        self._root: psutil.Process | None = None  # the guardian, or else the command itself
        self._known: set[psutil.Process] = set()
        with contextlib.suppress(psutil.Error):
            self._root = psutil.Process(self._command.process.pid)
            self._created_at = self._root.create_time()

    @property
    def stdin(self) -> IO[bytes]:
        """The write end of the command's stdin, unbuffered; only where ``stdin`` was a pipe."""
        return cast(IO[bytes], self._command.process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """The read end of the script's stdout, unbuffered."""
        return cast(IO[bytes], self._command.process.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        """The read end of the script's stderr, unbuffered."""
        return cast(IO[bytes], self._command.process.stderr)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the script, negative for a signal; None as long as it is not known."""
        code = self._command.exit_code
        if self._sandboxed and code is not None and code > _SIGNALLED:
            return _SIGNALLED - code  # bubblewrap reports signals as shells do
        return code

    @property
    def cpu_seconds(self) -> float | None:
        """Processor time of all its processes, known after `kill`; None where nobody counts it.

        What they used before `count_from_here` does not belong to it.
        """
        used = self._command.cpu_seconds
        return None if used is None else max(0.0, used - self._cpu_seconds_before)

    def count_from_here(self) -> None:
        """Leave out of `cpu_seconds` what was used so far: it was not yet the run's."""
        with contextlib.suppress(psutil.Error):
            if self._root is not None:
                self._cpu_seconds_before = sum(
                    sum(process.cpu_times()[:4])  # with its ended children, where there are any
                    for process in [self._root, *self._root.children(recursive=True)]
                )

    @property
    def priority_problem(self) -> str:
        """What of its priority the system refused; "" for nothing."""
        return self._command.priority_problem

    def has_exited(self) -> bool:
        """Return whether the script has ended; what it started may still be alive."""
        _reap_adopted()
        return self._command.has_ended()

    def terminate(self) -> bool:
        """Ask the whole group to end (SIGTERM; Ctrl-Break on Windows); return whether it was asked.

        Just after the start of a sandbox there is no script yet that could be asked.
        """
        if self._sandboxed:
            return self._terminate_inside()
        self._command.terminate()
        return True

    def _terminate_inside(self) -> bool:
        """Ask the processes in the sandbox to end, except the first two; return whether any exist.

        The first two are bubblewrap, which waits outside, and the first process inside. SIGTERM
        would end them, and their death would kill the script before it could print a result.
        """
        try:
            sandbox = psutil.Process(self.pid)
            inside = set(sandbox.children(recursive=True)) - set(sandbox.children())
        except psutil.Error:
            return False
        for process in inside:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        return bool(inside)

    def members(self) -> set[psutil.Process]:
        """Return the living processes of the run, and remember them for the kill."""
        return self._members(time.monotonic() + _LOOK_SECONDS)

    def kill(self, patience_seconds: float = KILL_SECONDS) -> list[int]:
        """Kill every process of the run and collect it; return the pids that would not die.

        It returns after ``patience_seconds`` and a last look at the process table, in any case.
        """
        end = time.monotonic() + patience_seconds
        collected = self._command.end(patience_seconds)
        while True:
            look_ends_at = time.monotonic() + _LOOK_SECONDS
            orphans = _reap_adopted()
            living = alive(self._members(look_ends_at) | self._tagged_members(look_ends_at))
            seen_all = time.monotonic() < look_ends_at
            kill_all(living)
            collected = collected or self._command.has_ended()
            # An orphan that came meanwhile shows that a process hops on faster than can be seen.
            if not living and not orphans and seen_all and collected:
                break
            if time.monotonic() > end:
                return sorted(process.pid for process in living) or orphans or [self.pid]
            time.sleep(_KILL_PAUSE_SECONDS)
        with _own.lock:
            _own.pids.discard(self._command.process.pid)
        return []

    def _members(self, until: float) -> set[psutil.Process]:
        """Return the living processes of the run: known ones, their descendants, adopted ones."""
        roots = [*self._known, *self._adopted(), *([] if self._root is None else [self._root])]
        members = set(roots) | descendants(roots, until)
        if _IS_LINUX:  # the guardian is the agent's own
            members -= {self._root}
        self._known = set(alive(members))
        return set(self._known)

    def _tagged_members(self, until: float) -> set[psutil.Process]:
        return {process for process in tagged(self.tag, until) if tag_of(process) == self.tag}

    def _adopted(self) -> set[psutil.Process]:
        """Return detached processes that the agent adopted: with this run's tag, or without a tag.

        A process that detaches *and* strips its environment could belong to any parallel run. No
        honest script does that, so any run may kill it.
        """
        return {child for child in self._foreign_children() if tag_of(child) in ("", self.tag)}

    def _foreign_children(self) -> list[psutil.Process]:
        """Return the agent's children that it did not start and that are younger than the run."""
        foreign = []
        for pid in _adopted_pids():
            with contextlib.suppress(psutil.Error):
                child = psutil.Process(pid)
                if created_at(child) >= self._created_at:
                    foreign.append(child)
        return foreign


def _reap_adopted() -> list[int]:
    """Collect dead adopted children, which otherwise stay zombies; return their ids."""
    reaped = []
    for pid in _adopted_pids()[:_REAPED_AT_A_TIME]:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                reaped.append(pid)
    return reaped


def _adopted_pids() -> list[int]:
    """Return the ids of the agent's children that it did not start itself."""
    if not _own.adopts_orphans:
        return []
    listings = list(Path("/proc/self/task").glob("*/children"))
    pids: list[int] = []
    for listing in listings:
        with contextlib.suppress(OSError):  # the thread has ended
            pids += map(int, listing.read_text().split())
    if not listings:  # a kernel without these files
        pids = [child.pid for child in psutil.Process().children()]
    with _own.lock:  # after listing: a process that was just being started is now registered
        return [pid for pid in pids if pid not in _own.pids]
