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
    """The Plotly figure of the chart with this id; the test fails when the page has none."""
    match = re.search(rf'<script [^>]*\bid="{chart}-figure"[^>]*>(.*?)</script>', page)
    assert match, f"no chart {chart}"
    figure: dict[str, Any] = json.loads(match[1])
    return figure
