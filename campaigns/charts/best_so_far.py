"""The best-so-far chart of a campaign: every ended task, and the best value until then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from campaigns.charts.figures import FAILED, MEASURED, SIMULATED, SOFT, Figure, opens_tasks
from campaigns.charts.points import ChartPoints, Point
from campaigns.models import FailureClass
from xeenet_site.web.formats import DAY, HOUR, MINUTE

NEAR_TOP: Final = 0.97


def best_so_far(
    shown: ChartPoints,
    *,
    since: dt.datetime | None,
    by_time: bool,
    anchors: Mapping[str, float],
) -> Figure | None:
    """Draw the ended tasks and the best value so far; None while nothing has ended.

    The x axis is the time since `since` (the launch) or the order in which tasks ended. Measured
    results are dots, simulated ones open diamonds, tasks without a value ticks at the top.
    `anchors` are thin labelled lines, drawn where they are near the data.

    `customdata` of the marks, one list a task: [task id, task number, HTML of what became of it].
    The line of the best has none.
    """
    points = shown.points
    if not points or since is None:
        return None
    unit_seconds, unit = _time_unit((points[-1].finished_at - since).total_seconds())

    def at(point: Point) -> float:
        seconds = (point.finished_at - since).total_seconds()
        return round(seconds / unit_seconds, 3) if by_time else point.order

    records = [p for p in points if p.is_record]
    simulated = [p for p in points if p.simulated and p.val_bpb is not None]
    data = [
        _best_line(records, at, end=at(points[-1])),
        _marks([p for p in points if p.is_ranked and not p.is_record], at, MEASURED, "circle")
        | {"opacity": 0.6},
        _marks(records, at, MEASURED, "circle", size=8),
        _marks(simulated, at, SIMULATED, "diamond-open", size=8),
        # On an axis of its own, whose top is the top of the chart whatever the values are.
        _marks([p for p in points if p.val_bpb is None], at, FAILED, "line-ns-open", size=8)
        | {"yaxis": "y2"},
    ]
    values = [p.val_bpb for p in points if p.val_bpb is not None]
    low, high = _value_range(values)
    near = {name: value for name, value in anchors.items() if low <= value <= high}
    return {
        "data": [trace for trace in data if trace["x"]],
        "layout": {
            "xaxis": {
                "title": {"text": f"{unit} since launch" if by_time else "Tasks ended"},
                "rangemode": "tozero",
                "showgrid": False,
                "tickformat": "~g" if by_time else "d",
                "nticks": 8,
            },
            "yaxis": {
                "title": {"text": "val_bpb (bits/byte)"},
                "range": [low, high],
                "tickformat": ".2f",
                "nticks": 6,
            },
            "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "shapes": [_level_line(value) for value in near.values()],
            "annotations": [
                _level_label(name, value, below=value > high - 0.1 * (high - low))
                for name, value in near.items()
            ],
        },
    }


def _time_unit(seconds: float) -> tuple[int, str]:
    """Return the unit in which a span of time makes short numbers, and its name."""
    if seconds < 3 * MINUTE:
        return 1, "Seconds"
    if seconds < 3 * HOUR:
        return MINUTE, "Minutes"
    return (HOUR, "Hours") if seconds < 3 * DAY else (DAY, "Days")


def _best_line(records: Sequence[Point], at: Callable[[Point], float], end: float) -> Figure:
    # Its own last value once more, so that the line reaches the newest task.
    best = [_short(p.val_bpb) for p in records]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*map(at, records), end] if records else [],
        "y": [*best, *best[-1:]],
        "line": {"shape": "hv", "width": 2, "color": MEASURED},
        "hoverinfo": "skip",
    }


def _marks(
    points: Sequence[Point],
    at: Callable[[Point], float],
    colour: str,
    symbol: str,
    size: int = 6,
) -> Figure:
    """Draw points as marks that open their task; those without a value near the top of y2.

    Every byte counts here: thousands of points are sent at each refresh.
    """
    with_value = bool(points) and points[0].val_bpb is not None
    value = "%{y:.4f} bits/byte<br>" if with_value else ""
    # A ring or tick is all edge; a dot has none, or Plotly outlines it in white.
    edge = 2 if symbol.endswith("-open") else 0
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [at(p) for p in points],
        "y": [_short(p.val_bpb) or NEAR_TOP for p in points],
        "marker": {"color": colour, "symbol": symbol, "size": size, "line": {"width": edge}},
        "hovertemplate": f"<b>Task %{{customdata[1]}}</b><br>{value}%{{customdata[2]}}"
        "<extra></extra>",
        **opens_tasks([p.task_id, p.number, _what(p)] for p in points),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _what(point: Point) -> str:
    if point.failure_class:
        return f"failed: {FailureClass(point.failure_class).label}"
    device = escape(point.device)
    if point.val_bpb is None:
        return f"no value: the loss diverged, or not one training step fitted<br>{device}"
    return f"simulated, not ranked<br>{device}" if point.simulated else device


def _value_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the y range: the values with room around them, and never narrower than 0.2."""
    low, high = (min(values), max(values)) if values else (1.0, 4.0)
    room = max(0.1, 0.15 * (high - low))
    # More above: the ticks of failed tasks stand there.
    return low - room, high + 1.4 * room


def _level_line(value: float) -> Figure:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "layer": "below",
        "line": {"color": SOFT, "width": 1, "dash": "dot"},
    }


def _level_label(name: str, value: float, *, below: bool) -> Figure:
    """Label a level above its line, or below it where the chart ends above."""
    return {
        "text": f"{name} {value:.2f}",
        "xref": "paper",
        "x": 0,
        "y": value,
        "xanchor": "left",
        "yanchor": "top" if below else "bottom",
        "showarrow": False,
        "font": {"size": 11, "color": SOFT},
    }
