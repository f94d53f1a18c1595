"""Charts of a page, read from its HTML."""

from __future__ import annotations

import json
import re
from typing import Any


def hero_data(page: str) -> dict[str, Any]:
    """Return the data of the hero chart; the test fails when the page has none."""
    match = re.search(r'<script id="hero-data"[^>]*>(.*?)</script>', page)
    assert match, "no hero chart"
    data: dict[str, Any] = json.loads(match[1])
    return data


def figure_of(page: str, chart: str) -> dict[str, Any]:
    """The Plotly figure of the chart with this id, with the points that stand beside it."""
    match = re.search(rf'<script [^>]*\bid="{chart}-figure"[^>]*>(.*?)</script>', page)
    assert match, f"no chart {chart}"
    figure: dict[str, Any] = json.loads(match[1])
    traces = {trace["uid"]: trace for trace in figure["data"] if "uid" in trace}
    points = re.search(rf'<div [^>]*\bid="{chart}-figure-points"[^>]*>(.*?)</div>', page)
    for text in re.findall(r">([^<]+)</script>", points[1]) if points else ():
        piece = json.loads(text)
        trace = traces[piece.pop("uid")]
        for key, added in piece.items():
            trace[key] = trace.get(key, []) + added
    return figure
