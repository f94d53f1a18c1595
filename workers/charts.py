"""The chart of a worker's speed, as a Plotly figure; charts.js resolves its colour variables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from workers.fleet import Speed

# The values that ?speed= accepts -> attribute of `Speed`, label, unit.
MEASURES: Final[dict[str, tuple[str, str, str]]] = {
    "tokens": ("tokens_per_second", "tokens", "tokens/s"),
    "steps": ("steps_per_second", "steps", "steps/s"),
    "compute": ("gflops", "compute", "GFLOP/s"),
}
# The axis is logarithmic when the largest value is more than this many times the smallest.
_LINEAR_UP_TO: Final = 10.0


def median_speed(speeds: Sequence[Speed], measure: str) -> float | None:
    """Return the median of a measure of `MEASURES`, None without speeds."""
    attribute = MEASURES[measure][0]
    return statistics.median(getattr(speed, attribute) for speed in speeds) if speeds else None


def speed_over_time(speeds: Sequence[Speed], measure: str) -> dict[str, Any] | None:
    """Draw one dot per attempt and the median as a line; None with fewer than two attempts."""
    attribute, _, unit = MEASURES[measure]
    values = [getattr(speed, attribute) for speed in speeds]
    if len(values) < 2:
        return None
    median = statistics.median(values)
    logarithmic = min(values) > 0 and max(values) > _LINEAR_UP_TO * min(values)
    times = [speed.started_at.isoformat() for speed in speeds]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": [times[0], times[-1]],
                "y": [median, median],
                "line": {"color": "var(--text-soft)", "width": 1, "dash": "dot"},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": times,
                "y": [float(f"{value:.4g}") for value in values],
                "marker": {"color": "var(--accent)", "size": 7, "opacity": 0.7},
                # As in campaigns/charts/figures.py: what the chart's address needs to open the task
                # of a point, then its hover text. Plotly interprets some HTML tags in it, and
                # people choose names.
                "customdata": [
                    [
                        f"{speed.campaign_id}/tasks/{speed.number}",
                        f"<b>{value:,.4g} {unit}</b><br>{speed.task} {escape(speed.campaign)}",
                    ]
                    for speed, value in zip(speeds, values, strict=True)
                ],
                "meta": {"opens": True},
                "hovertemplate": "%{customdata[1]}<extra></extra>",
            },
        ],
        "layout": {
            "xaxis": {"title": {"text": "Attempt started (UTC)"}, "showgrid": False, "nticks": 8},
            "yaxis": {
                "title": {"text": unit},
                "type": "log" if logarithmic else "linear",
                "rangemode": "tozero",
                "nticks": 6,
                # Label only 1, 2 and 5 of each power of ten: all nine digits would overlap.
                **({"dtick": "D2"} if logarithmic else {}),
            },
        },
    }
