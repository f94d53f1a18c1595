"""The small pictures of the honesty tab as SVG: replicate pairs, and first seeds beside races."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from campaigns.standings.honesty_parts import ClassNoise, FirstSeeds
from experiments.metrics import MetricSpec

PAIRS_HEIGHT: Final = 56
SLOPE_HEIGHT: Final = 220
_BASE: Final = 40
# Dots of one place are stacked; so many places side by side.
_PLACES: Final = 80
_AIR: Final = 10
# Labels nearer to each other than this, in pixels, would overlap.
_LABEL: Final = 14
# In percent of a phone's width: a label nearer than this meets that of 0, or leaves the picture.
_NEAR_ZERO: Final = 5
_NEAR_EDGE: Final = 16


def pairs_picture(noise: ClassNoise, spec: MetricSpec) -> SafeString:
    """Return a dot for each replicate pair: how far apart two seeds of one arm are."""
    sizes, sd = noise.sizes, noise.sd or 0.0
    # One pair far off must not press all others against the left edge.
    end = 1.1 * max(sizes[round(0.95 * (len(sizes) - 1))], 2 * sd) or spec.resolution
    stacked: Counter[int] = Counter()
    most = max(Counter(_place(size, end) for size in sizes).values())
    step = min(6.0, (_BASE - 8) / most)
    parts = [f'<line class="zero" x1="0" x2="100%" y1="{_BASE}" y2="{_BASE}"/>']
    x = 100 * sd / end
    parts.append(f'<line class="bound" x1="{x:.2f}%" x2="{x:.2f}%" y1="2" y2="{_BASE}"/>')
    # As dots may be quantiles, each says only its size.
    for size in sizes:
        place = _place(size, end)
        y = _BASE - 4 - step * stacked[place]
        stacked[place] += 1
        at = 100 * (place + 0.5) / (_PLACES + 1)
        kind = "dot clipped" if size > end else "dot"
        parts.append(
            f'<circle class="{kind}" cx="{at:.2f}%" cy="{y:.1f}" r="2.5">'
            f"<title>{escape(spec.text(size))}</title></circle>"
        )
    # The labels stay apart, and inside of the narrowest picture.
    if x > _NEAR_ZERO:
        parts.append('<text x="0" y="53">0</text>')
    anchor = "middle" if x > _NEAR_EDGE else "start"
    parts.append(f'<text x="{x:.2f}%" y="53" text-anchor="{anchor}">s.d. {spec.text(sd)}</text>')
    parts.append(f'<text x="100%" y="53" text-anchor="end">{spec.text(end)}</text>')
    label = (
        f"{noise.pairs} replicate pairs, {spec.text(sizes[0])} to {spec.text(sizes[-1])} apart; "
        f"standard deviation {spec.text(sd)}"
    )
    return _svg("pair-dots", PAIRS_HEIGHT, parts, label)


def _place(size: float, end: float) -> int:
    return min(_PLACES, int(_PLACES * size / end))


def slope_picture(first: FirstSeeds, spec: MetricSpec) -> SafeString:
    """Return a line for each arm that raced, from its first seed's value to its race value."""
    keys = [spec.sort_key(value) for _, *values in first.pairs for value in values]
    low, high = min(keys), max(keys)
    span = (high - low) or spec.resolution

    def y(value: float) -> float:
        # Up is worse, as on the page of a race.
        share = (high - spec.sort_key(value)) / span
        return round(24 + share * (SLOPE_HEIGHT - 24 - _AIR), 1)

    parts = [
        '<text x="24%" y="12" text-anchor="middle">first seed</text>',
        '<text x="66%" y="12" text-anchor="middle">race</text>',
        f'<line class="zero" x1="24%" x2="24%" y1="18" y2="{SLOPE_HEIGHT}"/>',
        f'<line class="zero" x1="66%" x2="66%" y1="18" y2="{SLOPE_HEIGHT}"/>',
    ]
    lines, labels = [], []
    for arm, seed, race in first.pairs:
        title = escape(f"arm {arm}: {spec.text(seed)} on its first seed, {spec.text(race)} raced")
        lines.append(
            f'<g class="slope"><line x1="24%" x2="66%" y1="{y(seed)}" y2="{y(race)}"/>'
            f'<circle cx="24%" cy="{y(seed)}" r="3"/><circle cx="66%" cy="{y(race)}" r="3"/>'
            f"<title>{title}</title></g>"
        )
        labels += [("22%", "end", y(seed), spec.text(seed))]
        labels += [("68%", "start", y(race), f"{spec.text(race)} arm {arm}")]
    parts += [*lines, *_apart(labels)]
    arms = len(first.pairs)
    label = f"First seeds and race values of {arms} arms that raced"
    return _svg("slopes", SLOPE_HEIGHT, parts, label)


def _apart(labels: Sequence[tuple[str, str, float, str]]) -> list[str]:
    """Return the labels of each side that do not overlap, from the best value upwards."""
    written: dict[str, float] = {}
    texts = []
    for x, anchor, y, text in sorted(labels, key=lambda label: (label[0], -label[2])):
        if x in written and written[x] - y < _LABEL:
            continue
        written[x] = y
        texts.append(f'<text x="{x}" y="{y + 4:.1f}" text-anchor="{anchor}">{escape(text)}</text>')
    return texts


def _svg(kind: str, height: int, parts: Sequence[str], label: str) -> SafeString:
    return format_html(
        '<svg class="{}" height="{}" role="img" aria-label="{}">{}</svg>',
        kind,
        height,
        label,
        mark_safe("".join(parts)),  # noqa: S308 - numbers, and texts that are escaped
    )
