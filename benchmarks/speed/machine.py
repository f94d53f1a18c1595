"""What processes cost: CPU time of a tree of processes, of everything else, and memory."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

IDLE_FIELDS = ("idle", "iowait")
# Counted in "user" and "nice" already.
GUEST_FIELDS = ("guest", "guest_nice")


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and all its descendants; [] when it has ended."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process, its descendants, and those that they have collected.

    So it grows steadily while children come and go, as the sessions of PostgreSQL do.
    """
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += times.children_user + times.children_system
    return total


def busy_seconds() -> float:
    """Return the CPU seconds that all programs of this machine have used, waiting excluded."""
    times = psutil.cpu_times()._asdict()
    return float(sum(times.values()) - sum(times.get(name, 0.0) for name in skipped_fields()))


def skipped_fields() -> tuple[str, ...]:
    """Return the fields of the machine's times that are no work, or counted elsewhere."""
    return (*IDLE_FIELDS, *GUEST_FIELDS)


@dataclass(frozen=True)
class Cost:
    """What a stretch of time cost: wall and CPU seconds by part, and the cores others used."""

    seconds: float
    cpu: Mapping[str, float]
    foreign_cores: float


class Meter:
    """Measures from its creation to `stop`: the trees of these processes, this process, the rest.

    `parts` are process ids by the name of their part; this process is the part "client".
    """

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._parts = dict(parts)
        self._began = self._now()

    def _now(self) -> tuple[float, dict[str, float], float]:
        cpu = {name: cpu_seconds(pid) for name, pid in self._parts.items()}
        cpu["client"] = own_seconds()
        return time.perf_counter(), cpu, busy_seconds()

    def stop(self) -> Cost:
        """Return what was spent since the start."""
        wall, cpu, busy = self._now()
        wall_before, cpu_before, busy_before = self._began
        seconds = max(wall - wall_before, 1e-9)
        spent = {name: max(0.0, cpu[name] - cpu_before[name]) for name in cpu}
        foreign = busy - busy_before - sum(spent.values())
        return Cost(seconds, spent, max(0.0, foreign / seconds))


def own_seconds() -> float:
    """Return the CPU seconds of this process and of the children that it has collected."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def memory_mib(pids: Iterable[int]) -> tuple[float, float]:
    """Return RSS and PSS of the trees of these processes, in MiB; PSS shares what they share."""
    rss = pss = 0
    for pid in pids:
        for process in tree(pid):
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                rss += memory.rss
                pss += getattr(memory, "pss", memory.rss)
    return rss / 2**20, pss / 2**20
