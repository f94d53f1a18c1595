"""The best-so-far chart of a campaign: its ended tasks, and the best value at each time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from campaigns.charts.figures import (
    FAILED,
    MEASURED,
    SIMULATED,
    SOFT,
    Figure,
    opens_tasks,
    value_hover,
    value_ticks,
    value_title,
)
from campaigns.charts.points import ChartPoints, Point
from campaigns.models import FailureClass
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import DAY, HOUR, MINUTE

NEAR_TOP: Final = 0.97


def best_so_far(
    chart_points: ChartPoints,
    spec: MetricSpec,
    *,
    since: dt.datetime | None,
    by_time: bool,
    anchors: Mapping[str, float],
) -> Figure | None:
    """Draw the ended tasks and the best value so far; None while nothing has ended.

    Values are of the metric `spec`.

    The x axis is the time since `since` (the launch) or the order in which tasks ended. Measured
    results are dots, simulated ones open diamonds, tasks without a value that counts ticks at the
    top.
    `anchors` are thin labelled lines, drawn where they are near the data.

    `customdata` of the marks, one list per task: [task number, HTML of what became of it].
    The line of the best has none.
    """
    points = chart_points.points
    if not points or since is None:
        return None
    unit_seconds, unit = _time_unit((points[-1].finished_at - since).total_seconds())

    def at(point: Point) -> float:
        seconds = (point.finished_at - since).total_seconds()
        return round(seconds / unit_seconds, 3) if by_time else point.order

    records = [point for point in points if point.is_record]
    ranked = [point for point in points if point.is_ranked and not point.is_record]
    simulated = [point for point in points if point.simulated and point.value is not None]
    without_value = [point for point in points if point.value is None]
    data = [
        _best_line(records, spec, at, end=at(points[-1])),
        _marks(ranked, spec, at, MEASURED, "circle") | {"opacity": 0.6},
        _marks(records, spec, at, MEASURED, "circle", size=8),
        _marks(simulated, spec, at, SIMULATED, "diamond-open", size=8),
        # A second y axis keeps these ticks at the top of the chart, whatever the values are.
        _marks(without_value, spec, at, FAILED, "line-ns-open", size=8) | {"yaxis": "y2"},
    ]
    values = [point.value for point in points if point.value is not None]
    low, high = _value_range(values, spec)
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
                "title": {"text": value_title(spec)},
                "range": [low, high],
                "tickformat": value_ticks(spec),
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
    """Return the seconds of a unit in which the span of time is a short number, and its name."""
    if seconds < 3 * MINUTE:
        return 1, "Seconds"
    if seconds < 3 * HOUR:
        return MINUTE, "Minutes"
    return (HOUR, "Hours") if seconds < 3 * DAY else (DAY, "Days")


def _best_line(
    records: Sequence[Point], spec: MetricSpec, at: Callable[[Point], float], end: float
) -> Figure:
    # Repeat the last value, so that the line reaches the newest task.
    best = [_short(point.value, spec) for point in records]
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
    spec: MetricSpec,
    at: Callable[[Point], float],
    colour: str,
    symbol: str,
    size: int = 6,
) -> Figure:
    """Draw points as marks that open their task. Points without a value go to the top of y2.

    Keep this short: thousands of points are sent at each refresh.
    """
    with_value = bool(points) and points[0].value is not None
    value = f"{value_hover(spec)}<br>" if with_value else ""
    # Rings and ticks consist of their edge. A dot must have none, otherwise Plotly outlines it in
    # white.
    edge = 2 if symbol.endswith("-open") else 0
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [at(point) for point in points],
        "y": [_short(point.value, spec) if with_value else NEAR_TOP for point in points],
        "marker": {"color": colour, "symbol": symbol, "size": size, "line": {"width": edge}},
        "hovertemplate": f"<b>Task %{{customdata[0]}}</b><br>{value}%{{customdata[1]}}"
        "<extra></extra>",
        **opens_tasks([point.number, _outcome(point)] for point in points),
    }


def _short(value: float | None, spec: MetricSpec) -> float | None:
    return None if value is None else round(value, spec.decimals)


def _outcome(point: Point) -> str:
    if point.failure_class:
        return f"failed: {FailureClass(point.failure_class).label}"
    device = escape(point.device)
    if point.implausible:
        return f"implausible, not counted<br>{device}"
    if point.value is None:
        return f"no value: the loss diverged, or the budget was too small<br>{device}"
    return f"simulated, not ranked<br>{device}" if point.simulated else device


def _value_range(values: Sequence[float], spec: MetricSpec) -> tuple[float, float]:
    """Return the y range: the values with room around them, at least 2,000 of the last decimal."""
    low, high = (min(values), max(values)) if values else spec.usual
    room = max(1000 * spec.resolution, 0.15 * (high - low))
    # More room above, for the ticks of failed tasks.
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
    """Label a level above its line, or below it if the line is close to the top of the chart."""
    return {
        "text": f"{name} {value:.2f}",
        "xref": "paper",
        "x": 0,
        "y": value,
        "xanchor": "left",
        "yanchor": "top" if below else "bottom",
        "showarrow": False,
        "font": {"size": 12, "color": SOFT},
    }
