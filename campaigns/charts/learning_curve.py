"""The learning curve of a task: the progress that its attempts reported while training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard

from campaigns.charts.figures import MEASURED, SOFT, Figure, hover_texts
from campaigns.models import MAX_LOSS, Attempt, ProgressPoint
from experiments.metrics import NATS_PER_BIT
from xeenet_site.web.formats import bpb, duration


def learning_curve(attempts: Iterable[Attempt]) -> Figure | None:
    """Draw the training and validation losses of the attempts; None with fewer than two points.

    `attempts` come newest first, with their progress loaded. The newest is drawn opaque, older ones
    pale. The training loss is converted from nats to bits per byte, so that both share an axis.

    `customdata` of each curve, one list per progress point: [HTML of its hover text].
    """
    data: list[Figure] = []
    annotations: list[Figure] = []
    for attempt in attempts:
        points = list(attempt.progress.all())
        newest = not data
        val = [
            (point.elapsed_seconds, point.val_bpb, point)
            for point in points
            if _is_sane(point.val_bpb)
        ]
        train = [
            (point.elapsed_seconds, point.train_loss / NATS_PER_BIT, point)
            for point in points
            if _is_sane(point.train_loss)
        ]
        for label, series, colour in (("training", train, SOFT), ("validation", val, MEASURED)):
            if len(series) < 2:
                continue
            data.append(_curve(series, label, colour, attempt.number, opacity=1 if newest else 0.3))
            if newest:
                annotations.append(_end_label(label, colour, series[-1][0], series[-1][1]))
    if not data:
        return None
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
            "yaxis": {"title": {"text": "bits/byte"}, "tickformat": ".2f", "nticks": 7},
            "annotations": annotations,
            "margin": {"r": 80},
        },
    }


def _is_sane(loss: float | None) -> TypeGuard[float]:
    """Whether a loss can be drawn: a value of 1e308 would only press all others into a line."""
    return loss is not None and abs(loss) <= MAX_LOSS


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
        **hover_texts(
            f"<b>{label} {bpb(y)}</b><br>step {point.step}, {duration(x)}<br>attempt {attempt}"
            for x, y, point in series
        ),
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
