"""The learning curve of a task: the progress that its attempts reported while training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from campaigns.charts.figures import MEASURED, SOFT, Figure, hover_texts, value_ticks
from campaigns.models import MAX_LOSS, Attempt, ProgressPoint
from experiments.metrics import NATS_PER_BIT, VAL_BPB, MetricSpec
from xeenet_site.web.formats import duration


def learning_curve(
    attempts: Iterable[Attempt],
    spec: MetricSpec,
    *,
    others: Iterable[Sequence[tuple[float, float]]] = (),
) -> Figure | None:
    """Draw the training and validation losses of the attempts; None with fewer than two points.

    `others` are values of other arms, (seconds, value) each, in grey behind them.

    `attempts` come newest first, with their progress loaded; `spec` is the metric of their values.
    The newest is drawn opaque, older ones pale. The training loss is converted from nats to bits
    per byte, so that both share an axis; values of any other metric are drawn alone.

    `customdata` of each curve, one list per progress point: [HTML of its hover text]. `uid` names
    a curve whatever comes before it.
    """
    read = [(attempt.number, list(attempt.progress.all())) for attempt in attempts]
    values = _Curve("validation", MEASURED, spec, _values)
    curves = [values]
    if spec.unit == VAL_BPB.unit or not any(len(_values(points, spec)) > 1 for _, points in read):
        curves = [_Curve("training", SOFT, VAL_BPB, _train_losses), values]
    data: list[Figure] = []
    annotations: list[Figure] = []
    for number, points in read:
        newest = not data
        for curve in curves:
            series = curve.read(points, curve.spec)
            if len(series) < 2:
                continue
            data.append(_drawn(series, curve, number, opacity=1 if newest else 0.3))
            if newest:
                annotations.append(_end_label(curve, series[-1][0], series[-1][1]))
    if not data:
        return None
    if background := list(others):
        data.append(_background(background))
    # The two curves often end close together. Shifting their labels by half a line down and up
    # keeps both readable.
    rising = sorted(annotations, key=lambda annotation: float(annotation["y"]))
    for annotation, shift in zip(rising, (-7, 7), strict=False):
        annotation["yshift"] = shift
    return {
        "data": data,
        "layout": {
            "xaxis": {
                "title": {"text": "Seconds since the script started"},
                "rangemode": "tozero",
                "showgrid": False,
            },
            "yaxis": {
                "title": {"text": curves[0].spec.unit},
                "tickformat": value_ticks(curves[0].spec),
                "nticks": 7,
            },
            "annotations": annotations,
            "margin": {"r": 80},
        },
    }


Series = Sequence[tuple[float, float, ProgressPoint]]


@dataclass(frozen=True)
class _Curve:
    """A kind of curve: its word, its colour, how its values are written, and which they are."""

    label: str
    colour: str
    spec: MetricSpec
    read: Callable[[Sequence[ProgressPoint], MetricSpec], Series]


# A value of 1e308 would only press all others into a line; so both leave out what no run reaches.
def _values(points: Sequence[ProgressPoint], spec: MetricSpec) -> Series:
    most = max(abs(spec.low), abs(spec.high))
    return [
        (point.elapsed_seconds, point.value, point)
        for point in points
        if point.value is not None and abs(point.value) <= most
    ]


def _train_losses(points: Sequence[ProgressPoint], _: MetricSpec) -> Series:
    return [
        (point.elapsed_seconds, point.train_loss / NATS_PER_BIT, point)
        for point in points
        if point.train_loss is not None and abs(point.train_loss) <= MAX_LOSS
    ]


def _drawn(series: Series, curve: _Curve, attempt: int, opacity: float) -> Figure:
    is_result = curve.label == "validation"
    return {
        "uid": f"{attempt}-{curve.label}",
        "type": "scatter",
        "mode": "lines+markers",
        "x": [x for x, _, _ in series],
        "y": [y for _, y, _ in series],
        "line": {"color": curve.colour, "width": 2 if is_result else 1},
        "marker": {"color": curve.colour, "size": 5 if is_result else 3},
        "opacity": opacity,
        **hover_texts(
            f"<b>{curve.label} {curve.spec.text(y)}</b><br>step {point.step}, {duration(x)}"
            f"<br>attempt {attempt}"
            for x, y, point in series
        ),
    }


def _background(curves: Sequence[Sequence[tuple[float, float]]]) -> Figure:
    """Return other arms' curves as one trace with gaps, which says nothing under the pointer."""
    points: list[tuple[float | None, float | None]] = []
    for curve in curves:
        points += [*curve, (None, None)]
    return {
        "uid": "others",
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": SOFT, "width": 1},
        "opacity": 0.25,
        "hoverinfo": "skip",
        "zorder": -1,
    }


def _end_label(curve: _Curve, x: float, y: float) -> Figure:
    return {
        "text": curve.label,
        "x": x,
        "y": y,
        "xanchor": "left",
        "xshift": 6,
        "showarrow": False,
        "font": {"color": curve.colour, "size": 12},
    }
