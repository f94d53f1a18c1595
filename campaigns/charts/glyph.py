"""The interval glyph: a value as a dot, its uncertainty as a whisker, on a scale that rows share.

Pure: numbers in, an SVG image or a text of one line out. The numbers stand beside it, so it is
hidden from screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from django.utils.safestring import SafeString, mark_safe

WIDTH: Final = 160
HEIGHT: Final = 20
# Characters of the glyph as text.
TEXT_WIDTH: Final = 21
# Values without an interval that lie beyond so many times the distance of their median from the
# first are drawn at the end of the scale, as an arrow: they would press the others into a point.
FAR: Final = 1.5
_MARGIN: Final = 6
_MIDDLE: Final = HEIGHT // 2
_PAD: Final = 0.04
# About so many steps of the numbers at the ends.
_STEPS: Final = 20


class Interval(NamedTuple):
    """What a row shows: its value, half of its interval, and the value that got it noticed."""

    value: float | None
    half_width: float | None = None
    screening: float | None = None


@dataclass(frozen=True)
class Scale:
    """A common scale from `low` to `high`, whose ends are written with so many decimals."""

    low: float
    high: float
    decimals: int

    def place(self, value: float) -> float:
        """Return where a value lies, from 0 to 1; what is beyond an end lies at it."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def holds(self, value: float) -> bool:
        """Return whether a value lies between the ends."""
        return self.low <= value <= self.high

    @property
    def ends(self) -> tuple[str, str]:
        """The numbers at both ends."""
        return f"{self.low:.{self.decimals}f}", f"{self.high:.{self.decimals}f}"


def scale_of(
    intervals: Iterable[Interval], *, is_maximised: bool = False, far: float = FAR
) -> Scale | None:
    """Return the scale on which these intervals are drawn; None without any value.

    Intervals are always inside as a whole; a tail of values without any is not, beyond `far` (see
    FAR).
    """
    sign = -1.0 if is_maximised else 1.0
    rows = [(sign * row.value, row.half_width) for row in intervals if row.value is not None]
    if not rows:
        return None
    values = [value for value, _ in rows]
    first = min(values)
    reach = first + far * (median(values) - first)
    # Most values may be alike: then nothing is far.
    inside = [value for value in values if value <= reach] if reach > first else values
    ends = [end for value, half in rows if half for end in (value - half, value + half)]
    low, high = min(*inside, *ends, first), max(*inside, *ends, first)
    span = high - low or abs(first) / 100 or 1.0
    low, high = low - _PAD * span, high + _PAD * span
    if sign < 0:
        low, high = -high, -low
    step = _step((high - low) / _STEPS)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return Scale(low, high, max(0, -math.floor(math.log10(step))))


def _step(rough: float) -> float:
    """Return the nearest of 1, 2 and 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))


def svg(interval: Interval, scale: Scale, *, leader: Interval | None = None) -> SafeString:
    """Return the glyph as an SVG element; nothing for a row without a value.

    `leader` is the first row of the board, whose interval is a band behind every row.
    """
    if interval.value is None:
        return mark_safe("")
    parts = [_band(leader, scale)] if leader else []
    at = _x(interval.value, scale)
    if interval.screening is not None:
        seen = _x(interval.screening, scale)
        parts.append(
            f'<path class="from" d="M{seen:g} {_MIDDLE}H{at:g}"/>'
            f'<circle class="screening" cx="{seen:g}" cy="{_MIDDLE}" r="2"/>'
        )
    if interval.half_width:
        low, high = (_x(interval.value + side * interval.half_width, scale) for side in (-1.0, 1.0))
        parts.append(f'<path class="whisker" d="M{low:g} {_MIDDLE}H{high:g}"/>')
    parts.append(_dot(interval, at, scale))
    return mark_safe(  # noqa: S308 - numbers only
        f'<svg class="glyph" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(parts)}'
        "</svg>"
    )


def _x(value: float, scale: Scale) -> float:
    return round(_MARGIN + scale.place(value) * (WIDTH - 2 * _MARGIN), 1)


def _band(leader: Interval, scale: Scale) -> str:
    if leader.value is None or not leader.half_width:
        return ""
    low, high = (_x(leader.value + side * leader.half_width, scale) for side in (-1.0, 1.0))
    return f'<path class="band" d="M{low:g} 3H{high:g}V{HEIGHT - 3}H{low:g}Z"/>'


def _dot(interval: Interval, at: float, scale: Scale) -> str:
    value = interval.value
    assert value is not None  # noqa: S101 - `svg` draws no row without a value
    if not scale.holds(value):
        tip = 4 if value > scale.high else -4
        return (
            f'<path class="beyond" d="M{at - tip:g} {_MIDDLE - 3}L{at:g} {_MIDDLE}'
            f'L{at - tip:g} {_MIDDLE + 3}"/>'
        )
    # A value of one seed, which proves nothing, looks lighter than that of a race.
    has_raced = interval.half_width or interval.screening is not None
    kind, radius = ("dot", 3.5) if has_raced else ("dot alone", 2.5)
    return f'<circle class="{kind}" cx="{at:g}" cy="{_MIDDLE}" r="{radius}"/>'


def text(interval: Interval, scale: Scale, *, width: int = TEXT_WIDTH) -> str:
    """Return the glyph as `width` characters, such as " ○ ├──●──┤  ".

    A dot alone has no interval; an arrow at an end lies beyond it; a ring is a screening value.
    """
    line = [" "] * width
    if interval.value is None:
        return "".join(line)

    def cell(value: float) -> int:
        return round(scale.place(value) * (width - 1))

    if interval.screening is not None:
        line[cell(interval.screening)] = "○"
    at = cell(interval.value)
    if interval.half_width:
        low, high = (cell(interval.value + side * interval.half_width) for side in (-1.0, 1.0))
        line[low : high + 1] = "─" * (high + 1 - low)
        line[low], line[high] = "├", "┤"
    line[at] = "●"
    if not scale.holds(interval.value):
        line[at] = "▸" if interval.value > scale.high else "◂"
    return "".join(line)
