"""The charts of the pages as Plotly figures: data and layout, without colours of their own.

A figure is plain JSON. Where a colour belongs stands the name of a CSS variable, which
``charts.js`` resolves, so every chart follows the page into the dark. Hover texts are escaped
here: Plotly reads a few HTML tags in them, and names come from people and scripts.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from django.urls import reverse

from campaigns.leaderboard import Point
from campaigns.models import Attempt, FailureClass, ProgressPoint
from campaigns.templatetags.xeenet import DAY, HOUR, MINUTE, bpb, duration

Figure = dict[str, Any]

MEASURED: Final = "var(--accent)"
FAILED: Final = "var(--failed)"
SIMULATED: Final = "var(--simulated)"
SOFT: Final = "var(--text-soft)"
# From this many dots on, Plotly draws with WebGL: SVG slows the page down.
MANY_POINTS: Final = 3000
NATS_PER_BIT: Final = math.log(2)


def best_so_far(
    points: Sequence[Point],
    *,
    since: dt.datetime | None,
    by_time: bool,
    anchors: Mapping[str, float],
) -> Figure | None:
    """Draw every ended task and the best value so far; None while nothing has ended.

    The x axis is the time since `since` (the launch) or the order in which tasks ended. Measured
    results are dots, simulated ones open diamonds, tasks without a value ticks at the top.
    `anchors` are thin labelled lines, drawn where they are near the data.
    """
    if not points or since is None:
        return None
    unit_seconds, unit = _time_unit((points[-1].finished_at - since).total_seconds())
    at: dict[int, float] = {
        point.task_id: round((point.finished_at - since).total_seconds() / unit_seconds, 3)
        if by_time
        else order
        for order, point in enumerate(points, start=1)
    }
    measured = [p for p in points if p.is_ranked]
    simulated = [p for p in points if p.simulated and p.val_bpb is not None]
    without_value = [p for p in points if p.val_bpb is None]
    data = [
        _best_line(measured, at, end=max(at.values())),
        _dots(measured, at),
        _marks(simulated, at, SIMULATED, "diamond-open", y=[p.val_bpb for p in simulated]),
        # On the second y axis, whose top is the top of the chart whatever the values are.
        _marks(without_value, at, FAILED, "line-ns-open", y=[0.97] * len(without_value))
        | {"yaxis": "y2"},
    ]
    values = [p.val_bpb for p in (*measured, *simulated) if p.val_bpb is not None]
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
            "annotations": [_level_label(name, value) for name, value in near.items()],
        },
    }


def _time_unit(seconds: float) -> tuple[int, str]:
    """Return the unit in which a span of time makes short numbers, and its name."""
    if seconds < 3 * MINUTE:
        return 1, "Seconds"
    if seconds < 3 * HOUR:
        return MINUTE, "Minutes"
    return (HOUR, "Hours") if seconds < 3 * DAY else (DAY, "Days")


def _best_line(measured: Sequence[Point], at: Mapping[int, float], end: float) -> Figure:
    # Its own last value once more, so that the line reaches the newest task.
    best = [p.best_so_far for p in measured]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*(at[p.task_id] for p in measured), end] if measured else [],
        "y": [*best, *best[-1:]],
        "line": {"shape": "hv", "width": 2, "color": MEASURED},
        "hoverinfo": "skip",
    }


def _dots(measured: Sequence[Point], at: Mapping[int, float]) -> Figure:
    records = [p.val_bpb == p.best_so_far for p in measured]
    return _marks(measured, at, MEASURED, "circle", y=[p.val_bpb for p in measured]) | {
        "marker": {
            "color": MEASURED,
            "size": [8 if record else 6 for record in records],
            "opacity": [1 if record else 0.6 for record in records],
            # A list of sizes makes Plotly outline the dots in white.
            "line": {"width": 0},
        }
    }


def _marks(
    points: Sequence[Point],
    at: Mapping[int, float],
    colour: str,
    symbol: str,
    y: Sequence[float | None],
) -> Figure:
    return {
        "type": "scattergl" if len(points) > MANY_POINTS else "scatter",
        "mode": "markers",
        "x": [at[p.task_id] for p in points],
        "y": list(y),
        "marker": {"color": colour, "symbol": symbol, "size": 8, "line": {"width": 2}},
        "customdata": [
            {"text": _hover(p), "url": reverse("task", args=[p.task_id])} for p in points
        ],
        "hovertemplate": "%{customdata.text}<extra></extra>",
    }


def _hover(point: Point) -> str:
    if point.failure_class:
        what = f"failed: {FailureClass(point.failure_class).label}"
    elif point.val_bpb is None:
        what = "no value: the loss diverged, or not one training step fitted"
    else:
        what = f"{point.val_bpb:.4f} bits/byte"
    if point.simulated:
        what += " (simulated, not ranked)"
    device = f"<br>{escape(point.device)}" if point.device else ""
    return f"<b>Task {point.number}</b><br>{what}{device}"


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


def _level_label(name: str, value: float) -> Figure:
    return {
        "text": f"{name} {value:.2f}",
        "xref": "paper",
        "x": 0,
        "y": value,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 11, "color": SOFT},
    }


def learning_curve(attempts: Iterable[Attempt]) -> Figure | None:
    """Draw what the attempts reported while training; None with fewer than two points.

    `attempts` come newest first with their progress loaded. The newest is drawn in full, older
    ones pale. The training loss is converted from nats to bits per byte, to share the axis.
    """
    data: list[Figure] = []
    annotations: list[Figure] = []
    for attempt in attempts:
        points = list(attempt.progress.all())
        newest = not data
        val = [(p.elapsed_seconds, p.val_bpb, p) for p in points if p.val_bpb is not None]
        train = [
            (p.elapsed_seconds, p.train_loss / NATS_PER_BIT, p)
            for p in points
            if p.train_loss is not None
        ]
        for label, series, colour in (("training", train, SOFT), ("validation", val, MEASURED)):
            if len(series) < 2:
                continue
            data.append(_curve(series, label, colour, attempt.number, opacity=1 if newest else 0.3))
            if newest:
                annotations.append(_end_label(label, colour, series[-1][0], series[-1][1]))
    if not data:
        return None
    return {
        "data": data,
        "layout": {
            "xaxis": {
                "title": {"text": "Seconds since the script started"},
                "rangemode": "tozero",
                "showgrid": False,
            },
            "yaxis": {"title": {"text": "bits/byte"}, "tickformat": ".2f", "nticks": 7},
            "annotations": annotations,
            "margin": {"r": 80},
        },
    }


def _curve(
    series: Sequence[tuple[float, float, ProgressPoint]],
    label: str,
    colour: str,
    attempt: int,
    opacity: float,
) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [x for x, _, _ in series],
        "y": [y for _, y, _ in series],
        "line": {"color": colour, "width": 2 if label == "validation" else 1},
        "marker": {"color": colour, "size": 5 if label == "validation" else 3},
        "opacity": opacity,
        "customdata": [
            {
                "text": f"<b>{label} {bpb(y)}</b><br>step {p.step}, {duration(x)}"
                f"<br>attempt {attempt}"
            }
            for x, y, p in series
        ],
        "hovertemplate": "%{customdata.text}<extra></extra>",
    }


def _end_label(label: str, colour: str, x: float, y: float) -> Figure:
    return {
        "text": label,
        "x": x,
        "y": y,
        "xanchor": "left",
        "xshift": 6,
        "showarrow": False,
        "font": {"color": colour, "size": 12},
    }
