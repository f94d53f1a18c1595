"""One race of a campaign, read for its page: the strips of its arms and what it waits for."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

from campaigns.caching import cached_by_revision
from campaigns.models import Campaign, Task, TaskState
from campaigns.race.noise import NOTHING_KNOWN
from campaigns.race.strips import Awaited, Strip, Strips, awaited, strips_of
from campaigns.race.value import RaceValue, race_values
from campaigns.standings.race_runs import races_read, rule_of
from campaigns.standings.raced import STANDING_ORDER, race_with_runs, standings_after


@dataclass(frozen=True)
class RaceLine:
    """A race in the list of a campaign's races."""

    number: int
    outcome: str
    arms: int
    started_at: dt.datetime
    ended_at: dt.datetime | None


@dataclass(frozen=True)
class RaceView:
    """A race with its arms in the order of the page: the reference first, then by standing.

    `values` are sort keys. `awaited` is None when the race needs no more runs. `seeds_to_separate`
    is what the last look said it takes to tell the first two arms apart.
    """

    number: int
    outcome: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    min_effect: float
    sentence: str
    why: str
    strips: Strips
    order: tuple[Strip, ...]
    standings: dict[int, str]
    values: dict[int, RaceValue]
    params: dict[int, dict[str, Any]]
    group: tuple[int, ...]
    seeds_to_separate: int | None
    awaited: Awaited | None


def races_of(campaign: Campaign) -> list[RaceLine]:
    """Return the races of a campaign, the newest first."""
    return cached_by_revision(campaign, "race-lines", lambda: _lines(campaign))


def race_view(campaign: Campaign, number: int) -> RaceView | None:
    """Return a race of a freshly loaded campaign by its number; None when it has no such race."""
    return cached_by_revision(campaign, "race-view", lambda: _read(campaign, number), number=number)


def running_runs(campaign: Campaign, view: RaceView) -> frozenset[tuple[int, int]]:
    """Return (arm, seed index) of the runs that the race waits for and a worker has now."""
    if view.awaited is None:
        return frozenset()
    arms, seeds = zip(*view.awaited.open, strict=True) if view.awaited.open else ((), ())
    leased = Task.objects.filter(
        campaign=campaign, state=TaskState.LEASED, arm__number__in=arms, seed_index__in=seeds
    )
    runs = set(leased.order_by().values_list("arm__number", "seed_index"))
    return view.awaited.open & runs


def _lines(campaign: Campaign) -> list[RaceLine]:
    return [
        RaceLine(race.number, race.outcome, len(race.arms), race.started_at, race.ended_at)
        for race in (read.race for read in races_read([campaign])[campaign.pk].races)
    ]


def _read(campaign: Campaign, number: int) -> RaceView | None:
    read = race_with_runs(campaign, number)
    if read is None:
        return None
    race, decisions, runs, params, sentence = read
    rule = rule_of(race)
    last = decisions[-1] if decisions else None
    strips = strips_of(rule, decisions, runs)
    standings = standings_after(race, last)
    noise = last.noise if last else NOTHING_KNOWN
    values = {value.arm: value for value in race_values(race.arms, race.seeds, runs, noise)}

    def place(strip: Strip) -> tuple[bool, int, float, int]:
        value = values[strip.arm].value
        return (
            strip.arm != strips.reference,
            STANDING_ORDER[standings[strip.arm]],
            math.inf if value is None else value,
            strip.arm,
        )

    return RaceView(
        number=race.number,
        outcome=race.outcome,
        started_at=race.started_at,
        ended_at=race.ended_at,
        min_effect=race.min_effect,
        sentence=sentence,
        why=last.why if last else "",
        strips=strips,
        order=tuple(sorted(strips.strips, key=place)),
        standings={arm: str(standing) for arm, standing in standings.items()},
        values=values,
        params=params,
        group=last.group if last else (),
        seeds_to_separate=last.seeds_to_separate if last else None,
        awaited=awaited(rule, decisions, runs),
    )
