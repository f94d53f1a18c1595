"""How many workers are online, counted once in a few seconds per process."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Final

from workers.models import Worker
from workers.pace import PaceRange, for_fleet

# An agent's interval is told so late at most; all of a fleet's are told within one interval anyway.
COUNTED_EVERY: Final = dt.timedelta(seconds=5)


class _Count:
    """The last count, with the database's time at which it was made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[dt.datetime, int] | None = None

    def at(self, now: dt.datetime) -> int:
        last = self._last
        if last is not None and _is_fresh(last[0], now):
            return last[1]
        # One thread counts. The others use the stale count meanwhile, and wait only without any.
        if not self._lock.acquire(blocking=last is None):
            return last[1] if last else 0
        try:
            last = self._last
            if last is None or not _is_fresh(last[0], now):
                last = self._last = (now, Worker.objects.online(now).count())
            return last[1]
        finally:
            self._lock.release()

    def forget(self) -> None:
        self._last = None


def _is_fresh(counted_at: dt.datetime, now: dt.datetime) -> bool:
    return abs(now - counted_at) < COUNTED_EVERY


_count = _Count()


def fleet_pace(now: dt.datetime) -> PaceRange:
    """Return the paces that suit the workers online; the count is a few seconds old at most."""
    return for_fleet(_count.at(now))


def forget() -> None:
    """Count again at the next call; for tests, whose fleets come and go at one instant."""
    _count.forget()
