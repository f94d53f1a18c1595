"""When the presence of a worker and of its agent's session has to be written again.

Each authenticated call shows that a worker is there, and writing each would cost a commit a call.
So `last_seen_at` is written when it is older than half of the heartbeat interval: it may be too old
by that much, which is far less than the lease time by which silence is judged.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db.models import Q
from django.db.models.expressions import Combinable

from workers.models import Worker
from workers.pace import Pace

Instant = dt.datetime | Combinable


class Recent(NamedTuple):
    """From when until when `last_seen_at` may lie so that a call leaves it as it is."""

    since: Instant
    until: Instant


def recent(worker: Worker, now: dt.datetime) -> Recent:
    """Return what is recent at `now`. Times ahead of a clock that was set back are not."""
    half = half_interval(worker.pace)
    return Recent(now - half, now + half)


def is_due(worker: Worker, now: dt.datetime) -> bool:
    """Return whether a call of the worker, as it was read, has to write its presence."""
    return is_stale(worker.last_seen_at, worker.pace, now)


def is_stale(seen: dt.datetime | None, pace: Pace, now: dt.datetime) -> bool:
    """Return whether what was last seen then, a worker or a session, is not recent at `now`."""
    return seen is None or abs(now - seen) > half_interval(pace)


def half_interval(pace: Pace) -> dt.timedelta:
    """Return how old `last_seen_at` may be with nothing wrong."""
    return dt.timedelta(seconds=pace.heartbeat_seconds / 2)


def worker_due(span: Recent) -> Q:
    """Return which workers' presence a call has to write; the bounds may be expressions."""
    return Q(last_seen_at=None) | Q(last_seen_at__lt=span.since) | Q(last_seen_at__gt=span.until)


def session_due(span: Recent) -> Q:
    """Return which sessions a call has to write: also those that were closed, for they go on."""
    stale = Q(last_seen_at__lt=span.since) | Q(last_seen_at__gt=span.until)
    return stale | Q(ended_at__isnull=False)
