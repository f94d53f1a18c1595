"""Run a command under two deadlines and report how it ended. Knows no tasks and no servers."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from workers.agent.attempt import StopRequest
from workers.agent.disk import MIN_FREE_BYTES, folder_usage, free_bytes
from workers.agent.grants import Priority
from workers.agent.output.causes import last_words
from workers.agent.output.progress import ProgressBuffer
from workers.agent.output.readers import METRIC, PipeReader, ResultCollector, StderrCollector
from workers.agent.processes.enclosure import best_enclosure
from workers.agent.processes.foreign_load import ForeignLoad
from workers.agent.processes.guarded import Enclosure
from workers.agent.processes.memory import used_bytes
from workers.agent.processes.process_tree import ProcessTree

MAX_DISK_BYTES: Final = 4 * 1024**3
MAX_OUTPUT_BYTES: Final = 64 * 1024 * 1024  # per stream; an honest script prints a few kilobytes
_POLL_SECONDS: Final = 0.05
_EXIT_POLL_SECONDS: Final = 0.01  # after a result line: the next task waits for the exit
_CHECK_SECONDS: Final = 1.0  # of memory and disk
_DRAIN_SECONDS: Final = 1.0
# From a line that reports all of ``max_steps`` until SIGTERM: nothing is left to be done.
_AFTER_ALL_STEPS_SECONDS: Final = 15.0

log = logging.getLogger("xeenet.runner")


class Ending(StrEnum):
    """How a run ended."""

    EXITED = "exited"  # by itself, within its budget
    EXITED_AFTER_SIGTERM = "exited_after_sigterm"  # by itself, after SIGTERM at the budget
    TIMEOUT = "timeout"  # killed at budget + grace
    OUTPUT_FLOOD = "output_flood"  # killed for printing too much
    MEMORY = "memory"  # killed for using too much memory
    DISK = "disk"  # killed because its folder grew too large, or the disk ran full
    STOPPED = "stopped"  # killed because of a stop request


@dataclass(frozen=True)
class Limits:
    """What a run may use. The deadlines count from its begin, by the monotonic clock.

    A run begins with the start of its command, or with the hand-over to a spare.
    """

    time_budget_seconds: float  # SIGTERM to the group
    kill_grace_seconds: float  # from then until SIGKILL to the whole tree
    memory_bytes: int  # of the whole tree, with shared pages counted once
    output_bytes: int = MAX_OUTPUT_BYTES  # each of stdout and stderr
    disk_bytes: int = MAX_DISK_BYTES  # of the task folder
    max_steps: int | None = None  # after which the script has only to exit
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True)
class Execution:
    """How a run ended. ``exit_code`` is negative for a signal, ``survivors`` are unkillable."""

    ending: Ending
    exit_code: int | None
    wall_time_seconds: float
    result: dict[str, Any] | None
    stderr_tail: str
    peak_memory_bytes: int = 0
    disk_bytes: int = 0  # of the task folder, at the last check
    survivors: list[int] = field(default_factory=list)
    all_steps_reported: bool = False  # SIGTERM came early, because max_steps were done
    stdout_seen: str = ""  # for people, where stdout has no result
    progress_problem: str = ""  # for people, where progress was reported in vain
    foreign_load: float | None = None  # cores that others used meanwhile; None: unknown

    @property
    def last_words(self) -> str:
        """The last line of stderr that is neither progress nor a warning, for people."""
        return last_words(self.stderr_tail) or "nothing on stderr"


def execute(
    command: Sequence[str],
    *,
    tag: str,
    environment: Mapping[str, str],
    folder: Path,
    limits: Limits,
    stop: StopRequest,
    progress: ProgressBuffer | None = None,
    sandboxed: bool = False,
    enclosure: Enclosure | None = None,
) -> Execution:
    """Run ``command`` in ``folder`` until it ends or is killed; leave none of its processes.

    It returns at the latest `KILL_SECONDS` and a few more after the second deadline.
    ``sandboxed`` says that the command starts bubblewrap. ``enclosure`` holds its processes
    together, by default the best of this machine. Raises OSError when it cannot be started.
    """
    load = ForeignLoad()
    tree = ProcessTree(
        command,
        tag=tag,
        environment=environment,
        folder=folder,
        file_bytes=limits.disk_bytes,
        sandboxed=sandboxed,
        enclosure=best_enclosure() if enclosure is None else enclosure,
        priority=limits.priority,
    )
    _note_priority(tree.priority_problem)
    began = Beginning(tree.started_at, load)
    return follow(tree, began, folder=folder, limits=limits, stop=stop, progress=progress)


@dataclass(frozen=True)
class Beginning:
    """When a run began, by the monotonic clock, and the load that was counted from then on."""

    at: float = field(default_factory=time.monotonic)
    load: ForeignLoad = field(default_factory=ForeignLoad)


def follow(
    tree: ProcessTree,
    began: Beginning,
    *,
    folder: Path,
    limits: Limits,
    stop: StopRequest,
    progress: ProgressBuffer | None = None,
) -> Execution:
    """Watch a run that has begun, until it ends or is killed; leave none of its processes."""
    stdout = ResultCollector(limits.max_steps)
    progress = progress or ProgressBuffer()
    stderr = StderrCollector(progress)
    readers = [
        PipeReader(tree.stdout, stdout.feed, limits.output_bytes),
        PipeReader(tree.stderr, stderr.feed, limits.output_bytes),
    ]
    for reader in readers:
        reader.start()
    watch = _Watch(tree, folder, limits, began.at)
    try:
        ending = _supervise(tree, readers, stdout, watch, limits, stop, began.at)
        wall_time_seconds = time.monotonic() - began.at
    finally:
        # Also after a clean exit: children that the script left would go on using the machine.
        survivors = tree.kill()
    foreign_load = began.load.cores(tree.cpu_seconds)
    drained_by = time.monotonic() + _DRAIN_SECONDS
    for reader in readers:
        reader.join(max(0.0, drained_by - time.monotonic()))
    if any(reader.flooded for reader in readers):
        ending = Ending.OUTPUT_FLOOD
    stderr.finish()
    result = stdout.result()
    return Execution(
        ending=ending,
        exit_code=_signed(tree.exit_code),
        wall_time_seconds=wall_time_seconds,
        result=result,
        stderr_tail=stderr.tail(),
        peak_memory_bytes=watch.peak_memory_bytes,
        disk_bytes=watch.disk_bytes,
        survivors=survivors,
        all_steps_reported=stdout.all_steps_at is not None,
        stdout_seen="" if result is not None else _seen(stdout, stderr),
        progress_problem=progress.problem(),
        foreign_load=foreign_load,
    )


def _seen(stdout: ResultCollector, stderr: StderrCollector) -> str:
    if stderr.has_metric:
        return f"an object with {METRIC} was on stderr; results are read from stdout"
    return stdout.seen()


def _signed(exit_code: int | None) -> int | None:
    """Return Windows' unsigned 32-bit exit codes as signed ones, as on other systems."""
    return exit_code - 2**32 if exit_code is not None and exit_code >= 2**31 else exit_code


