"""How many cores other programs use and how many are free, measured over the last seconds.

The busy time of the cores that this agent may use, less that of the agent and of everything below
it: its own scripts are not foreign, however many run.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import psutil

from workers.agent.processes.foreign_load import busy_seconds

WINDOW_SECONDS: Final = 10.0
_LEAST_SECONDS: Final = 0.5  # the kernel counts in hundredths; less tells nothing


class OwnUse(NamedTuple):
    """What the agent and everything below it have used so far, and hold now."""

    cpu_seconds: float
    memory_bytes: int  # of what is below it


class CoreTimes(NamedTuple):
    """Of the cores that the agent may use: how long they worked, and worked or rested, so far."""

    busy_seconds: float
    all_seconds: float
    cores: int


class Load(NamedTuple):
    """In cores, on average. None: the machine does not tell, or not yet."""

    foreign_cores: float | None
    free_cores: float | None


class LoadMeter:
    """Counts from the moment it is made; `read` adds a reading and tells the load of late."""

    def __init__(
        self,
        times: Callable[[], CoreTimes] | None = None,
        own: Callable[[], OwnUse] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.memory_bytes = 0  # of the agent's own scripts, at the last reading
        self._times = times or times_of_own_cores
        self._own = own or own_use
        self._clock = clock
        self._readings: deque[tuple[float, CoreTimes, float]] = deque()
        self._take()

    def read(self) -> Load:
        """Return the load over the last seconds, `WINDOW_SECONDS` as soon as they have passed."""
        self._take()
        while len(self._readings) > 2 and self._age(1) >= WINDOW_SECONDS:
            self._readings.popleft()
        if self._age(0) < _LEAST_SECONDS:
            return Load(None, None)
        (began, before, own_before), (now, after, own) = self._readings[0], self._readings[-1]
        if after.all_seconds <= before.all_seconds:  # as in some sandboxes of containers
            return Load(None, None)
        busy = after.busy_seconds - before.busy_seconds - (own - own_before)
        foreign = max(0.0, busy / (now - began))
        return Load(round(foreign, 2), round(max(0.0, after.cores - foreign), 2))

    def _take(self) -> None:
        times = self._times()
        own = self._own()
        self.memory_bytes = own.memory_bytes
        self._readings.append((self._clock(), times, own.cpu_seconds))

    def _age(self, index: int) -> float:
        return self._readings[-1][0] - self._readings[index][0]


def times_of_own_cores() -> CoreTimes:
    """Return the times of the cores that this process may use."""
    times: Sequence[Any] = psutil.cpu_times(percpu=True)
    if hasattr(os, "sched_getaffinity"):
        usable = [core for core in os.sched_getaffinity(0) if core < len(times)]
        times = [times[core] for core in usable] or times
    busy = sum(busy_seconds(core) for core in times)
    return CoreTimes(busy, sum(map(sum, times)), len(times))


def own_use() -> OwnUse:
    """Return what this process and its descendants use.

    A process that ended counts in its parent, where the system keeps that (Linux).
    """
    agent = psutil.Process()
    seconds, memory_bytes = 0.0, 0
    for process in [agent, *agent.children(recursive=True)]:
        with contextlib.suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            seconds += times.user + times.system
            seconds += times.children_user + times.children_system
            if process != agent:
                memory_bytes += process.memory_info().rss
    return OwnUse(seconds, memory_bytes)
