"""The hours at which an agent may work, by the owner's clock on the wall. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_TEXT: Final = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)\s*[-\u2013]\s*([01]?\d|2[0-4]):([0-5]\d)")
_DAY_MINUTES: Final = 24 * 60
# A window comes at least once a day; a change of the clock moves it by some hours at most.
_SEARCHED_MINUTES: Final = 2 * _DAY_MINUTES


class NoHours(ValueError):
    """A text is no window of hours, or an empty one; the message says which."""


@dataclass(frozen=True)
class Window:
    """From one minute of the day until another, which may lie after midnight."""

    start: int  # minutes after midnight
    end: int  # above 0, at most 1,440

    @classmethod
    def parse(cls, text: str) -> Window:
        """Return the window that a text like "22:00-07:00" means. Raises `NoHours`."""
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise NoHours(f"{text!r} is no time of the day: write it like 22:00-07:00")
        hours = [int(group) for group in match.groups()]
        start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        if max(start, end) > _DAY_MINUTES or start == _DAY_MINUTES:
            raise NoHours(f"{text!r} is no time of the day: a day ends at 24:00")
        if start == end:
            raise NoHours(f"{text!r} is empty: it ends when it begins. All day is 00:00-24:00")
        return cls(start, end or _DAY_MINUTES)

    def contains(self, minute: int) -> bool:
        """Return whether the minute of the day lies in the window."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"


def is_open(windows: Iterable[Window], now: dt.datetime, zone: dt.tzinfo | None = None) -> bool:
    """Return whether one of the windows contains ``now``, by the clock of the zone.

    Without a zone that is the machine's. When the clock is put back, an hour comes twice and both
    count; when it is put forward, what lies between does not come.
    """
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    return any(window.contains(minute) for window in windows)


def next_change(
    windows: Iterable[Window], now: dt.datetime, zone: dt.tzinfo | None = None
) -> dt.datetime | None:
    """Return the next minute at which `is_open` changes, in UTC; None when it never does."""
    windows = tuple(windows)
    before = is_open(windows, now, zone)
    minute = now.astimezone(dt.UTC).replace(second=0, microsecond=0)
    for _ in range(_SEARCHED_MINUTES):
        minute += dt.timedelta(minutes=1)
        if is_open(windows, minute, zone) != before:
            return minute
    return None


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
