"""Charts of a page, read from its HTML."""

from __future__ import annotations

import json
import re
from typing import Any


def figure_of(page: str, chart: str) -> dict[str, Any]:
    """The Plotly figure of the chart with this id; the test fails when the page has none."""
    match = re.search(rf'<script id="{chart}-figure"[^>]*>(.*?)</script>', page)
    assert match, f"no chart {chart}"
    figure: dict[str, Any] = json.loads(match[1])
    return figure
