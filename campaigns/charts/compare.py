"""The chart of a comparison: one curve per column, with its own colour, dash and letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from campaigns.analysis.comparison import LETTERS, CampaignColumn, TaskColumn
from campaigns.charts.figures import Figure, value_hover, value_ticks, value_title
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import HOUR

_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")
_CHART_PIXELS: Final = 260
_LABEL_PIXELS: Final = 16
# Labels may overlap if they are closer than this share of the x axis.
_NEAR_SHARE: Final = 0.05

# Value of ?x= -> its name in the switch, and the title of the axis.
TASK_AXES: Final = {
    "seconds": ("time", "Seconds since the script started"),
    "steps": ("steps", "Training steps"),
    "tokens": ("tokens", "Tokens trained"),
}
CAMPAIGN_AXES: Final = {
    "results": ("results", "Measured results"),
    "hours": ("time", "Hours since launch"),
}


@dataclass(frozen=True)
class Series:
    """The curve of one column. `end` is the (x, y) of the task's result, drawn as a mark."""

    letter: str
    name: str
    x: Sequence[float]
    y: Sequence[float]
    end: tuple[float, float] | None = None


def task_series(columns: Sequence[TaskColumn], axis: str) -> list[Series]:
    """Return the validation curves over an axis of `TASK_AXES`, for the columns that have one."""
    series = []
    for column in columns:
        progress = column.attempt.progress.all() if column.attempt else []
        points = [
            (x, point.value)
            for point in progress
            if point.value is not None and (x := _x_of(point, axis)) is not None
        ]
        result = column.result
        end = None
        if result is not None and result.value is not None:
            end_x = {
                "seconds": result.wall_time_seconds,
                "steps": float(result.steps_completed),
                "tokens": float(result.tokens_trained),
            }[axis]
            end = (end_x, result.value)
        if points or end:
            name = f"Task {column.task.name}"
            xs, ys = [x for x, _ in points], [y for _, y in points]
            series.append(Series(column.letter, name, xs, ys, end))
    return series


def _x_of(point: Any, axis: str) -> float | None:
    attribute = {"seconds": "elapsed_seconds", "steps": "step", "tokens": "tokens"}[axis]
    x: float | None = getattr(point, attribute)
    return x


def campaign_series(columns: Sequence[CampaignColumn], axis: str) -> list[Series]:
    """Return best-so-far curves over an axis of `CAMPAIGN_AXES`.

    Campaigns without a measured result are left out.
    """
    series = []
    for column in columns:
        digest = column.digest
        since = column.campaign.launched_at
        if not digest.records or since is None or digest.last_at is None:
            continue
        if axis == "results":
            xs = [float(record.order) for record in digest.records]
            last_x = float(digest.measured)
        else:
            xs = [(record.at - since).total_seconds() / HOUR for record in digest.records]
            last_x = (digest.last_at - since).total_seconds() / HOUR
        # Repeat the last value, so that the line reaches the newest result.
        ys = [record.value for record in digest.records]
        series.append(Series(column.letter, column.campaign.name, [*xs, last_x], [*ys, ys[-1]]))
    return series


def comparison_figure(
    series: Sequence[Series], spec: MetricSpec | None, *, x_title: str, steps: bool
) -> Figure | None:
    """Draw the curves, as step lines if `steps`; None without any curve.

    `spec` is the metric of all curves; without a common one there is no axis for them, so None.

    No trace has `customdata`: the hover texts are made of the letter, the name, x and y.
    """
    # Results alone are two or three marks in a large empty chart; the table has them.
    if spec is None or not any(curve.x for curve in series):
        return None
    values = [y for curve in series for y in (*curve.y, *([curve.end[1]] if curve.end else []))]
    room = max(200 * spec.resolution, 0.08 * (max(values) - min(values)))
    low, high = min(values) - room, max(values) + room
    data: list[Figure] = []
    for curve in series:
        number = LETTERS.index(curve.letter)
        colour = f"var(--series-{number + 1})"
        name = f"<b>{curve.letter}: {escape(curve.name)}</b>"
        hover = f"{name}<br>{value_hover(spec)} at %{{x:.4~g}}"
        line = {"color": colour, "width": 2, "dash": _DASHES[number]}
        if steps:
            line["shape"] = "hv"
        if curve.x:
            data.append(
                {
                    "uid": curve.letter,
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": [round(x, 4) for x in curve.x],
                    "y": [round(y, 5) for y in curve.y],
                    "line": line,
                    "marker": {"color": colour, "size": 4},
                    "hovertemplate": f"{hover}<extra></extra>",
                }
            )
        if curve.end:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": [round(curve.end[0], 4)],
                    "y": [round(curve.end[1], 5)],
                    "marker": {"color": colour, "size": 9, "symbol": "diamond"},
                    "hovertemplate": f"{hover}, the result<extra></extra>",
                }
            )
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": x_title}, "rangemode": "tozero", "showgrid": False},
            "yaxis": {
                "title": {"text": value_title(spec)},
                "range": [low, high],
                "tickformat": value_ticks(spec),
                "nticks": 7,
            },
            "annotations": _labels(series, low, high),
            "margin": {"r": 40},
        },
    }


def _labels(series: Sequence[Series], low: float, high: float) -> list[Figure]:
    """Write each letter at the end of its curve. Letters that would overlap are moved apart."""
    ends = sorted(
        ((curve.end or (curve.x[-1], curve.y[-1]), curve.letter) for curve in series),
        key=lambda end: end[0][1],
    )
    gap = (high - low) * _LABEL_PIXELS / _CHART_PIXELS
    near = max(x for (x, _), _ in ends) * _NEAR_SHARE
    placed: list[tuple[float, float]] = []
    labels = []
    for (x, y), letter in ends:
        # The ends come in rising order, so only labels that are placed already can be in the way.
        neighbours = [label_y for label_x, label_y in placed if abs(label_x - x) <= near]
        free_y = max([y, *(label_y + gap for label_y in neighbours)])
        placed.append((x, free_y))
        labels.append(
            {
                "text": f"<b>{letter}</b>",
                "x": round(x, 4),
                "y": round(free_y, 5),
                "xanchor": "left",
                "xshift": 8,
                "showarrow": False,
                "font": {"color": f"var(--series-{LETTERS.index(letter) + 1})", "size": 12},
            }
        )
    return labels
