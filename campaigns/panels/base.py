"""The parts of a panel of the analysis tab, and the subject that it is computed from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from campaigns.analysis.axes import Axis, axes_of
from campaigns.analysis.chance import Judgement, judge
from campaigns.analysis.effects import Effect, effect_of
from campaigns.analysis.reading import read_runs
from campaigns.analysis.runs import Run, Runs, evenly, first_of_arms
from campaigns.charts.figures import Figure
from campaigns.models import Campaign
from experiments.metrics import MetricSpec

MAX_POINTS: Final = 2_000
# The heads of a table and its rows, which may be streamed from the database.
Table = tuple[list[str], Iterable[list[Any]]]
# Fewer runs show noise, not a finding.
MIN_RUNS: Final = 3
_NO_RUNS: Final = "No measured result yet. Charts appear as tasks complete."
_NO_RUNS_AT_THE_END: Final = (
    "The campaign has ended without a measured result: see how its tasks ended."
)


@dataclass(frozen=True)
class Chart:
    """One chart. `label` describes it to screen readers; `shape` is a CSS class."""

    label: str
    figure: Figure
    heading: str = ""
    shape: str = ""


@dataclass(frozen=True)
class Select:
    """A menu of the panel. `name` is its parameter in the query of the address."""

    name: str
    label: str
    options: list[str]
    chosen: str


@dataclass(frozen=True)
class Panel:
    """One finding. If there is nothing to draw yet, `empty` says why, and what to do."""

    title: str
    charts: list[Chart] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    selects: list[Select] = field(default_factory=list)
    # The states whose colours the chart uses, for its legend.
    states: list[str] = field(default_factory=list)
    empty: str = ""
    # A job is computing it; the page asks again until it is done.
    is_pending: bool = False


@dataclass
class Subject:
    """The subject of a panel: a campaign, a device ("" for all), and up to two parameters.

    What several panels read is computed on first use.
    """

    campaign: Campaign
    now: dt.datetime
    device: str = ""
    x: str = ""
    y: str = ""

    @property
    def spec(self) -> MetricSpec:
        """The metric of its values."""
        return self.campaign.metric_spec

    @cached_property
    def results(self) -> Runs:
        return read_runs(self.campaign, device=self.device)

    @cached_property
    def axes(self) -> list[Axis]:
        return axes_of(self.campaign.search_space)

    @cached_property
    def first_runs(self) -> list[Run]:
        """One run of each arm: what is said of params counts no config twice."""
        return first_of_arms(self.results.runs)

    @cached_property
    def judgement(self) -> Judgement:
        """Which parameters may be named in a title."""
        return judge(self.axes, self.first_runs)

    @cached_property
    def effects(self) -> list[Effect]:
        """The effects of all parameters, sorted by the share of the variance that they explain."""
        effects = [effect_of(axis, self.first_runs) for axis in self.axes]
        return sorted(effects, key=lambda effect: -(effect.explained or 0.0))

    def drawn_runs(self, charts: int = 1) -> tuple[list[Run], list[str]]:
        """Return the runs to draw in each of so many charts, and a note if they are a sample."""
        drawn = evenly(self.results.runs, MAX_POINTS // charts)
        if len(drawn) == self.results.total:
            return drawn, []
        return drawn, [f"A sample: {len(drawn):,} of {self.results.total:,} results are drawn."]


def too_few_runs(subject: Subject) -> str:
    """Say why runs cannot be drawn; "" if they can."""
    count = len(subject.results.runs)
    if not count:
        return _NO_RUNS_AT_THE_END if subject.campaign.finished_at else _NO_RUNS
    return f"Too few results to draw: {count} of at least {MIN_RUNS}." if count < MIN_RUNS else ""


def nothing_to_compare(subject: Subject) -> str:
    """Say why params cannot be compared; "" if they can."""
    return too_few_runs(subject) if subject.axes else one_point()


def one_point() -> str:
    """Say why a search space with a single point has nothing to analyse."""
    return "No parameter varies in this campaign: its search space is one point."
