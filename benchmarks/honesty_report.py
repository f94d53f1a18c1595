"""What the simulated campaigns add up to: rates, the goals that they are held to, the table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from benchmarks.honesty_params import Equal, Noise, Titles
from benchmarks.honesty_worlds import MATTERS, Campaign, Promise, World, all_equal, realistic

FALSE_AT_MOST = 0.05
WRONG_AT_MOST = 0.02
FOUND_AT_LEAST, FOUND_WITH_BAD_SEEDS = 0.60, 0.45
RUNS_WITH_FLOOR, RUNS_WITHOUT_FLOOR = 30.0, 40.0
SHOWN_AT_MOST, SHOWN_AT_MOST_EQUAL = 0.001, 0.008
PROMISE_AT_LEAST, PROMISE_AT_MOST = 0.75, 0.90

HEAD = (
    "campaigns",
    "contenders",
    "floor",
    "champion",
    "false",
    "false, all arms",
    "wrong by > 0.01",
    "shown − true",
    "in interval",
    "runs",
    "with completion",
    "naive: false",
    "naive: false, all arms",
    "naive: shown − true",
)


@dataclass(frozen=True)
class Row:
    """All campaigns of one world."""

    world: World
    campaigns: Sequence[Campaign]

    @property
    def champions(self) -> list[Campaign]:
        """The campaigns that declared a champion."""
        return [campaign for campaign in self.campaigns if campaign.is_declared]

    @property
    def declared(self) -> float:
        """The share of campaigns with a champion."""
        return _share(campaign.is_declared for campaign in self.campaigns)

    @property
    def false(self) -> float:
        """The share of campaigns with a champion that a contender matches or beats."""
        return _share(campaign.is_false for campaign in self.campaigns)

    @property
    def wrong(self) -> float:
        """The share of campaigns whose champion is behind a contender by an amount that matters."""
        return _share(campaign.excess > MATTERS for campaign in self.campaigns)

    @property
    def runs(self) -> float:
        """The mean number of race runs, those that complete an early champion included."""
        return fmean(campaign.all_runs for campaign in self.campaigns)

    def cells(self) -> list[str]:
        """Return the row of the table."""
        world, campaigns, champions = self.world, self.campaigns, self.champions
        shown = shown_minus_true(champions)
        covered = [campaign.is_covered for campaign in champions if campaign.is_covered is not None]
        return [
            world.name,
            str(world.most),
            f"{world.floor_pairs} pairs" if world.floor_pairs else "unknown",
            _percent(self.declared),
            _percent(self.false),
            _percent(_share(campaign.is_false_of_all for campaign in campaigns)),
            _percent(self.wrong),
            "" if shown is None else f"{shown:+.4f}",
            _percent(_share(covered)) if covered else "",
            f"{fmean(campaign.runs for campaign in campaigns):.1f}",
            f"{self.runs:.1f}",
            _percent(_share(campaign.naive_is_false for campaign in campaigns)),
            _percent(_share(campaign.naive_is_false_of_all for campaign in campaigns)),
            f"{fmean(campaign.naive_shown_minus_true for campaign in campaigns):+.4f}",
        ]


@dataclass(frozen=True)
class Said:
    """What pages say where nothing is to be said: titles by noise, false verdicts by comparison."""

    titles: Mapping[Noise, Sequence[Titles]] = field(default_factory=dict)
    verdicts: Mapping[Equal, float] = field(default_factory=dict)

    def goals(self) -> list[Goal]:
        """Return the figures that have a bar."""
        result = [
            Goal(
                "compared equal arms: one is said to be ahead, worst row",
                max(self.verdicts.values(), default=None),
                highest=FALSE_AT_MOST,
            )
        ]
        for noise, titles in self.titles.items():
            bad = f", {noise.bad_rate:.0%} bad seeds" if noise.bad_rate else ""
            name = f"no parameter matters, {noise.arms} arms{bad}"
            effects = _share(title.effects for title in titles)
            importance = _share(title.importance for title in titles)
            contradict = _share(title.contradict for title in titles)
            result += [
                Goal(f"{name}: the title of effects names one", effects, highest=FALSE_AT_MOST),
                Goal(f"{name}: that of importance", importance, highest=FALSE_AT_MOST),
                Goal(f"{name}: they contradict each other", contradict, highest=0.0),
            ]
        return result


@dataclass(frozen=True)
class Goal:
    """A figure beside its bar; `lowest` and `highest` are the ends of what holds."""

    name: str
    measured: float | None
    lowest: float = -math.inf
    highest: float = math.inf
    is_share: bool = True

    @property
    def holds(self) -> bool:
        """Whether the figure is within its bar; nothing measured holds no bar."""
        return self.measured is not None and self.lowest <= self.measured <= self.highest

    def cells(self) -> list[str]:
        """Return the row of the table."""
        ends = [
            f"{word} {self._text(end)}"
            for word, end in (("≥", self.lowest), ("≤", self.highest))
            if math.isfinite(end)
        ]
        measured = "nothing" if self.measured is None else self._text(self.measured)
        return [self.name, measured, ", ".join(ends), "held" if self.holds else "MISSED"]

    def _text(self, value: float) -> str:
        if self.is_share:
            return _percent(value)
        return f"{value:.1f} runs" if abs(value) >= 1 else f"{value:.4f}"


def goals(
    rows: Sequence[Row], promises: Sequence[tuple[Promise, float]], said: Said | None = None
) -> list[Goal]:
    """Return every figure that has a bar. A worst figure of several worlds stands for them."""
    equal = [row for row in rows if row.world.truth is all_equal]
    bad = [row for row in equal if row.world.bad_rate]
    plain = [row for row in equal if not row.world.bad_rate]
    result = [
        Goal("equal arms: false champion, worst row", _worst(plain), highest=FALSE_AT_MOST),
        Goal("… with 10 % bad seeds, worst row", _worst(bad), highest=FALSE_AT_MOST),
    ]
    for row in rows:
        if row.world.truth is realistic:
            result += _power_goals(row)
    for name in dict.fromkeys(row.world.name for row in rows):
        same = [row for row in rows if row.world.name == name]
        is_equal = same[0].world.truth is all_equal
        result.append(_shown_goal(same, SHOWN_AT_MOST_EQUAL if is_equal else SHOWN_AT_MOST))
    for asked, kept in promises:
        name = f"planner: gap {asked.gap} in {asked.seeds} seeds, promised 80 %"
        result.append(Goal(name, kept, PROMISE_AT_LEAST, PROMISE_AT_MOST))
    return result + (said.goals() if said else [])


def _shown_goal(rows: Sequence[Row], most: float) -> Goal:
    champions = [campaign for row in rows for campaign in row.champions]
    shown = shown_minus_true(champions)
    return Goal(
        f"{rows[0].world.name}: the value of {len(champions):,} champions is too good by",
        None if shown is None else -shown,
        highest=most,
        is_share=False,
    )


def _power_goals(row: Row) -> list[Goal]:
    world = row.world
    name = f"{world.name}, floor {'known' if world.floor_pairs else 'unknown'}"
    found = FOUND_WITH_BAD_SEEDS if world.bad_rate else FOUND_AT_LEAST
    most = RUNS_WITH_FLOOR if world.floor_pairs else RUNS_WITHOUT_FLOOR
    return [
        Goal(f"{name}: champion", row.declared, lowest=found),
        Goal(f"{name}: wrong by more than 0.01", row.wrong, highest=WRONG_AT_MOST),
        *(
            []
            if world.bad_rate
            else [Goal(f"{name}: runs", row.runs, highest=most, is_share=False)]
        ),
    ]


def _worst(rows: Sequence[Row]) -> float | None:
    return max((row.false for row in rows), default=None)


def shown_minus_true(champions: Sequence[Campaign]) -> float | None:
    """Return the mean of the value shown less the true one; None without a champion."""
    gaps = [c.shown_minus_true for c in champions if c.shown_minus_true is not None]
    return fmean(gaps) if gaps else None


def markdown(
    rows: Sequence[Row],
    promises: Sequence[tuple[Promise, float]],
    said: Said | None = None,
    *,
    heading: str,
) -> str:
    """Return heading, goals and rates as Markdown."""
    goal_rows = [goal.cells() for goal in goals(rows, promises, said)]
    tables = (
        _table(("goal", "measured", "bar", ""), goal_rows),
        _table(HEAD, [row.cells() for row in rows]),
    )
    return "\n\n".join((heading, *tables))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _share(events: Iterable[bool]) -> float:
    return fmean(map(float, events))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
