"""What every chart shares: a figure is Plotly's data and layout, without colours of its own.

A figure is plain JSON. Where a colour belongs stands the name of a CSS variable, which
``charts.js`` resolves, so every chart follows the page into the dark. Hover texts are escaped
by the charts: Plotly reads a few HTML tags in them, and names come from people and scripts.
"""

from __future__ import annotations

from typing import Any, Final

Figure = dict[str, Any]

MEASURED: Final = "var(--accent)"
FAILED: Final = "var(--failed)"
SIMULATED: Final = "var(--simulated)"
SOFT: Final = "var(--text-soft)"
