"""The panels of the analysis tab: each has a title that says what was found, charts, and a table.

A panel is computed once per campaign revision and choice of what to look at, then kept.
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
    """A panel before it is computed: its name for people, and what computes it."""

    name: str
    build: Callable[[Subject], Panel]
    # False for what jobs keep: reading it costs nothing, and an answer of "not yet" must not stay.
    is_cached: bool = True
    # Everything behind the panel, where its own rows are only what is drawn.
    table: Callable[[Subject], Table] | None = None


# In the order of the page.
PANELS: Final[dict[str, PanelKind]] = {
    "importance": PanelKind("Parameter importance", params.importance_panel, is_cached=False),
    "effects": PanelKind("Effect of each parameter", params.effects_panel),
    "slice": PanelKind("One parameter at a time", params.slice_panel),
    "contour": PanelKind("Two parameters together", params.contour_panel),
    "parallel": PanelKind("Parallel coordinates", params.parallel_panel),
    "distribution": PanelKind("Distribution of val_bpb", runs.distribution_panel),
    "seeds": PanelKind("Spread over seeds", runs.seeds_panel),
    "cost": PanelKind("val_bpb against steps, tokens and model size", runs.cost_panel),
    "timeline": PanelKind("Timeline of attempts", runs.timeline_panel, table=runs.timeline_table),
    "failures": PanelKind("What went wrong", runs.failures_panel),
}
# What can be shown before the first measured result.
ATTEMPT_PANELS: Final = ("timeline", "failures")


def panel(name: str, subject: Subject) -> Panel:
    """Return the panel of this name (a key of PANELS), computed or as it was kept."""
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
    """Return the data of the panel of this name, to take away: all of it."""
    kind = PANELS[name]
    if kind.table:
        return kind.table(subject)
    computed = panel(name, subject)
    return computed.heads, computed.rows
