"""The strips of a race as SVG, made on the server: no script, and the same in every browser.

A strip is as wide as its place: its x positions are percentages, its y positions are pixels, so
marks stay round and the scale is the same for all arms. Up is worse, for any metric.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from campaigns.race.look import Rival
from campaigns.race.strip_words import KIND_WORDS, look_title
from campaigns.race.strips import Difference, Kind, Strip, Strips
from experiments.metrics import MetricSpec

# The heights of a strip in pixels: of few arms, and of so many that they would fill screens.
HEIGHT: Final = 72
LOW_HEIGHT: Final = 48
FEW_ARMS: Final = 12
# A lane at the top for what lies beyond the scale, one at the bottom for runs without a value.
LANE: Final = 11
# Of more seeds than these a mark stands for several.
MOST_MARKS: Final = 48
# Between two looks, and at both ends, in widths of a seed.
_GAP: Final = 0.7
_EDGE: Final = 0.6
# The scale reaches a little beyond what it must hold.
_AIR: Final = 1.15
# The scale is at most so many times a usual bound, so that what is near the line can be told.
_MOST_BOUNDS: Final = 4.0
# Between two labels of the scale, in pixels.
_TICK: Final = 14
_ABOVE: Final = frozenset({Kind.INFEASIBLE})
_UNVALUED: Final = frozenset({Kind.MISSING, Kind.WAITING})


@dataclass(frozen=True)
class Scale:
    """What all strips of a race show, in sort-key units: from `low` (below 0) to `high`."""

    low: float
    high: float
    height: int

    def y(self, difference: float) -> float:
        """Return where a difference lies, in pixels from the top; beyond the scale in its lane."""
        share = (self.high - difference) / (self.high - self.low)
        return round(LANE + share * (self.height - 2 * LANE), 1)

    def holds(self, difference: float) -> bool:
        return self.low <= difference <= self.high


def scale_of(strips: Strips) -> Scale:
    """Return the scale: it holds the usual bounds, the nearest rival, and half of the arms.

    Unless these are so far behind that the bounds would be thin lines.
    """
    bounds = [rival.bound for strip in strips.strips for _, rival in strip.looks if rival.bound]
    reaches = [
        max(sizes)
        for strip in strips.strips
        if (sizes := [abs(d.difference) for d in strip.differences if d.difference])
    ]
    # A single wide bound, of an arm with a failed seed, must not make all others thin.
    bound = min(max(bounds), 2 * median(bounds)) if bounds else 0.0
    reach = median(reaches) if reaches else 0.0
    if bounds:
        nearest = min(reaches, default=0.0)
        reach = max(1.2 * bound, nearest, min(reach, _MOST_BOUNDS * median(bounds)))
    reach = reach or 1.0
    below = [
        -d.difference
        for strip in strips.strips
        for d in strip.differences
        if d.difference is not None and d.difference < 0
    ]
    low = max(bound, min(reach, max(below, default=0.0)), reach / 4)
    height = HEIGHT if len(strips.strips) <= FEW_ARMS else LOW_HEIGHT
    return Scale(-_AIR * low, _AIR * reach, height)


@dataclass(frozen=True)
class _Across:
    """Where seeds lie from left to right: in percent, with a gap between two looks."""

    ends: Sequence[int]
    seeds: int

    @property
    def _width(self) -> float:
        return self.seeds + _GAP * (len(self.ends) - 1) + 2 * _EDGE

    def x(self, place: float, look: int) -> float:
        """Return where the seed at a place from 0 lies, which look `look` sees first."""
        return round(100 * (_EDGE + place + 0.5 + _GAP * (look - 1)) / self._width, 2)

    def of_look(self, look: int) -> tuple[float, float]:
        """Return where the seeds that a look adds begin and end."""
        first = self.ends[look - 2] if look > 1 else 0
        return self.x(first - 0.5, look), self.x(self.ends[look - 1] - 0.5, look)


class StripDrawer:
    """Draws the strips of one race on one scale; `running` runs have a worker now."""

    def __init__(
        self,
        strips: Strips,
        spec: MetricSpec,
        *,
        running: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self.scale = scale_of(strips)
        self._strips = strips
        self._spec = spec
        self._running = running
        self._across = _Across(strips.ends, len(strips.seeds))
        self._ticks = _ticks(self.scale)

    def signed(self, difference: float) -> str:
        """Write a sort-key difference in the metric's unit, with its sign."""
        return self._spec.difference(self._spec.value_of(difference), 0.0)

    def size(self, distance: float) -> str:
        """Write a distance with the metric's decimals."""
        return self._spec.text(abs(distance))

    def axis(self) -> SafeString:
        """Return the line above the strips, which they need: which seeds each look adds."""
        # Drawn once and used by every strip: of a hundred arms it is a quarter of the page.
        parts = [f'<defs><g id="{_GROUND}">{"".join(self._ground())}</g></defs>']
        for look, end in enumerate(self._strips.ends, start=1):
            left, right = self._across.of_look(look)
            decided = "" if look <= len(self._strips.leaders) else " undecided"
            parts.append(
                f'<text class="look{decided}" x="{(left + right) / 2:.2f}%" y="12">look {look}'
                f'<tspan class="soft">, {end} seeds</tspan></text>'
                f'<line x1="{left}%" x2="{right}%" y1="17.5" y2="17.5"/>'
            )
        return _svg("strip-axis", 20, parts, label="")

    def strip(self, strip: Strip, label: str) -> SafeString:
        """Return the strip of one arm; `label` is what it shows, for people who do not see it."""
        parts = [f'<use href="#{_GROUND}"/>']
        for number, rival in strip.looks:
            parts.append(self._look(number, rival))
        if len(strip.differences) > MOST_MARKS:
            parts += self._bundles(strip.differences)
        else:
            parts += (self._mark(strip.arm, place, d) for place, d in enumerate(strip.differences))
        return _svg("strip", self.scale.height, parts, label=label)

    def _ground(self) -> Iterable[str]:
        for tick in self._ticks:
            y = self.scale.y(tick)
            kind = "zero" if tick == 0 else "tick"
            # A round number needs no further decimals.
            text = f"{self._spec.value_of(tick):+g}".replace("-", "−") if tick else "0"
            yield f'<line class="{kind}" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
            yield f'<text class="tick-label" x="-6" y="{y + 4:.1f}">{text}</text>'

    def _look(self, number: int, rival: Rival) -> str:
        """Return the band of the bound at a look, and the median that it is compared with."""
        left, right = self._across.of_look(number)
        width = f'x="{left}%" width="{right - left:.2f}%"'
        estimate = None if rival.estimate is None else self.signed(rival.estimate)
        written = None if rival.bound is None else self.size(rival.bound)
        title = look_title(number, rival.n, estimate, written, is_behind=rival.is_behind)
        parts = []
        if rival.bound is not None:
            top = self.scale.y(min(rival.bound, self.scale.high))
            bottom = self.scale.y(max(-rival.bound, self.scale.low))
            parts.append(f'<rect class="band" {width} y="{top}" height="{bottom - top:.1f}"/>')
            # A bound beyond the scale has no line: it lies farther out.
            parts += (
                f'<line class="bound" x1="{left}%" x2="{right}%" y1="{y}" y2="{y}"/>'
                for y, bound in ((top, rival.bound), (bottom, -rival.bound))
                if self.scale.holds(bound)
            )
        if rival.estimate is not None:
            y = self._inside(rival.estimate)
            kind = "median behind" if rival.is_behind else "median"
            parts.append(f'<rect class="{kind}" {width} y="{y - 1.5:.1f}" height="3"/>')
        return f"<g>{''.join(parts)}<title>{escape(title)}</title></g>"

    def _inside(self, difference: float) -> float:
        """Return the height of a difference, or the middle of the lane beyond the scale."""
        if difference > self.scale.high:
            return LANE / 2
        if difference < self.scale.low:
            return self.scale.height - LANE / 2
        return self.scale.y(difference)

    def _mark(self, arm: int, place: int, d: Difference) -> str:
        x = self._across.x(place, d.look)
        title = escape(self.title(d))
        if d.difference is not None and self.scale.holds(d.difference):
            kind = "dot clipped" if d.kind is Kind.CLIPPED else "dot"
            y = self.scale.y(d.difference)
            return (
                f'<circle class="{kind}" cx="{x}%" cy="{y}" r="3"><title>{title}</title></circle>'
            )
        if d.difference is not None:
            shape = _UP if d.difference > 0 else _DOWN
            return _shape("far", x, self._inside(d.difference), shape, title)
        if d.kind in _UNVALUED:
            y = self.scale.height - LANE / 2
            if d.kind is Kind.MISSING:
                return _shape("missing", x, y, _DASH, title)
            kind = "waiting runs" if (arm, d.seed_index) in self._running else "waiting"
            return (
                f'<circle class="{kind}" cx="{x}%" cy="{y}" r="2.5"><title>{title}</title></circle>'
            )
        y = LANE / 2 if d.kind in _ABOVE else self.scale.height - LANE / 2
        if d.kind is Kind.BOTH_INFEASIBLE:
            y = self.scale.y(0.0)
        return _shape("infeasible", x, y, _CROSS, title)

    def title(self, d: Difference) -> str:
        """Return what one mark says: "s7: +0.0312 (3.2187 less 3.1875)"."""
        parts = []
        if d.difference is not None:
            keys = (d.own or 0.0, d.reference or 0.0)
            own, other = (self._spec.text(self._spec.value_of(key)) for key in keys)
            parts.append(f"{self.signed(d.difference)} ({own} less {other})")
        if words := KIND_WORDS[d.kind]:
            parts.append(words)
        return f"s{d.seed_index}: {', '.join(parts)}"

    def _bundles(self, differences: Sequence[Difference]) -> Iterable[str]:
        """Yield a mark for several seeds each: their range, and their median."""
        size = math.ceil(len(self._strips.seeds) / MOST_MARKS)
        for start in range(0, len(differences), size):
            part = differences[start : start + size]
            values = sorted(d.difference for d in part if d.difference is not None)
            x = self._across.x(start + (len(part) - 1) / 2, part[0].look)
            others = len(part) - len(values)
            tail = f", {others} without a difference" if others else ""
            span = f"s{part[0].seed_index} to s{part[-1].seed_index}"
            if not values:
                title = f"{span}: no difference"
                yield _shape("missing", x, self.scale.height - LANE / 2, _DASH, title)
                continue
            low, middle, high = values[0], median(values), values[-1]
            title = escape(
                f"{span}: {self.signed(low)} to {self.signed(high)}, median "
                f"{self.signed(middle)}{tail}"
            )
            yield (
                f'<g><line class="bundle" x1="{x}%" x2="{x}%" y1="{self._inside(high)}" '
                f'y2="{self._inside(low)}"/><circle class="dot" cx="{x}%" '
                f'cy="{self._inside(middle)}" r="2.5"/><title>{title}</title></g>'
            )


