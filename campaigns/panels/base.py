"""What a panel of the analysis tab is, and what it is computed from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from campaigns.analysis.axes import Axis, axes_of
from campaigns.analysis.effects import Effect, effect_of
from campaigns.analysis.reading import read_runs
from campaigns.analysis.runs import Run, Runs, evenly
from campaigns.charts.figures import Figure
from campaigns.models import Campaign

MAX_POINTS: Final = 2_000
# The heads of a table and its rows, which may be read only as they are asked for.
Table = tuple[list[str], Iterable[list[Any]]]
# Fewer runs make noise, not a finding.
MIN_RUNS: Final = 3
_NO_RUNS: Final = "No measured result yet. Charts appear as tasks complete."


@dataclass(frozen=True)
class Chart:
    """One drawing. `label` tells a screen reader what is in it; `shape` is a CSS class."""

    label: str
    figure: Figure
    heading: str = ""
    shape: str = ""


@dataclass(frozen=True)
class Select:
    """A choice of what the panel shows: the query's name, its label, the options, the chosen."""

    name: str
    label: str
    options: list[str]
    chosen: str


@dataclass(frozen=True)
class Panel:
    """One finding; with `empty` there is nothing to draw yet, and it says why and what to do."""

    title: str
    charts: list[Chart] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    selects: list[Select] = field(default_factory=list)
    # States that the colours stand for, written beside the chart.
    states: list[str] = field(default_factory=list)
    empty: str = ""
    # Another process computes it: the page asks again until it is there.
    is_pending: bool = False


@dataclass
class Subject:
    """What a panel is about: a campaign, one device or all (""), and up to two parameters."""

    campaign: Campaign
    now: dt.datetime
    device: str = ""
    x: str = ""
    y: str = ""

    @cached_property
    def found(self) -> Runs:
        return read_runs(self.campaign, device=self.device)

    @cached_property
    def axes(self) -> list[Axis]:
        return axes_of(self.campaign.search_space)

    @cached_property
    def effects(self) -> list[Effect]:
        """The parameters by how much of the variance they account for, most first."""
        effects = [effect_of(axis, self.found.runs) for axis in self.axes]
        return sorted(effects, key=lambda one: -(one.explained or 0.0))

    def shown_runs(self, share: int = 1) -> tuple[list[Run], list[str]]:
        """Return the runs to draw in `share` charts, and a note where they are not all."""
        shown = evenly(self.found.runs, MAX_POINTS // share)
        if len(shown) == self.found.total:
            return shown, []
        return shown, [f"A sample: {len(shown):,} of {self.found.total:,} results are drawn."]


def too_few_runs(subject: Subject) -> str:
    """Say why no chart of runs can be drawn; "" where it can."""
    count = len(subject.found.runs)
    if not count:
        return _NO_RUNS
    return f"Too few results to draw: {count} of at least {MIN_RUNS}." if count < MIN_RUNS else ""


def nothing_to_compare(subject: Subject) -> str:
    """Say why no chart of params can be drawn; "" where it can."""
    return too_few_runs(subject) if subject.axes else one_point()


def one_point() -> str:
    """Say why a space without a choice has nothing to analyse."""
    return "No parameter varies in this campaign: its search space is one point."
