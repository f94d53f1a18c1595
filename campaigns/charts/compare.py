"""The chart of a comparison: one curve per column, told apart by colour, dash and letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from campaigns.analysis.comparison import LETTERS, CampaignColumn, TaskColumn
from campaigns.charts.figures import Figure
from xeenet_site.web.formats import HOUR

_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")
_CHART_PIXELS: Final = 260
_LABEL_PIXELS: Final = 16
# Labels nearer to each other than this share of the x axis may overlap.
_NEAR_SHARE: Final = 0.05

# What ?x= may ask for: words, axis title.
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
    """One column's curve; `end` is a value beyond it: the result of a task."""

    letter: str
    name: str
    x: Sequence[float]
    y: Sequence[float]
    end: tuple[float, float] | None = None


def task_series(columns: Sequence[TaskColumn], axis: str) -> list[Series]:
    """Return the validation curves over an axis of `TASK_AXES`, of the columns that have one."""
    series = []
    for column in columns:
        progress = column.attempt.progress.all() if column.attempt else []
        points = [
            (x, point.val_bpb)
            for point in progress
            if point.val_bpb is not None and (x := _place(point, axis)) is not None
        ]
        result = column.result
        end = None
        if result is not None and result.val_bpb is not None:
            at = {
                "seconds": result.wall_time_seconds,
                "steps": float(result.steps_completed),
                "tokens": float(result.tokens_trained),
            }[axis]
            end = (at, result.val_bpb)
        if points or end:
            name = f"Task {column.task.number}"
            places, values = [place for place, _ in points], [value for _, value in points]
            series.append(Series(column.letter, name, places, values, end))
    return series


def _place(point: Any, axis: str) -> float | None:
    attribute = {"seconds": "elapsed_seconds", "steps": "step", "tokens": "tokens"}[axis]
    place: float | None = getattr(point, attribute)
    return place


def campaign_series(columns: Sequence[CampaignColumn], axis: str) -> list[Series]:
    """Return best-so-far curves over an axis of `CAMPAIGN_AXES`."""
    series = []
    for column in columns:
        found = column.digest
        since = column.campaign.launched_at
        if not found.records or since is None or found.last_at is None:
            continue
        x = [
            float(one.order) if axis == "results" else (one.at - since).total_seconds() / HOUR
            for one in found.records
        ]
        last = (
            float(found.measured)
            if axis == "results"
            else (found.last_at - since).total_seconds() / HOUR
        )
        # The last value once more: the line reaches the newest result.
        y = [one.val_bpb for one in found.records]
        series.append(Series(column.letter, column.campaign.name, [*x, last], [*y, y[-1]]))
    return series


def comparison_figure(series: Sequence[Series], *, x_title: str, steps: bool) -> Figure | None:
    """Draw the curves, as step lines if `steps`; None without any point.

    No trace has `customdata`: the hover texts are made of the letter, the name, x and y.
    """
    if not series:
        return None
    values = [y for one in series for y in (*one.y, *([one.end[1]] if one.end else []))]
    room = max(0.02, 0.08 * (max(values) - min(values)))
    low, high = min(values) - room, max(values) + room
    data: list[Figure] = []
    for one in series:
        number = LETTERS.index(one.letter)
        colour = f"var(--series-{number + 1})"
        hover = f"<b>{one.letter}: {escape(one.name)}</b><br>%{{y:.4f}} bits/byte at %{{x:.4~g}}"
        line = {"color": colour, "width": 2, "dash": _DASHES[number]}
        if steps:
            line["shape"] = "hv"
        if one.x:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": [round(x, 4) for x in one.x],
                    "y": [round(y, 5) for y in one.y],
                    "line": line,
                    "marker": {"color": colour, "size": 4},
                    "hovertemplate": f"{hover}<extra></extra>",
                }
            )
        if one.end:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": [round(one.end[0], 4)],
                    "y": [round(one.end[1], 5)],
                    "marker": {"color": colour, "size": 9, "symbol": "diamond"},
                    "hovertemplate": f"{hover}, the result<extra></extra>",
                }
            )
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": x_title}, "rangemode": "tozero", "showgrid": False},
            "yaxis": {
                "title": {"text": "val_bpb (bits/byte)"},
                "range": [low, high],
                "tickformat": ".2f",
                "nticks": 7,
            },
            "annotations": _labels(series, low, high),
            "margin": {"r": 40},
        },
    }


def _labels(series: Sequence[Series], low: float, high: float) -> list[Figure]:
    """Write each letter at the end of its curve, moved apart where they would overlap."""
    ends = sorted(
        ((one.end or (one.x[-1], one.y[-1]), one) for one in series), key=lambda end: end[0][1]
    )
    gap = (high - low) * _LABEL_PIXELS / _CHART_PIXELS
    near = max(x for (x, _), _ in ends) * _NEAR_SHARE
    placed: list[tuple[float, float]] = []
    labels = []
    for (x, y), one in ends:
        # From below upwards, so only what is placed already may be in the way.
        beside = [other_y for other_x, other_y in placed if abs(other_x - x) <= near]
        place = max([y, *(other_y + gap for other_y in beside)])
        placed.append((x, place))
        labels.append(
            {
                "text": f"<b>{one.letter}</b>",
                "x": round(x, 4),
                "y": round(place, 5),
                "xanchor": "left",
                "xshift": 8,
                "showarrow": False,
                "font": {"color": f"var(--series-{LETTERS.index(one.letter) + 1})", "size": 13},
            }
        )
    return labels
