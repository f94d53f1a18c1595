"""Charts of runs and attempts: distribution, repeats, timeline, endings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from campaigns.analysis.attempts import Ending, Span
from campaigns.analysis.distribution import Replicates
from campaigns.charts.figures import (
    FAILED,
    MEASURED,
    SIMULATED,
    SOFT,
    Figure,
    hover_texts,
    opens_tasks,
    value_hover,
    value_ticks,
    value_title,
)
from campaigns.charts.params import HEIGHT_OF_A_ROW
from campaigns.models import AttemptOutcome, FailureClass
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import duration

# Colour and dash of the lines, one per device. The dash helps readers who do not see the colours.
_LINES: Final = (
    (MEASURED, "solid"),
    ("var(--late)", "dash"),
    ("var(--completed)", "dot"),
    (SIMULATED, "dashdot"),
)
MAX_DEVICES: Final = len(_LINES)
OUTCOME_COLOURS: Final = {
    AttemptOutcome.COMPLETED: "var(--completed)",
    AttemptOutcome.RUNNING: "var(--running)",
    AttemptOutcome.DIVERGED: FAILED,
    AttemptOutcome.FAILED: FAILED,
    AttemptOutcome.LOST: "var(--late)",
    AttemptOutcome.LATE: "var(--late)",
    AttemptOutcome.RELEASED: "var(--late)",
    AttemptOutcome.CANCELLED: "var(--pending)",
}
_COLOURS_BY_WORD: Final[dict[str, str]] = {
    str(outcome): colour for outcome, colour in OUTCOME_COLOURS.items()
}
# Outcomes that share a colour differ by the hatching of their bars.
_HATCHES: Final = {
    AttemptOutcome.DIVERGED: "/",
    AttemptOutcome.LATE: "/",
    AttemptOutcome.RELEASED: "x",
}


def distribution_figure(
    curves: Mapping[str, Sequence[tuple[float, float]]], spec: MetricSpec
) -> Figure:
    """Draw the share of runs that are at least as good as each value, a labelled line per device.

    A curve has pairs of a value and a share, the best value first.
    No trace has `customdata`: the hover texts are made of x and y.
    """
    data, annotations = [], []
    for number, (device, curve) in enumerate(curves.items()):
        colour, dash = _LINES[number]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [round(value, 5) for value, _ in curve],
                "y": [round(share, 4) for _, share in curve],
                "line": {"shape": "hv", "color": colour, "dash": dash, "width": 2},
                "hovertemplate": f"%{{y:.1%}} of runs are at or {spec.side} "
                f"%{{x:.{spec.decimals}f}}<extra></extra>",
            }
        )
        if len(curves) > 1:
            # Place the label lower for each further line, otherwise labels of close lines overlap.
            value, share = curve[int((len(curve) - 1) * (0.9 - 0.2 * number))]
            annotations.append(
                {
                    "text": escape(device),
                    "x": value,
                    "y": share,
                    # To the right of the line there is room: below a rising one, above a falling.
                    "xanchor": "left",
                    "yanchor": "bottom" if spec.is_maximised else "top",
                    "bgcolor": "var(--surface)",
                    "showarrow": False,
                    "font": {"color": colour, "size": 12},
                }
            )
    return {
        "data": data,
        "layout": {
            "xaxis": {
                "title": {"text": value_title(spec)},
                "tickformat": value_ticks(spec),
                "nticks": 7,
            },
            "yaxis": {
                "title": {"text": "Share of runs"},
                "tickformat": ".0%",
                "range": [0, 1.03],
                "nticks": 6,
            },
            "annotations": annotations,
        },
    }


def replicates_figure(groups: Sequence[Replicates], spec: MetricSpec) -> Figure:
    """Draw each repeated config: a dot per seed, with mean ± standard deviation beside them.

    `customdata` of the seeds, one list per run: [task number]. `customdata` of the means, one list
    per config: [HTML of its hover text].
    """
    places = list(range(1, len(groups) + 1))
    means = {
        "type": "scatter",
        "mode": "markers",
        "x": places,
        "y": [group.mean for group in groups],
        "error_y": {
            "type": "data",
            "array": [group.deviation for group in groups],
            "color": MEASURED,
            "thickness": 1.5,
            "width": 5,
        },
        "marker": {"color": MEASURED, "size": 9},
        **hover_texts(
            f"<b>Config {place}</b><br>{_mean_text(group, spec)}"
            for place, group in zip(places, groups, strict=True)
        ),
    }
    dots = [
        (place + 0.22, value, task)
        for place, group in zip(places, groups, strict=True)
        for value, task in zip(group.values, group.tasks, strict=True)
    ]
    seeds = {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _, _ in dots],
        "y": [value for _, value, _ in dots],
        "marker": {"color": SOFT, "size": 5, "opacity": 0.7},
        **opens_tasks([task] for _, _, task in dots),
        "hovertemplate": f"one seed: {value_hover(spec)}<extra></extra>",
    }
    return {
        "data": [seeds, means],
        "layout": {
            "xaxis": {
                "title": {"text": "Config, by its mean"},
                "tickformat": "d",
                "dtick": max(1, len(groups) // 12),
                "range": [0.5, len(groups) + 0.5],
                "showgrid": False,
            },
            "yaxis": {
                "title": {"text": value_title(spec)},
                "tickformat": value_ticks(spec, fewer=1),
                "nticks": 6,
            },
        },
    }


def _mean_text(group: Replicates, spec: MetricSpec) -> str:
    mean, deviation = spec.text(group.mean), spec.text(group.deviation)
    return f"{mean} ± {deviation} (s.d., {group.count} seeds)"


def timeline_figure(spans: Sequence[Span]) -> Figure:
    """Draw each attempt as a bar from its start to its end in its worker's row.

    `customdata`, one list per attempt: [task number, attempt number, duration in words].
    If an attempt of the same outcome has a failure class, each list also has that class, in words
    or "".
    """
    # The rows are keyed by full names, because two names may be the same once they are shortened.
    names = sorted({span.worker for span in spans}, reverse=True)
    data = []
    for outcome, colour in OUTCOME_COLOURS.items():
        of_outcome = [span for span in spans if span.outcome == outcome]
        if of_outcome:
            data.append(_bars(of_outcome, colour))
    rows = [escape(name) for name in names]
    return {
        "data": data,
        "layout": {
            "height": 72 + HEIGHT_OF_A_ROW * len(names),
            "meta": {"zooms": True},
            "bargap": 0.3,
            "barmode": "overlay",
            "xaxis": {"type": "date", "title": {"text": "UTC"}, "nticks": 6},
            "yaxis": {
                "type": "category",
                "categoryorder": "array",
                "categoryarray": rows,
                "tickvals": rows,
                "ticktext": [escape(_cut(name)) for name in names],
                "showgrid": False,
                "fixedrange": True,
            },
        },
    }


def _bars(spans: Sequence[Span], colour: str) -> Figure:
    """Draw the attempts of one outcome. Keep this short: there may be a thousand of them."""
    any_failed = any(span.failure_class for span in spans)
    failure = "%{customdata[3]}<br>" if any_failed else ""
    return {
        "type": "bar",
        "orientation": "h",
        "y": [escape(span.worker) for span in spans],
        # As text, in UTC: Plotly would show a number as a time in the reader's own time zone.
        "base": [f"{span.started_at:%Y-%m-%d %H:%M:%S.%f}"[:-5] for span in spans],
        # Lengths on a time axis are in milliseconds.
        "x": [round((span.ended_at - span.started_at).total_seconds() * 1000) for span in spans],
        "marker": {
            "color": colour,
            "pattern": {
                "shape": _HATCHES.get(AttemptOutcome(spans[0].outcome), ""),
                "fillmode": "replace",
            },
            "line": {"width": 0.5, "color": "var(--surface)"},
        },
        **opens_tasks(_span_data(span, with_failure=any_failed) for span in spans),
        "hovertemplate": "<b>Task %{customdata[0]}</b>, attempt %{customdata[1]}<br>"
        f"{spans[0].outcome}<br>{failure}%{{customdata[2]}} on %{{y}}<extra></extra>",
    }


def _span_data(span: Span, *, with_failure: bool) -> list[int | str]:
    took = duration((span.ended_at - span.started_at).total_seconds())
    data: list[int | str] = [span.task_number, span.attempt, took]
    if with_failure:
        data.append(str(FailureClass(span.failure_class).label) if span.failure_class else "")
    return data


def endings_figure(endings: Sequence[Ending]) -> Figure:
    """Draw how many attempts ended in each way without a ranked result.

    There is no `customdata`: the hover texts are made of x and y.
    """
    rows = endings[::-1]
    labels = [escape(row.label) for row in rows]
    colours = [
        SIMULATED if row.kind == "simulated" else _COLOURS_BY_WORD.get(row.kind, FAILED)
        for row in rows
    ]
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [row.attempts for row in rows],
                "y": labels,
                "marker": {"color": colours},
                "text": [str(row.attempts) for row in rows],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertemplate": "%{y}: %{x}<extra></extra>",
            }
        ],
        "layout": {
            "height": 56 + HEIGHT_OF_A_ROW * len(rows),
            "margin": {"r": 40},
            "xaxis": {"title": {"text": "Attempts"}, "tickformat": "d", "nticks": 5},
            "yaxis": {"type": "category", "showgrid": False},
        },
    }


def _cut(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"
