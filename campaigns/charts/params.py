"""Charts of results against params: importance, effects, slice, parallel coordinates, contour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from campaigns.analysis.axes import Axis, level_label
from campaigns.analysis.effects import Cell, Effect
from campaigns.analysis.importance import MIN_PER_LEVEL, Importance
from campaigns.analysis.runs import Run
from campaigns.analysis.surface import Surface
from campaigns.charts.figures import (
    GOLDEN_RATIO,
    MEASURED,
    PLASTIC_RATIO,
    SOFT,
    Figure,
    hover_texts,
    jitter,
    opens_tasks,
    value_hover,
    value_ticks,
    value_title,
)
from experiments.metrics import MetricSpec

MAX_LABEL: Final = 18
HEIGHT_OF_A_ROW: Final = 34
# From best to worst. Both ends have contrast with the background in the light and the dark theme.
VALUE_SCALE: Final = [[stop / 4, f"var(--scale-{stop})"] for stop in range(5)]


def importance_figure(importance: Importance) -> Figure:
    """Draw each parameter's share as a dot, the middle of resamples as a line, chance as a tick.

    `customdata` of dots and ticks, one list per parameter: [HTML of its hover text]. The lines have
    none.
    """
    rows = importance.parameters[::-1]
    names = [escape(row.name) for row in rows]
    ends: list[float | None] = []
    for row in rows:
        ends += [row.low, row.high, None]
    hover = hover_texts(
        f"<b>{escape(row.name)}</b> {row.share:.0%}"
        f"<br>{row.low:.0%} to {row.high:.0%} in 90 % of resamples"
        f"<br>chance alone reaches {row.by_chance:.0%}"
        for row in rows
    )
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": ends,
            "y": [name for name in names for _ in range(3)],
            "line": {"color": MEASURED, "width": 4},
            "opacity": 0.45,
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [row.by_chance for row in rows],
            "y": names,
            "marker": {"color": SOFT, "symbol": "line-ns-open", "size": 14, "line": {"width": 2}},
            **hover,
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [row.share for row in rows],
            "y": names,
            "marker": {"color": MEASURED, "size": 11},
            # Do not cut off half of a dot at 0, which lies on the axis.
            "cliponaxis": False,
            **hover,
        },
    ]
    xaxis = {"tickformat": ".0%", "rangemode": "tozero", "nticks": 6}
    return {
        "data": data,
        "layout": {
            "height": 56 + HEIGHT_OF_A_ROW * len(rows),
            "xaxis": {"title": {"text": "Share of the importance"}, **xaxis},
            "yaxis": {"type": "category", "showgrid": False, "range": [-0.6, len(rows) - 0.4]},
        },
    }


def effect_figure(effect: Effect, spec: MetricSpec, value_range: tuple[float, float]) -> Figure:
    """Draw the mean value per level or bin with its standard error, and how many runs each has.

    `customdata` of the means, one list per level or bin: [HTML of its hover text]. The counts have
    none.
    """
    cells = [cell for cell in effect.cells if cell.mean is not None]
    is_ordered = not any(isinstance(level, str | bool) for level in effect.axis.levels)
    enough = [cell.count >= MIN_PER_LEVEL for cell in cells]
    means = {
        "type": "scatter",
        "mode": "lines+markers" if is_ordered else "markers",
        "x": [cell.centre for cell in cells],
        "y": [cell.mean for cell in cells],
        "error_y": {
            "type": "data",
            "array": [cell.error for cell in cells],
            "color": MEASURED,
            "thickness": 1.5,
            "width": 4,
        },
        "line": {"color": MEASURED, "width": 1},
        "marker": {
            "color": MEASURED,
            "size": 9,
            "symbol": ["circle" if is_enough else "circle-open" for is_enough in enough],
        },
        **hover_texts(_effect_hover(effect.axis, spec, cell) for cell in cells),
    }
    counts = {
        "type": "scatter",
        "mode": "text",
        "x": [cell.centre for cell in cells],
        "y": [0.04] * len(cells),
        "yaxis": "y2",
        "text": [f"n {cell.count}" if len(cells) <= 4 else str(cell.count) for cell in cells],
        "textfont": {"color": SOFT, "size": 12},
        "hoverinfo": "skip",
    }
    return {
        "data": [means, counts],
        "layout": {
            "xaxis": _param_axis(effect.axis),
            "yaxis": {"range": list(value_range), "tickformat": value_ticks(spec), "nticks": 5},
            "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
            "margin": {"b": 32},
        },
    }


def _effect_hover(axis: Axis, spec: MetricSpec, cell: Cell) -> str:
    mean, median = spec.text(cell.mean or 0.0), spec.text(cell.median or 0.0)
    error = f" ± {spec.text(cell.error)} (s.e.)" if cell.error is not None else ""
    return (
        f"<b>{escape(axis.name)} {escape(cell.label)}</b><br>mean {mean}{error}"
        f"<br>median {median}, {cell.count} run{'s' if cell.count != 1 else ''}"
    )


def slice_figure(axis: Axis, spec: MetricSpec, runs: Sequence[Run]) -> Figure:
    """Draw every run's value against one parameter. Runs of the same level are spread sideways.

    `customdata`, one list per run: [task number].
    """
    placed = _placed(axis, runs)
    return {
        "data": [_dots([x for x, _ in placed], spec, [run for _, run in placed])],
        "layout": {
            "meta": {"zooms": True},
            "xaxis": _param_axis(axis) | {"title": {"text": escape(axis.name)}},
            "yaxis": _value_axis(spec, nticks=7),
        },
    }


def dots_against(xs: Sequence[float], spec: MetricSpec, runs: Sequence[Run], title: str) -> Figure:
    """Draw every run's value against a quantity, on a log scale where that spans a factor of 5.

    `customdata`, one list per run: [task number].
    """
    is_wide = min(xs) > 0 and max(xs) / min(xs) > 5
    xaxis: dict[str, Any] = {"title": {"text": title}, "nticks": 6, "tickformat": "~s"}
    if is_wide:
        xaxis |= {"type": "log", "dtick": "D2" if max(xs) / min(xs) < 50 else 1}
    return {
        "data": [_dots(xs, spec, runs)],
        "layout": {
            "meta": {"zooms": True},
            "xaxis": xaxis,
            "yaxis": _value_axis(spec, nticks=6),
        },
    }


def _value_axis(spec: MetricSpec, *, nticks: int) -> dict[str, Any]:
    ticks = value_ticks(spec)
    return {"title": {"text": value_title(spec)}, "tickformat": ticks, "nticks": nticks}


def _dots(xs: Sequence[float], spec: MetricSpec, runs: Sequence[Run]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_short(x) for x in xs],
        "y": [_short(run.value) for run in runs],
        "marker": {"color": MEASURED, "size": 7, "opacity": 0.55, "line": {"width": 0}},
        **opens_tasks([run.number] for run in runs),
        "hovertemplate": f"<b>Task %{{customdata[0]}}</b><br>{value_hover(spec)}<extra></extra>",
    }


def _placed(axis: Axis, runs: Sequence[Run]) -> list[tuple[float, Run]]:
    """Return positions with their runs. Runs of the same level are spread by their number."""
    placed = []
    for run in runs:
        position = axis.position(run.params.get(axis.name))
        if position is not None:
            placed.append((position + _offset(axis, run), run))
    return placed


def parallel_figure(axes: Sequence[Axis], spec: MetricSpec, runs: Sequence[Run]) -> Figure:
    """Draw each run as a line through its params to its value, the best drawn last.

    There is no `customdata`: Plotly shows no hover text on parallel coordinates.
    """
    drawn = sorted(
        (
            run
            for run in runs
            if all(axis.position(run.params.get(axis.name)) is not None for axis in axes)
        ),
        key=lambda run: -run.sort_key,
    )
    values = [_short(run.value) for run in drawn]
    dimensions = [_dimension(axis, drawn) for axis in axes]
    ticks = value_ticks(spec, fewer=1)
    dimensions.append({"label": spec.name, "values": values, "tickformat": ticks})
    text = {"color": "var(--text)", "size": 12}
    return {
        "data": [
            {
                "type": "parcoords",
                "dimensions": dimensions,
                "line": {"color": values, **_value_colours(spec)},
                "labelfont": text,
                "tickfont": text,
                "rangefont": {"color": SOFT, "size": 1},
                "unselected": {"line": {"color": "var(--line)", "opacity": 0.3}},
            }
        ],
        "layout": {"margin": {"l": 56, "r": 56, "t": 40, "b": 16}},
    }


def _value_colours(spec: MetricSpec) -> dict[str, Any]:
    """Return the colours of values, which run from the best to the worst."""
    return {"colorscale": VALUE_SCALE, "reversescale": spec.is_maximised}


def _dimension(axis: Axis, runs: Sequence[Run]) -> Figure:
    positions = [axis.position(run.params[axis.name]) or 0.0 for run in runs]
    label = _shortened(axis.name)
    if axis.levels:
        ticks = {
            "tickvals": list(range(len(axis.levels))),
            "ticktext": [_shortened(level_label(level)) for level in axis.levels],
        }
        # Spread lines of the same level slightly, otherwise they overlap.
        spread = [
            round(position + 0.6 * _offset(axis, run), 3)
            for position, run in zip(positions, runs, strict=True)
        ]
        return {"label": label, "values": spread, "range": [-0.2, len(axis.levels) - 0.8], **ticks}
    if not axis.log:
        return {"label": label, "values": positions, "range": [axis.low, axis.high]}
    ends = [math.log10(axis.low), math.log10(axis.high)]
    marks = [axis.low, *_powers_of_ten(axis.low, axis.high), axis.high]
    return {
        "label": label,
        "values": [_short(math.log10(position)) for position in positions],
        "range": ends,
        "tickvals": [math.log10(mark) for mark in marks],
        "ticktext": [f"{mark:g}" for mark in marks],
    }


def _powers_of_ten(low: float, high: float) -> list[float]:
    """Return the powers of ten between two numbers, without those close to either number."""
    powers = range(math.ceil(math.log10(low) + 0.15), math.floor(math.log10(high) - 0.15) + 1)
    return [10.0**power for power in powers]


def surface_figure(
    surface: Surface, spec: MetricSpec, points: Sequence[tuple[float, float, Run]]
) -> Figure:
    """Draw the mean value over two params, and runs as dots.

    Two ranges get contours; levels get cells. `points` are the runs to draw, as (x, y, run).

    `customdata` of the dots, one list per run: [task id, task number]. The surface has none.
    """
    x_axis, y_axis = surface.x_axis, surface.y_axis
    both_ranges = not x_axis.levels and not y_axis.levels
    means = [[None if mean is None else _short(mean) for mean in row] for row in surface.means]
    field: Figure = {
        "type": "contour" if both_ranges else "heatmap",
        "x": surface.xs,
        "y": surface.ys,
        "z": means,
        **_value_colours(spec),
        "colorbar": {
            "title": {"text": spec.name, "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickformat": value_ticks(spec),
            "nticks": 6,
            "tickfont": {"color": SOFT, "size": 12},
        },
        "hovertemplate": f"mean {value_hover(spec, 'z')}<extra></extra>",
    }
    if both_ranges:
        field |= {"ncontours": 12, "line": {"width": 0.5, "color": SOFT}, "connectgaps": False}
    else:
        field |= {"xgap": 2, "ygap": 2}
    placed = [
        (x + _offset(x_axis, run), y + _offset(y_axis, run, PLASTIC_RATIO), run)
        for x, y, run in points
    ]
    dots = _dots([x for x, _, _ in placed], spec, [run for _, _, run in placed]) | {
        "y": [_short(y) for _, y, _ in placed],
        "marker": {
            "color": "var(--surface)",
            "size": 6,
            "line": {"width": 1, "color": "var(--text)"},
        },
        "hovertemplate": f"<b>Task %{{customdata[1]}}</b><br>%{{text}} {spec.unit}<extra></extra>",
        "text": [spec.text(run.value) for _, _, run in placed],
    }
    return {
        "data": [field, dots],
        "layout": {
            "xaxis": _param_axis(x_axis)
            | {"title": {"text": escape(x_axis.name)}, "showgrid": False},
            "yaxis": _param_axis(y_axis)
            | {"title": {"text": escape(y_axis.name)}, "showgrid": False},
        },
    }


def _offset(axis: Axis, run: Run, ratio: float = GOLDEN_RATIO) -> float:
    return jitter(run.number, ratio) if axis.levels else 0.0


def _param_axis(axis: Axis) -> dict[str, Any]:
    if axis.levels:
        return {
            "tickvals": list(range(len(axis.levels))),
            "ticktext": [_shortened(level_label(level)) for level in axis.levels],
            "range": [-0.5, len(axis.levels) - 0.5],
            "showgrid": False,
        }
    if axis.log:
        low, high = math.log10(axis.low), math.log10(axis.high)
        room = 0.03 * (high - low)
        marks = _log_marks(axis.low, axis.high)
        return {
            "type": "log",
            "range": [low - room, high + room],
            "tickvals": marks,
            "ticktext": [f"{mark:g}" for mark in marks],
            "showgrid": False,
        }
    room = 0.03 * (axis.high - axis.low)
    return {"range": [axis.low - room, axis.high + room], "nticks": 6, "showgrid": False}


def _log_marks(low: float, high: float) -> list[float]:
    """Return ticks for a logarithmic axis: powers of ten, and also 3, 30, … on a short axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 3) if last - first <= 3 else (1,)
    marks = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    return [mark for mark in marks if low <= mark <= high] or [low, high]


def _shortened(text: str) -> str:
    return escape(text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…")


def _short(number: float) -> float:
    """Return the number with 6 digits: a chart shows no more, and the figure stays small."""
    return float(f"{number:.6g}")
