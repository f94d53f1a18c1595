"""The panels of the analysis tab. Each has a title that states the finding, charts, and a table.

A panel is computed once per revision of the campaign and per choice of device and parameters, then
cached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from campaigns.caching import cached_roughly
from campaigns.panels import params, runs
from campaigns.panels.base import Chart, Panel, Subject, Table

__all__ = ["ATTEMPT_PANELS", "PANELS", "Chart", "Panel", "Subject", "panel", "table"]


@dataclass(frozen=True)
class PanelKind:
    """A kind of panel: its name for people, and the function that computes it."""

    name: str
    build: Callable[[Subject], Panel]
    # False for a panel that jobs compute: reading it is cheap, and "not computed yet" must not be
    # cached.
    is_cached: bool = True
    # Returns the complete data, if the panel's own rows are only those that are drawn.
    table: Callable[[Subject], Table] | None = None


# In the order in which the page shows them.
PANELS: Final[dict[str, PanelKind]] = {
    "importance": PanelKind("Parameter importance", params.importance_panel, is_cached=False),
    "effects": PanelKind("Effect of each parameter", params.effects_panel),
    "slice": PanelKind("One parameter at a time", params.slice_panel),
    "contour": PanelKind("Two parameters together", params.contour_panel),
    "parallel": PanelKind("Parallel coordinates", params.parallel_panel),
    "distribution": PanelKind("Distribution of values", runs.distribution_panel),
    "seeds": PanelKind("Spread over seeds", runs.seeds_panel),
    "cost": PanelKind("Value against steps, tokens and model size", runs.cost_panel),
    "timeline": PanelKind("Timeline of attempts", runs.timeline_panel, table=runs.timeline_table),
    "failures": PanelKind("What went wrong", runs.failures_panel),
}
# Panels that need no measured result.
ATTEMPT_PANELS: Final = ("timeline", "failures")


def panel(name: str, subject: Subject) -> Panel:
    """Return a panel (a key of PANELS), newly computed or from the cache."""
    kind = PANELS[name]
    if not kind.is_cached:
        return kind.build(subject)
    return cached_roughly(
        subject.campaign,
        f"panel.{name}",
        lambda: kind.build(subject),
        device=subject.device,
        x=subject.x,
        y=subject.y,
    )


def table(name: str, subject: Subject) -> Table:
    """Return the complete data of a panel (a key of PANELS), for a file."""
    kind = PANELS[name]
    if kind.table:
        return kind.table(subject)
    computed = panel(name, subject)
    return computed.heads, computed.rows
