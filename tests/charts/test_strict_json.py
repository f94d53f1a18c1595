"""Figures and answers hold numbers that JSON has; browsers refuse Infinity and NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaigns.api.renderers import StrictJSONRenderer
from xeenet_site.web.strict_json import figure_script, finite, strict_dumps

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
ENDLESS: dict[str, Any] = {"y": [1.5, math.inf, -math.inf, math.nan], "nested": ({"x": 1e308},)}


def refuse(name: str) -> Any:
    """Fail as a browser does."""
    raise ValueError(name)


def test_endless_numbers_become_null_at_any_depth() -> None:
    assert finite(ENDLESS) == {"y": [1.5, None, None, None], "nested": [{"x": 1e308}]}


@pytest.mark.parametrize(
    "write",
    [
        lambda: figure_script(ENDLESS, "figure").split(">", 1)[1].removesuffix("</script>"),
        lambda: strict_dumps(ENDLESS),
        lambda: StrictJSONRenderer().render(ENDLESS).decode(),
    ],
    ids=["page", "command", "api"],
)
def test_what_is_written_can_be_read_by_a_strict_reader(write: Callable[[], str]) -> None:
    assert json.loads(write(), parse_constant=refuse)["y"] == [1.5, None, None, None]


def test_no_template_writes_a_figure_any_other_way() -> None:
    templates = {file.name: file.read_text() for file in TEMPLATES.rglob("*.html")}
    assert [name for name, text in templates.items() if "|json_script" in text] == []
    assert sum("|figure_script" in text for text in templates.values()) >= 3
