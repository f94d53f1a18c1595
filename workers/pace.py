"""How often an agent sends heartbeats, and how long its leases last after each.

Both grow with the number of workers online, in their settings' ratio, so that a large fleet does
not send more heartbeats than the server answers. Up to `HEARTBEATS_PER_SECOND` times the interval
of the settings everybody has the settings' pace.

Each worker's row keeps the lease time that was granted to it (`Worker.lease_time`), and each of its
heartbeats may move it (`campaigns.lifecycle.next_pace`). A growing fleet moves a worker only when
its interval is too short; a shrinking one only when it is far too long. The rule needs no memory
but that row, so several processes that counted at different times do not move a worker to and fro.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Final

from django.conf import settings

# A longer interval would keep a cancelled script running for too long.
LONGEST_HEARTBEAT_SECONDS: Final = 30.0
# The interval grows by half of the settings' at a time.
_STEPS: Final = 2
# A worker keeps its interval until a fleet so many times as large would do with a shorter one.
_HYSTERESIS: Final = 1.25


@dataclass(frozen=True)
class Pace:
    """What an agent is told: its heartbeat interval, and how long its leases last after each."""

    heartbeat_seconds: float
    lease_seconds: float

    @property
    def lease_time(self) -> dt.timedelta:
        """The lease's length as the database computes with it."""
        return dt.timedelta(seconds=self.lease_seconds)


@dataclass(frozen=True)
class PaceRange:
    """The paces that suit a fleet: any between the shortest and the longest."""

    shortest: Pace
    longest: Pace

    def nearest(self, pace: Pace) -> Pace:
        """Return the pace that suits the fleet and is nearest to a worker's present one."""
        if pace.lease_seconds < self.shortest.lease_seconds:
            return self.shortest
        if pace.lease_seconds > self.longest.lease_seconds:
            return self.longest
        return pace


def usual() -> Pace:
    """Return the settings' pace, which is that of small fleets and of people's own programs."""
    times = settings.XEENET
    return Pace(times["HEARTBEAT_SECONDS"], times["LEASE_SECONDS"])


def longest() -> Pace:
    """Return the pace of the largest fleets."""
    return _of_interval(LONGEST_HEARTBEAT_SECONDS)


def pace_of(lease_time: dt.timedelta | None) -> Pace:
    """Return the pace of a worker from its row; None stands for the usual one.

    The settings may have changed since it was written: it stays between usual and longest pace.
    """
    pace = usual()
    if lease_time is None:
        return pace
    seconds = lease_time.total_seconds()
    return _of_interval(seconds * pace.heartbeat_seconds / pace.lease_seconds)


def for_fleet(workers: int) -> PaceRange:
    """Return the paces that suit a fleet with so many workers online."""
    return PaceRange(_shortest_for(workers), _shortest_for(workers * _HYSTERESIS))


def _shortest_for(workers: float) -> Pace:
    """Return the first step at which so many workers send few enough heartbeats a second."""
    step = usual().heartbeat_seconds / _STEPS
    needed = workers / settings.XEENET["HEARTBEATS_PER_SECOND"]
    return _of_interval(step * math.ceil(needed / step))


def _of_interval(seconds: float) -> Pace:
    pace = usual()
    if seconds <= pace.heartbeat_seconds:
        return pace
    heartbeat = max(pace.heartbeat_seconds, min(seconds, LONGEST_HEARTBEAT_SECONDS))
    lease = heartbeat * pace.lease_seconds / pace.heartbeat_seconds
    return Pace(round(heartbeat, 3), round(lease, 3))
