"""Formats of numbers, times and states, for all pages, charts and the terminal.

An unknown value is shown as an em dash whose tooltip says why it is unknown. Formats of values that
may be unknown take that reason as their second argument. Templates use them through
`{% load xeenet %}`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

# A narrow no-break space, so that a number never wraps.
THIN_SPACE: Final = "\u202f"
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
DAYS_OF_A_WEEK: Final = 7

# State or outcome -> its colour (a CSS class) and its shape.
_CHIPS: Final[dict[str, tuple[str, str]]] = {
    "draft": ("pending", "dashed"),
    "pending": ("pending", "ring"),
    "active": ("running", "play"),
    "leased": ("running", "play"),
    "running": ("running", "play"),
    "paused": ("late", "bars"),
    "draining": ("late", "bars"),
    "outdated": ("late", "rise"),
    "completed": ("completed", "tick"),
    "online": ("running", "disc"),
    "offline": ("pending", "ring"),
    "failed": ("failed", "cross"),
    "diverged": ("failed", "rise"),
    "lost": ("late", "diamond"),
    "late": ("late", "diamond"),
    "released": ("late", "back"),
    "cancelled": ("pending", "slash"),
    "disabled": ("pending", "slash"),
    "retired": ("pending", "slash"),
    "simulated": ("simulated", "wave"),
    "implausible": ("late", "slash"),
    "disturbed": ("late", "wave"),
}

# SVG paths in a box of 10 × 10, drawn as lines.
_SHAPES: Final[dict[str, str]] = {
    "dashed": "M5 1A4 4 0 0 1 8 2M9 5A4 4 0 0 1 7 8M4 9A4 4 0 0 1 1 7M1 4A4 4 0 0 1 3 2",
    "ring": "M5 1.2A3.8 3.8 0 1 1 4.99 1.2",
    "disc": "M5 3A2 2 0 1 1 4.99 3M5 4A1 1 0 1 1 4.99 4",
    "play": "M3 1.5L8.2 5L3 8.5Z",
    "bars": "M3.2 1.5V8.5M6.8 1.5V8.5",
    "tick": "M1.4 5.4L4 8L8.8 2.2",
    "cross": "M2 2L8 8M8 2L2 8",
    "rise": "M1 8.5C5 8.5 6.5 6.5 7.5 1.5M5.4 3.2L7.6 1.2L9 3.8",
    "diamond": "M5 1L9 5L5 9L1 5Z",
    "back": "M8.8 5H1.6M4.4 2L1.4 5L4.4 8",
    "slash": "M5 1.2A3.8 3.8 0 1 1 4.99 1.2M2.4 7.6L7.6 2.4",
    "wave": "M1 5C2.3 1.5 3.7 1.5 5 5S7.7 8.5 9 5",
}


def unknown(why: str) -> SafeString:
    """Write an em dash whose tooltip says why there is no value."""
    return format_html('<abbr class="soft" title="{}">—</abbr>', why)


def told(text: str | None) -> str:
    """Write a text that an agent reported about its machine; an em dash if it reported none."""
    return text or unknown("its agent did not tell")


def _or_unknown(write: Callable[[Any], str]) -> Callable[..., str]:
    """Make a format accept unknown values, with the reason as its second argument."""

    # Not functools.wraps: Django would check template filters against the signature of `write`.
    def written(number: float | str | None, why: str = "not known yet") -> str:
        # Templates resolve a lookup that fails to "".
        return unknown(why) if number is None or number == "" else write(number)

    written.__name__ = write.__name__
    written.__doc__ = write.__doc__
    return written


@_or_unknown
def count(number: int) -> str:
    """Write a whole number with thin spaces: 1 115 394."""
    return f"{number:,}".replace(",", THIN_SPACE)


@_or_unknown
def duration(seconds: float) -> str:
    """Write seconds in the two largest units: 0.42 s, 9.8 s, 1 m 12 s, 3 h 05 m, 2 d 4 h."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    # Round before comparing: 59.97 s must not become "60 s".
    if round(seconds, 1) < MINUTE:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} m {whole % MINUTE:02} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} m"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def two_digits(number: float | str | None) -> float | str | None:
    """Round an estimate, 312 -> 310, so that its text stays while it moves a little."""
    return number if number is None or isinstance(number, str) else float(f"{number:.2g}")


