"""How many cores other programs use while a script runs.

The busy time of the whole machine less that of the run's own processes and of the agent itself,
per second. In a container the kernel tells the times of the whole host, so the neighbours count,
too. The same goes for time that a hypervisor gave to others (steal), and for other scripts of the
same agent: all of them disturb the run.
"""

from __future__ import annotations

import time
from typing import Any, Final

import psutil

# Time in which a core works. Linux counts guests in user, Windows interrupts in system; a core that
# waits for a disk is idle.
_BUSY: Final = ("user", "nice", "system", "irq", "softirq", "steal")


class ForeignLoad:
    """Counts from the moment it is made; make it just before the run starts."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._times = psutil.cpu_times()
        self._agent_seconds = time.process_time()

    def cores(self, run_seconds: float | None) -> float | None:
        """Return the cores that others used on average, to two decimals; None if it cannot be told.

        `run_seconds` is the processor time of all processes of the run, ended ones included; None
        when nobody knows it.
        """
        times, wall_seconds = psutil.cpu_times(), time.monotonic() - self._began
        if run_seconds is None:
            return None
        own_seconds = run_seconds + time.process_time() - self._agent_seconds
        return foreign_cores(self._times, times, own_seconds, wall_seconds)


def foreign_cores(before: Any, after: Any, own_seconds: float, wall_seconds: float) -> float | None:
    """Return the cores that others used between two readings of the machine's processor times.

    None when these stand still, as in some sandboxes of whole containers.
    """
    if wall_seconds <= 0 or sum(after) <= sum(before):
        return None
    foreign_seconds = busy_seconds(after) - busy_seconds(before) - own_seconds
    # The clocks have different grains, so a quiet machine may come out a little below zero.
    return round(max(0.0, foreign_seconds / wall_seconds), 2)


def busy_seconds(times: Any) -> float:
    """Return the time for which a core, or all of them together, worked so far."""
    return sum(float(getattr(times, name, 0.0)) for name in _BUSY)
