"""A learning curve of a few pixels, as the path of an SVG."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Final, NamedTuple

from campaigns.models import ProgressPoint

WIDTH: Final = 216
HEIGHT: Final = 36
_EDGE: Final = 2


class SmallCurve(NamedTuple):
    """The path of a curve in a box of WIDTH × HEIGHT, and what it draws."""

    path: str
    what: str


def small_curve(progress: Iterable[ProgressPoint]) -> SmallCurve | None:
    """Draw the validation values of a run, or else its training losses; None with fewer than two.

    The start of a run is cut off above, so that its end can be seen.
    """
    points = list(progress)
    values = [(p.elapsed_seconds, p.value) for p in points if p.value is not None]
    losses = [(p.elapsed_seconds, p.train_loss) for p in points if p.train_loss is not None]
    drawn, what = (values, "validation") if len(values) > 1 else (losses, "training loss")
    if len(drawn) < 2:
        return None
    xs, ys = [x for x, _ in drawn], [y for _, y in drawn]
    low = min(ys)
    # A first loss of many times the last one would press the rest into a line.
    high = min(max(ys), low + 4 * (median(ys) - low))
    if high <= low:
        high = max(ys)
    width, height = max(xs) - min(xs) or 1.0, high - low or 1.0
    dots = [
        (
            _EDGE + (x - min(xs)) / width * (WIDTH - 2 * _EDGE),
            _EDGE + (high - min(y, high)) / height * (HEIGHT - 2 * _EDGE),
        )
        for x, y in drawn
    ]
    return SmallCurve("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in dots), what)
