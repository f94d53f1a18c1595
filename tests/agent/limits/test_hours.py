"""Hours on the owner's clock: over midnight, and on the days when the clock changes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from workers.agent.limits.hours import Window, is_open, next_change

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = (Window.parse("22:00-07:00"),)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("hours", "now", "expected", "change"),
    [
        ("22:00-07:00", "2026-06-01T21:59:59", False, "2026-06-01T22:00"),
        ("22:00-07:00", "2026-06-01T22:00", True, "2026-06-02T07:00"),
        ("22:00-07:00", "2026-06-02T06:59", True, "2026-06-02T07:00"),
        ("22:00-07:00", "2026-06-02T07:00", False, "2026-06-02T22:00"),
        ("22:00-24:00", "2026-06-02T00:00", False, "2026-06-02T22:00"),
        ("22:00-00:00", "2026-06-01T23:59", True, "2026-06-02T00:00"),
        ("01:00-02:00,02:00-04:00", "2026-06-01T01:30", True, "2026-06-01T04:00"),
        # The clock goes from 2:00 to 3:00 on 29 March: half past two does not come.
        ("02:30-04:00", "2026-03-29T01:59", False, "2026-03-29T03:00"),
        ("22:00-02:30", "2026-03-29T01:59", True, "2026-03-29T03:00"),
        # It goes from 3:00 back to 2:00 on 25 October: the hour from two to three comes twice.
        ("01:00-02:30", "2026-10-25T01:59", True, "2026-10-25T02:30"),
    ],
)
def test_hours_are_those_of_the_clock_on_the_wall(
    hours: str, now: str, expected: bool, change: str
) -> None:
    windows = tuple(map(Window.parse, hours.split(",")))
    assert is_open(windows, at(now), BERLIN) is expected
    assert next_change(windows, at(now), BERLIN) == at(change).astimezone(dt.UTC)


def test_the_hour_that_comes_twice_counts_twice() -> None:
    first = dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)  # half past two, summer time
    window = (Window.parse("02:00-03:00"),)
    opens = [is_open(window, first + dt.timedelta(hours=hour), BERLIN) for hour in range(-1, 3)]
    assert opens == [False, True, True, False]


def test_all_day_never_changes() -> None:
    assert next_change((Window.parse("00:00-24:00"),), at("2026-06-01T12:00"), BERLIN) is None
