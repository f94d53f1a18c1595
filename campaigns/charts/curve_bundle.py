"""Small SVG drawings of one arm or task: its learning curve among others, and its seeds.

Pure. Coordinates are rounded to whole units of the drawing, so that forty curves take few bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from experiments.metrics import MetricSpec
from xeenet_site.web.formats import duration

WIDTH: Final = 448
HEIGHT: Final = 150
# Room for the labels of the axes.
_LEFT: Final = 40
_BOTTOM: Final = 18
_TOP: Final = 6
# Above this share of all values a curve leaves the drawing: every curve begins far above its end.
_SHOWN_SHARE: Final = 0.8

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Scale:
    """Turns seconds and values into whole units of the drawing."""

    seconds: float
    low: float
    high: float

    def x(self, seconds: float) -> int:
        return round(_LEFT + (WIDTH - _LEFT - 4) * seconds / self.seconds)

    def y(self, value: float) -> int:
        share = (value - self.low) / (self.high - self.low)
        # Further away nothing is seen, and a huge number would make the path longer.
        y = _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - share)
        return round(min(2 * HEIGHT, max(-HEIGHT, y)))


def curve_drawing(
    own: Sequence[Line], others: Iterable[Line], spec: MetricSpec, *, label: str
) -> SafeString:
    """Draw curves over those of others; "" when there is none of its own.

    The first of `own` is drawn strong, the rest pale. `spec` says how values are written, and on
    which side of the drawing the curves begin.
    """
    own = [line for line in own if len(line) > 1]
    if not own:
        return mark_safe("")
    others = [line for line in others if len(line) > 1]
    scale = _scale(own, others, spec)
    grey = mark_safe("".join(_path(line, scale) for line in others))  # noqa: S308 - digits only
    lines = format_html_join(
        "",
        '<path class="{}" d="{}"/>',
        (
            ("curve" if number == 0 else "curve pale", mark_safe(_path(line, scale)))  # noqa: S308
            for number, line in reversed(list(enumerate(own)))
        ),
    )
    seconds, value = own[0][-1]
    end = format_html(
        '<circle class="end" cx="{}" cy="{}" r="3"/>', scale.x(seconds), scale.y(value)
    )
    return format_html(
        '<svg class="side-curve" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '{}<svg x="{}" y="0" width="{}" height="{}" viewBox="{} 0 {} {}">'
        '<path class="others" d="{}"/>{}{}</svg></svg>',
        WIDTH,
        HEIGHT,
        label,
        _axes(scale, spec),
        *(_LEFT, WIDTH - _LEFT, HEIGHT - _BOTTOM + 4),
        *(_LEFT, WIDTH - _LEFT, HEIGHT - _BOTTOM + 4),
        grey,
        lines,
        end,
    )


def _scale(own: Sequence[Line], others: Sequence[Line], spec: MetricSpec) -> _Scale:
    seconds = max(line[-1][0] for line in (*own, *others)) or 1.0
    values = sorted(value for line in (*own, *others) for _, value in line)
    low, high = values[0], values[min(len(values) - 1, int(_SHOWN_SHARE * len(values)))]
    if spec.is_maximised:
        low, high = values[int((1 - _SHOWN_SHARE) * len(values))], values[-1]
    # The end of its own curve is what the reader looks for.
    end = own[0][-1][1]
    low, high = min(low, end), max(high, end)
    room = (high - low) * 0.06 or max(abs(high), 1.0) * 0.01
    return _Scale(seconds, low - room, high + room)


def _path(line: Line, scale: _Scale) -> str:
    """Return a path with relative steps, which are shorter than places."""
    x, y = scale.x(line[0][0]), scale.y(line[0][1])
    path = [f"M{x} {y}l"]
    for seconds, value in line[1:]:
        new_x, new_y = scale.x(seconds), scale.y(value)
        path.append(f"{new_x - x} {new_y - y} ")
        x, y = new_x, new_y
    return "".join(path).rstrip()


def _axes(scale: _Scale, spec: MetricSpec) -> SafeString:
    """Draw three values at the left, and the last second below."""
    low, high = _TOP, HEIGHT - _BOTTOM
    steps = [scale.low + (scale.high - scale.low) * share for share in (0.06, 0.5, 0.94)]
    decimals = min(spec.decimals, max(0, 1 - math.floor(math.log10(scale.high - scale.low))))
    rows = format_html_join(
        "",
        '<path class="grid" d="M{} {}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (_LEFT, scale.y(value), WIDTH, _LEFT - 6, scale.y(value) + 4, f"{value:.{decimals}f}")
            for value in steps
        ),
    )
    return format_html(
        '{}<path class="axis" d="M{} {}V{}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
        '<text x="{}" y="{}">0 s</text>',
        rows,
        *(_LEFT, low, high, WIDTH),
        *(WIDTH - 2, HEIGHT - 4, duration(scale.seconds)),
        *(_LEFT, HEIGHT - 4),
    )


@dataclass(frozen=True)
class SeedDot:
    """A value on the strip of seeds. `text` says what it is."""

    value: float
    text: str
    is_own: bool = False
    is_screening: bool = False


def seeds_drawing(
    dots: Sequence[SeedDot],
    *,
    middle: float | None = None,
    half_width: float | None = None,
    label: str,
) -> SafeString:
    """Draw the values of an arm's seeds as dots on one line, and the interval around its value.

    The first seed, which proves nothing, is a ring. "" with fewer than two values.
    """
    if len(dots) < 2:
        return mark_safe("")
    ends = [dot.value for dot in dots]
    if middle is not None:
        ends += [middle - (half_width or 0.0), middle + (half_width or 0.0)]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        # Values that are all the same stand in the middle.
        share = (value - low) / span if high > low else 0.5
        return round(10 + (WIDTH - 20) * share, 1)

    y = 12
    band = mark_safe("")
    if middle is not None and half_width is not None:
        left, right = x(middle - half_width), x(middle + half_width)
        band = format_html(
            '<rect class="interval" x="{}" y="4" width="{}" height="16" rx="3"/>'
            '<path class="middle" d="M{} 3V21"/>',
            left,
            round(max(1.0, right - left), 1),
            x(middle),
        )
    marks = format_html_join(
        "",
        '<circle class="seed{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
        (
            (
                " own" * dot.is_own + " first" * dot.is_screening,
                x(dot.value),
                y,
                5 if dot.is_own else 4,
                dot.text,
            )
            for dot in sorted(dots, key=lambda dot: dot.is_own)
        ),
    )
    return format_html(
        '<svg class="side-seeds" viewBox="0 0 {} 24" role="img" aria-label="{}">'
        '<path class="axis" d="M6 {}H{}"/>{}{}</svg>',
        WIDTH,
        label,
        y,
        WIDTH - 6,
        band,
        marks,
    )