@functools.cache
def _note_priority(problem: str) -> None:
    """Log once what of a script's priority the system refused; the script runs all the same."""
    if problem:
        log.warning("scripts do not stand back as they should: %s", problem)


class _Watch:
    """Checks once a second how much memory and disk space a run uses."""

    def __init__(self, tree: ProcessTree, folder: Path, limits: Limits, began_at: float) -> None:
        self.peak_memory_bytes = 0
        self.disk_bytes = 0
        self._tree = tree
        self._folder = folder
        self._limits = limits
        self._next_at = began_at + _CHECK_SECONDS

    def check(self) -> Ending | None:
        """Return why the run has to end now, or None."""
        if time.monotonic() < self._next_at:
            return None
        used = used_bytes(self._tree.members(), self._limits.memory_bytes)
        self.peak_memory_bytes = max(self.peak_memory_bytes, used)
        if self.peak_memory_bytes > self._limits.memory_bytes:
            return Ending.MEMORY
        self.disk_bytes, too_many = folder_usage(self._folder, self._limits.disk_bytes)
        # A file that was unlinked while open is in no folder but still uses disk space.
        if too_many or free_bytes(self._folder) < MIN_FREE_BYTES:
            return Ending.DISK
        self._next_at = time.monotonic() + _CHECK_SECONDS
        return None


def _supervise(
    tree: ProcessTree,
    readers: list[PipeReader],
    stdout: ResultCollector,
    watch: _Watch,
    limits: Limits,
    stop: StopRequest,
    began_at: float,
) -> Ending:
    """Wait until the script ends or must be killed; return why."""
    budget_ends_at = began_at + limits.time_budget_seconds
    asked_to_end = False
    while not tree.has_exited():
        now = time.monotonic()
        soft_deadline = budget_ends_at
        if stdout.all_steps_at is not None:
            soft_deadline = min(budget_ends_at, stdout.all_steps_at + _AFTER_ALL_STEPS_SECONDS)
        hard_deadline = soft_deadline + limits.kill_grace_seconds
        poll_seconds = _EXIT_POLL_SECONDS if stdout.has_result else _POLL_SECONDS
        if stop.wait(max(0.0, min(poll_seconds, hard_deadline - now))):
            return Ending.STOPPED
        now = time.monotonic()
        if any(reader.flooded for reader in readers):
            return Ending.OUTPUT_FLOOD
        if now >= hard_deadline:
            return Ending.TIMEOUT
        if now >= soft_deadline and not asked_to_end:
            asked_to_end = tree.terminate()
        if ending := watch.check():
            return ending
    return Ending.EXITED_AFTER_SIGTERM if asked_to_end else Ending.EXITED
