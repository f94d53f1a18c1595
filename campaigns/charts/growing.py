"""A figure that grows while its page is shown, in pieces of which a refresh sends only new ones.

The frame is the figure without the points of its curves; `charts.js` puts both together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeVar

from campaigns.charts.figures import Figure
from xeenet_site.web.strict_json import strict_dumps

T = TypeVar("T")

# Of a curve that grows, at most so many points are sent again with a new one.
PIECE: Final = 25
_OF_POINTS: Final = ("x", "y", "customdata")


@dataclass(frozen=True)
class Piece:
    """Points of one curve, with the id of their element."""

    html_id: str
    points: Figure


@dataclass(frozen=True)
class GrowingFigure:
    """A figure in pieces; those of one curve are in the order of its points."""

    frame: Figure
    pieces: list[Piece]


def growing(figure: Figure | None, name: str) -> GrowingFigure | None:
    """Cut the figure of the chart with this name. Curves that grow have a `uid` of their own.

    A curve with gaps is cut at these, so that its pieces stay the same when others come between.
    """
    if figure is None:
        return None
    frame, pieces, taken = [], [], Counter[str]()
    for trace in figure["data"]:
        if "uid" not in trace:
            frame.append(trace)
            continue
        frame.append({key: value for key, value in trace.items() if key not in _OF_POINTS})
        given = [key for key in _OF_POINTS if key in trace]
        for place, (start, end) in _cuts(trace["x"]):
            points = {key: trace[key][start:end] for key in given}
            points["uid"] = trace["uid"]
            html_id = f"{name}-{trace['uid']}-{place or _digest(points)}"
            # Two curves may be the same to the last digit.
            taken[html_id] += 1
            again = f"-{taken[html_id]}" if taken[html_id] > 1 else ""
            pieces.append(Piece(html_id + again, points))
    return GrowingFigure(figure | {"data": frame}, pieces)


def in_pieces(rows: Sequence[T]) -> list[Sequence[T]]:
    """Cut the rows of a table as the curves are cut, so that a refresh sends only new ones."""
    return [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]


def _cuts(xs: Sequence[float | None]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield place, start and end of each piece; a piece up to a gap has no place."""
    if None not in xs:
        for start in range(0, len(xs), PIECE):
            yield str(start // PIECE), (start, start + PIECE)
        return
    start = 0
    for end, x in enumerate(xs, start=1):
        if x is None:
            yield "", (start, end)
            start = end


def _digest(points: dict[str, Any]) -> str:
    return blake2b(strict_dumps(points).encode(), digest_size=6).hexdigest()
