"""Data of hero charts that are hard to draw, in the form in which the server sends them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

LONG_NAME = "position_embedding_initialisation_scale"
TASK, MORE = "/campaigns/1/tasks/0/", "/campaigns/1/hero.json"

SHOW = """([data, label]) => {
    document.getElementById("hero-data").textContent = JSON.stringify(data);
    let source = document.getElementById("hero-label");
    if (!source) {
        source = document.createElement("script");
        source.id = "hero-label";
        source.type = "application/json";
        document.getElementById("hero-data").after(source);
    }
    source.textContent = JSON.stringify(label);
    document.dispatchEvent(new CustomEvent("htmx:afterSettle"));
}"""


def chart(values: list[float | None], **changes: Any) -> dict[str, Any]:
    """Return a chart of tasks that ended a minute apart; None is a task that failed.

    Each new best changed one param. `changes` replace parts of the data.
    """
    count = len(values)
    scale = 10**4
    records = {}
    best: float | None = None
    for number, value in enumerate(values):
        if value is not None and (best is None or value < best):
            if best is not None:
                records[number] = [f"d_model {64 * number}", "n_layers 4", "lr 0.00428"]
            best = value
    data: dict[str, Any] = {
        "metric": "val_bpb",
        "unit": "bits/byte",
        "decimals": 4,
        "maximised": False,
        "extreme": "lowest",
        "ordered": True,
        "since": 1_767_614_400,
        "total": count,
        "step": 1.0,
        "points": {
            "order": 1,
            "at": [60] * count,
            "spent": [50] * count,
            "value": [None if value is None else round(value * scale) for value in values],
            "number": [0] + [1] * (count - 1),
            "arm": [0] * count,
            "kind": "".join("x" if value is None else "o" for value in values),
            "device": "".join("-" if value is None else "a" for value in values),
            "devices": ["cpu"],
        },
        "changes": records,
        "band": 0.02,
        "anchors": [],
        "events": [],
        "idle": [],
        "task": TASK,
        "card": f"{TASK}card/",
        "more": MORE,
    }
    return data | changes


def label(value: float, who: str = "arm 17, 12 seeds") -> dict[str, Any]:
    """Return the label at the end of a chart."""
    return {
        "arm": 17,
        "value": value,
        "half": 0.0061,
        "text": f"{value:.4f}",
        "half_text": "± 0.0061",
        "who": who,
    }


def usual(count: int, seed: int = 1) -> list[float | None]:
    """Return values as a random search finds them: many mediocre ones, few good ones."""
    rng = random.Random(seed)
    return [2.4 + 0.9 * rng.random() ** 0.7 for _ in range(count)]


def hostile() -> dict[str, tuple[dict[str, Any], dict[str, Any] | None]]:
    """Return charts by name, each with its label."""
    falling: list[float | None] = [3.0 - n / 400 for n in range(60)]
    steep: list[float | None] = [4.0 * 0.9**n for n in range(40)]
    names = {n: [f"{LONG_NAME} {n}", f"{LONG_NAME}_2 cosine", "lr 0.00428"] for n in range(1, 60)}
    anchors = [["5-gram", 2.41], ["6-gram", 2.412], ["trigram", 2.43], ["lzma", 2.405]]
    events = [[600 * n, f"worker-with-a-long-name-{n} joined", None] for n in range(24)]
    events += [[610 * n, "paused", 1200] for n in range(1, 9)]
    events.sort()
    mixed = usual(200, seed=3)
    for row in range(0, 200, 7):
        mixed[row] = None
    cut = chart(usual(120, seed=5), events=[[3000, "paused", 90_000]], idle=[[1e5, 2.1e5]])
    cut["points"]["at"] = [60 if row % 40 else 90_000 for row in range(120)]
    return {
        "many records": (chart(falling, changes=names), label(2.9)),
        "steep": (chart(steep), label(0.07)),
        "long names": (chart(usual(150), changes=names), label(2.4020, "arm 1234, 1000 seeds")),
        "anchors": (chart(usual(80), anchors=anchors), label(2.41)),
        "one": (chart([2.5]), label(2.5)),
        "two": (chart([2.5, 2.4]), None),
        "equal": (chart([2.5] * 30), label(2.5)),
        "two thousand": (chart(usual(2000, seed=2), events=events), label(2.40)),
        "all failed": (chart([None] * 12), None),
        "outliers": (chart([2.5, 1e6, 2.4, 9e5, 2.45, *usual(20)], changes=names), label(2.4)),
        "events": (chart(mixed, events=events), label(2.41)),
        "gaps": (cut, label(2.41)),
        "maximised": (
            chart(
                [100 * (value or 0) for value in usual(90)],
                maximised=True,
                extreme="highest",
                unit="tokens/s",
                decimals=1,
                band=None,
                changes={},
            ),
            None,
        ),
    }


def chunk_of(data: dict[str, Any], values: list[float]) -> dict[str, Any]:
    """Return what the server sends when tasks with these values ended after those of the chart."""
    new = chart([*values])["points"]
    total = data["total"]
    new["order"] = total + 1
    new["number"] = [total] + [1] * (len(values) - 1)
    new["at"] = [60 * total] + [60] * (len(values) - 1)
    return {
        "from": total + 1,
        "total": total + len(values),
        "step": 1.0,
        "points": new,
        "changes": {},
        "events": [],
        "idle": [],
        "band": 0.02,
        "label": label(2.41),
    }


def show(page: Page, data: dict[str, Any], end: dict[str, Any] | None = None) -> None:
    """Let the page draw this chart, with this label, in place of its own."""
    page.evaluate(SHOW, [data, end])
