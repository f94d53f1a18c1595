"""Run one command under two deadlines and say how it ended. Knows nothing of tasks or servers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from workers.agent.attempt import StopRequest
from workers.agent.process_tree import ProcessTree
from workers.agent.progress import ProgressBuffer
from workers.agent.readers import PipeReader, ResultCollector, StderrCollector

MAX_OUTPUT_BYTES: Final = 64 * 1024 * 1024  # per stream; an honest script prints a few kilobytes
_POLL_SECONDS: Final = 0.05
_MEMORY_CHECK_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 1.0


class Ending(StrEnum):
    """Who ended the run."""

    EXITED = "exited"  # the script itself, on time
    EXITED_AFTER_SIGTERM = "exited_after_sigterm"  # the script, asked to at the budget
    TIMEOUT = "timeout"  # killed at budget + grace
    OUTPUT_FLOOD = "output_flood"  # killed for printing too much
    MEMORY = "memory"  # killed for its memory
    STOPPED = "stopped"  # killed because the agent was told to


@dataclass(frozen=True)
class Limits:
    """What a run may use. The deadlines count from the spawn, by the monotonic clock."""

    time_budget_seconds: float  # SIGTERM to the group
    kill_grace_seconds: float  # SIGKILL to the whole tree this much later
    memory_bytes: int  # resident memory, summed over the tree
    output_bytes: int = MAX_OUTPUT_BYTES  # each of stdout and stderr


@dataclass(frozen=True)
class Execution:
    """How a run ended. ``exit_code`` is negative for a signal; ``survivors`` should be empty."""

    ending: Ending
    exit_code: int | None
    wall_time_seconds: float
    result: dict[str, Any] | None
    stderr_tail: str
    peak_memory_bytes: int = 0
    survivors: list[int] = field(default_factory=list)


def execute(
    command: Sequence[str],
    *,
    tag: str,
    environment: Mapping[str, str],
    folder: Path,
    limits: Limits,
    stop: StopRequest,
    progress: ProgressBuffer | None = None,
) -> Execution:
    """Run ``command`` in ``folder`` until it ends or has to; no process of it is left afterwards.

    Raises OSError when the command cannot be started at all.
    """
    stdout = ResultCollector()
    stderr = StderrCollector(progress or ProgressBuffer())
    tree = ProcessTree(command, tag=tag, environment=environment, folder=folder)
    readers = [
        PipeReader(tree.stdout, stdout.feed, limits.output_bytes),
        PipeReader(tree.stderr, stderr.feed, limits.output_bytes),
    ]
    for reader in readers:
        reader.start()
    peak_memory_bytes = 0
    try:
        ending, peak_memory_bytes = _supervise(tree, readers, limits, stop)
        wall_time_seconds = time.monotonic() - tree.started_at
    finally:
        # Also after a clean exit: children the script left would go on using the machine.
        survivors = tree.kill()
    drained_by = time.monotonic() + _DRAIN_SECONDS
    for reader in readers:
        reader.join(max(0.0, drained_by - time.monotonic()))
    if any(reader.flooded for reader in readers):
        ending = Ending.OUTPUT_FLOOD
    return Execution(
        ending=ending,
        exit_code=_signed(tree.exit_code),
        wall_time_seconds=wall_time_seconds,
        result=stdout.result(),
        stderr_tail=stderr.tail(),
        peak_memory_bytes=peak_memory_bytes,
        survivors=survivors,
    )


def _signed(exit_code: int | None) -> int | None:
    """Return Windows' unsigned 32-bit codes as the signed ones everybody else has."""
    return exit_code - 2**32 if exit_code is not None and exit_code >= 2**31 else exit_code


def _supervise(
    tree: ProcessTree, readers: list[PipeReader], limits: Limits, stop: StopRequest
) -> tuple[Ending, int]:
    """Wait until the script ends or must be killed; return why, and the peak memory in bytes."""
    soft_deadline = tree.started_at + limits.time_budget_seconds
    hard_deadline = soft_deadline + limits.kill_grace_seconds
    next_memory_check = tree.started_at + _MEMORY_CHECK_SECONDS
    asked_to_end, peak = False, 0
    while not tree.has_exited():
        now = time.monotonic()
        if stop.wait(max(0.0, min(_POLL_SECONDS, hard_deadline - now))):
            return Ending.STOPPED, peak
        now = time.monotonic()
        if any(reader.flooded for reader in readers):
            return Ending.OUTPUT_FLOOD, peak
        if now >= hard_deadline:
            return Ending.TIMEOUT, peak
        if now >= soft_deadline and not asked_to_end:
            tree.terminate()
            asked_to_end = True
        if now >= next_memory_check:
            peak = max(peak, tree.resident_bytes())
            next_memory_check = now + _MEMORY_CHECK_SECONDS
            if peak > limits.memory_bytes:
                return Ending.MEMORY, peak
    return Ending.EXITED_AFTER_SIGTERM if asked_to_end else Ending.EXITED, peak