@_or_unknown
def rate(per_hour: float) -> str:
    """Write a rate per hour: 0.42, 7.5, 312."""
    return f"{per_hour:.2g}" if per_hour < 10 else count(round(per_hour))


@_or_unknown
def percent(share: float) -> str:
    """Write a share in percent: 0.4 %, 12 %. Only a share of exactly 1 is written as 100 %."""
    whole = 100 * share
    if 0 < whole < 10 or 99 < whole < 100:
        return f"{min(max(whole, 0.1), 99.9):.1f} %"
    return f"{whole:.0f} %"


@_or_unknown
def over_or_under(seconds: float) -> str:
    """Write a difference between durations: 1.8 s over, 0.9 s under."""
    return f"{duration(abs(seconds))} {'over' if seconds >= 0 else 'under'}"


@_or_unknown
def decimals(number: float) -> str:
    """Write a loss or similar number with 4 significant digits: 2.346."""
    return f"{number:.4g}"


@_or_unknown
def size(amount: float) -> str:
    """Write bytes in decimal units: 1.12 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def value(param: Any) -> str:
    """Write one sampled value as in a config file: 0.001248, cosine, true."""
    return param if isinstance(param, str) else json.dumps(param)


def pretty_json(data: Any) -> str:
    """Write JSON data indented. It is not escaped: templates do that."""
    return json.dumps(data, indent=2, ensure_ascii=False)


def ago(when: dt.datetime | None, now: dt.datetime, why: str = "never") -> SafeString:
    """Write a time relative to `now`, with the exact UTC time as tooltip."""
    if when is None:
        return unknown(why)
    seconds = (now - when).total_seconds()
    if abs(seconds) < 2:
        words = "now"
    else:
        amount = _one_unit(abs(seconds))
        words = f"{amount} ago" if seconds > 0 else f"in {amount}"
    return format_html(
        '<time class="nowrap" datetime="{}" title="{}">{}</time>',
        when.isoformat(),
        f"{when:%Y-%m-%d %H:%M:%S} UTC",
        words,
    )


def clock(when: dt.datetime, now: dt.datetime, *, zone: dt.tzinfo = dt.UTC) -> str:
    """Write an instant as people say it: 08:21, Tue 08:21 within a week, else with its date.

    In UTC it says so; another `zone` is that of the reader.
    """
    local, today = when.astimezone(zone), now.astimezone(zone)
    days = abs((local.date() - today.date()).days)
    day = "" if not days else f"{local:%a} " if days < DAYS_OF_A_WEEK else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M}{' UTC' if zone is dt.UTC else ''}"


def whole_minute(when: dt.datetime) -> dt.datetime:
    """Round an estimated instant to the minute, so that its text stays while it moves a little.

    It changes half a second after a minute: estimates from whole seconds are not torn between two.
    """
    later = when + dt.timedelta(seconds=59.5)
    return later.replace(second=0, microsecond=0)


def clock_time(when: dt.datetime, now: dt.datetime) -> SafeString:
    """Write an instant as `clock` does; the page's script writes it in the reader's own zone."""
    return format_html(
        '<time class="nowrap" datetime="{}" title="{}" data-clock>{}</time>',
        when.isoformat(),
        f"{when:%Y-%m-%d %H:%M:%S} UTC",
        clock(when, now),
    )


def _one_unit(seconds: float) -> str:
    for unit, length in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def chip(state: str, text: str = "", title: str = "") -> SafeString:
    """Write a state or outcome as a coloured word with a shape, so that colour is never alone."""
    tone, shape = _CHIPS[state]
    return format_html(
        '<span class="chip {}" title="{}"><svg viewBox="0 0 10 10" aria-hidden="true" fill="none" '
        'stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">'
        '<path d="{}"/></svg>{}</span>',
        tone,
        title,
        _SHAPES[shape],
        text or state,
    )
