"""What all charts share. A figure is Plotly's data and layout, as plain JSON.

Colours are names of CSS variables. ``charts.js`` resolves them, so that every chart follows the
page's theme. Plotly interprets a few HTML tags in hover texts, and names come from people and
scripts; so the charts escape them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from experiments.metrics import MetricSpec

Figure = dict[str, Any]

MEASURED: Final = "var(--accent)"
FAILED: Final = "var(--failed)"
SIMULATED: Final = "var(--simulated)"
SOFT: Final = "var(--text-soft)"
# Two irrational numbers: with one for both axes, the points would be spread along a diagonal.
GOLDEN_RATIO: Final = 0.618034
PLASTIC_RATIO: Final = 0.754878


def value_title(spec: MetricSpec) -> str:
    """Return the title of an axis of values: "loss (nats)"."""
    return f"{spec.name} ({spec.unit})"


def value_hover(spec: MetricSpec, name: str = "y") -> str:
    """Return the part of a hover template that writes a value of the trace, y or another."""
    return f"%{{{name}:.{spec.decimals}f}} {spec.unit}"


def value_ticks(spec: MetricSpec, fewer: int = 2) -> str:
    """Return the tick format of an axis of values, with so many decimals fewer than a value."""
    return f".{max(0, spec.decimals - fewer)}f"


def hover_texts(texts: Iterable[str]) -> Figure:
    """Return the part of a trace that gives each point its own hover text.

    `customdata` has one list per point, with the text (HTML, names escaped) as its only element.
    """
    return {
        "customdata": [[text] for text in texts],
        "hovertemplate": "%{customdata[0]}<extra></extra>",
    }


def opens_tasks(points: Iterable[Sequence[int | str]]) -> Figure:
    """Return the part of a trace whose points open the page of their task when clicked.

    `customdata` has one list per point: first the task's number, then what the hover template
    shows. The chart's element has the address once, in `data-opens`, with 0 for the number, which
    `charts.js` replaces. An address for each of thousands of points would double the size of the
    figure.
    """
    return {"customdata": list(points), "meta": {"opens": True}}


def jitter(number: int, ratio: float = GOLDEN_RATIO) -> float:
    """Return an offset from -0.25 to 0.25 for points of the same level, otherwise they overlap.

    Multiples of the ratio put neighbouring numbers far from each other, the same way each time.
    """
    return (number * ratio % 1 - 0.5) * 0.5