_GROUND: Final = "strip-ground"
_UP: Final = "M-4 3L0-4L4 3Z"
_DOWN: Final = "M-4-3L0 4L4-3Z"
_CROSS: Final = "M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5"
_DASH: Final = "M-3.5 0H3.5"


def _shape(kind: str, x: float, y: float, path: str, title: str) -> str:
    """Return a path around a point. An inner svg, because a path knows no percentages."""
    return f'<svg class="{kind}" x="{x}%" y="{y}"><path d="{path}"/><title>{title}</title></svg>'


def _svg(kind: str, height: int, parts: Iterable[str], *, label: str) -> SafeString:
    drawing = mark_safe("".join(parts))  # noqa: S308 - numbers, and texts that are escaped
    if not label:
        return format_html(
            '<svg class="{}" height="{}" aria-hidden="true">{}</svg>', kind, height, drawing
        )
    return format_html(
        '<svg class="{}" height="{}" role="img" aria-label="{}">{}</svg>',
        kind,
        height,
        label,
        drawing,
    )


def _ticks(scale: Scale) -> list[float]:
    """Return round differences inside the scale, zero among them, far enough apart for a label."""
    room = (scale.height - 2 * LANE) / (scale.high - scale.low)
    step = _round_step(_TICK / room)
    first = math.ceil(scale.low / step)
    last = math.floor(scale.high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


# What the marks mean: a mark of each kind with its words, in the order of the key.
Key = Sequence[tuple[SafeString, str]]


def key_of(strips: Strips, words: Callable[[str], str]) -> Key:
    """Return a small drawing of each kind of mark that the strips have, with its words."""
    kinds = {d.kind for strip in strips.strips for d in strip.differences}
    scale = scale_of(strips)
    far = any(
        d.difference is not None and not scale.holds(d.difference)
        for strip in strips.strips
        for d in strip.differences
    )
    looked = any(strip.looks for strip in strips.strips)
    noisy = any(rival.bound is not None for strip in strips.strips for _, rival in strip.looks)
    marks = (
        ("dot", Kind.VALUE in kinds, '<circle class="dot" cx="8" cy="8" r="3"/>'),
        ("median", looked, '<rect class="median" x="1" y="6.5" width="14" height="3"/>'),
        ("band", noisy, '<rect class="band" x="1" y="2" width="14" height="12"/>'),
        ("clipped", Kind.CLIPPED in kinds, '<circle class="dot clipped" cx="8" cy="8" r="3"/>'),
        ("far", far, f'<g class="far" transform="translate(8 8)"><path d="{_UP}"/></g>'),
        (
            "infeasible",
            bool(kinds & {Kind.INFEASIBLE, Kind.REFERENCE_INFEASIBLE, Kind.BOTH_INFEASIBLE}),
            f'<g class="infeasible" transform="translate(8 8)"><path d="{_CROSS}"/></g>',
        ),
        (
            "missing",
            Kind.MISSING in kinds,
            f'<g class="missing" transform="translate(8 8)"><path d="{_DASH}"/></g>',
        ),
        ("waiting", Kind.WAITING in kinds, '<circle class="waiting" cx="8" cy="8" r="2.5"/>'),
    )
    return [
        (
            format_html(
                '<svg class="strip-key" width="16" height="16" aria-hidden="true">{}</svg>',
                mark_safe(drawing),  # noqa: S308 - constants of this module
            ),
            words(name),
        )
        for name, is_there, drawing in marks
        if is_there
    ]
