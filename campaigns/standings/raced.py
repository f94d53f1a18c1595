"""The arms that raced, of many campaigns at once: rows of the board, and what their races say."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from campaigns.caching import cached_for_each
from campaigns.models import Campaign, Race, RaceOutcome, TaskPurpose
from campaigns.race.look import Decision as LookDecision
from campaigns.race.noise import NOTHING_KNOWN
from campaigns.race.rows import Run
from campaigns.race.value import race_values
from campaigns.race.words import Finding, verdict
from campaigns.standings.race_runs import (
    ENDED,
    RaceRead,
    RacesRead,
    TaskRow,
    of_one_class,
    races_read,
    rule_of,
    with_last_look,
)


class ArmStanding(StrEnum):
    """How far an arm has come. Only the first three have a rank."""

    CHAMPION = "champion"
    TIED = "tied"
    BEHIND = "behind"
    RACING = "racing"
    DROPPED = "dropped"
    INFEASIBLE = "infeasible"
    RACED = "raced"
    SCREENED = "screened"


class ArmRow(NamedTuple):
    """One row of the board, as plain values.

    `value` is in the metric's unit: the race value of an arm that raced (None without any), else
    that of its first run. `half_width` is None while the noise is unknown. `seeds` counts race
    seeds. `at_least` says that the race stopped early, so the value still flatters the arm.
    `first_task` is the number of its first task. `screening` is the value of the first run of an
    arm that raced. `device` names where its runs were measured, on so many `workers`.
    """

    rank: int | None
    standing: str
    arm: int
    params: dict[str, Any]
    value: float | None
    half_width: float | None
    seeds: int
    at_least: bool
    bad_seeds: str
    first_task: int | None
    screening: float | None = None
    device: str = ""
    workers: int = 1


class FirstResult(NamedTuple):
    """The first result of an arm that raced."""

    pk: int
    arm: int
    result_class: int | None
    is_ranked: bool
    value: float | None


@dataclass(frozen=True)
class Raced:
    """The arms of a campaign that raced, as the board shows them, and what the last race says.

    Without any race all is empty.
    """

    rows: list[ArmRow] = field(default_factory=list)
    sentence: str = ""
    finding: Finding | None = None
    # Their first results, which the rest of the board leaves out.
    first_results: list[FirstResult] = field(default_factory=list)


def raced(campaign: Campaign) -> Raced:
    """Return the arms that raced of a freshly loaded campaign."""
    return raced_of([campaign])[campaign.pk]


def raced_of(campaigns: Sequence[Campaign]) -> dict[int, Raced]:
    """Return the arms that raced of each campaign, by its id: two queries for all not cached."""
    return cached_for_each(campaigns, "arms-that-raced", _read)


class RaceWithRuns(NamedTuple):
    """A race with all that its page tells of it."""

    race: Race
    decisions: list[LookDecision]
    runs: list[Run]
    # Of its arms, by their numbers.
    params: dict[int, dict[str, Any]]
    sentence: str


def race_with_runs(campaign: Campaign, number: int) -> RaceWithRuns | None:
    """Return a race of a freshly loaded campaign by its number; None when it has none such."""
    known = races_read([campaign])[campaign.pk]
    read = next((read for read in known.races if read.race.number == number), None)
    if read is None:
        return None
    arms = set(read.race.arms)
    tasks = [task for task in known.tasks if task["arm__number"] in arms]
    return RaceWithRuns(
        read.race,
        read.decisions,
        _runs_of(read.race, tasks),
        {task["arm__number"]: task["arm__params"] for task in tasks},
        sentence_of(campaign, _finding(read)),
    )


def _read(campaigns: Sequence[Campaign]) -> dict[int, Raced]:
    known = races_read(campaigns)
    return {campaign.pk: _raced(campaign, known[campaign.pk]) for campaign in campaigns}


def _raced(campaign: Campaign, known: RacesRead) -> Raced:
    races = [read for read in known.races if read.race.outcome != RaceOutcome.CANCELLED]
    if not races:
        return Raced()
    arms = {arm for read in races for arm in read.race.arms}
    tasks = [task for task in known.tasks if task["arm__number"] in arms]
    board: dict[int, ArmRow] = {}
    for race in races:
        for row in _rows_of(campaign, race, tasks, is_last=race is races[0]):
            board.setdefault(row.arm, row)
    by_arm: dict[int, list[TaskRow]] = defaultdict(list)
    for task in tasks:
        by_arm[task["arm__number"]].append(task)
    last = _finding(races[0])
    return Raced(
        [row._replace(**_of_tasks(by_arm[arm])) for arm, row in board.items()],
        sentence_of(campaign, last),
        last,
        [
            FirstResult(
                task["result__pk"],
                task["arm__number"],
                task["result__result_class"],
                task["result__is_ranked"],
                task["result__value"],
            )
            for task in tasks
            if task["result__is_screening"] and not task["result__simulated"]
        ],
    )


def _of_tasks(tasks: Sequence[TaskRow]) -> dict[str, Any]:
    """Return the fields of a row that its arm's tasks tell: params, and where its value is from."""
    first = [task["number"] for task in tasks if task["purpose"] == TaskPurpose.SCREEN]
    with_result = [task for task in tasks if task["result__simulated"] is False]
    runs = sorted(with_result, key=lambda task: task["result__pk"])
    screening = [
        run["result__value"]
        for run in runs
        if run["result__is_screening"] and run["result__is_ranked"]
    ]
    raced_runs = [run for run in runs if not run["result__is_screening"]] or runs
    return {
        "params": tasks[0]["arm__params"] if tasks else {},
        "first_task": first[-1] if first else None,
        "screening": next(iter(screening), None),
        "device": ", ".join(dict.fromkeys(run["result__device_used"] for run in raced_runs)),
        "workers": max(1, len({run["result__attempt__worker"] for run in raced_runs})),
    }


def _runs_of(race: Race, tasks: Iterable[TaskRow]) -> list[Run]:
    """Return the ended runs of the race's arms on its seeds, as `race_runs.race_runs`."""
    arms, seeds = set(race.arms), set(race.seeds)
    return of_one_class(
        [
            task
            for task in tasks
            if task["arm__number"] in arms
            and task["seed_index"] in seeds
            and task["state"] in ENDED
            and task["purpose"] != TaskPurpose.REPLAY
        ]
    )


def _rows_of(
    campaign: Campaign, read: RaceRead, tasks: Sequence[TaskRow], *, is_last: bool
) -> list[ArmRow]:
    """Return the arms of a race in the order of the board, without what their tasks tell."""
    race = read.race
    decisions = read.decisions
    last = decisions[-1] if decisions else None
    noise = last.noise if last else NOTHING_KNOWN
    values = {
        value.arm: value
        for value in race_values(race.arms, race.seeds, _runs_of(race, tasks), noise)
    }
    standings = (
        standings_after(race, last) if is_last else dict.fromkeys(race.arms, ArmStanding.RACED)
    )
    spec = campaign.metric_spec

    def order(arm: int) -> tuple[int, float, int]:
        value = values[arm].value
        return STANDING_ORDER[standings[arm]], math.inf if value is None else value, arm

    shown: list[ArmRow] = []
    for arm in sorted(race.arms, key=order):
        value, standing = values[arm], standings[arm]
        shown.append(
            ArmRow(
                rank=_rank(standing, standings),
                standing=standing,
                arm=arm,
                params={},
                value=None if value.value is None else spec.value_of(value.value),
                half_width=value.half_width,
                seeds=value.n,
                at_least=value.at_least and standing is ArmStanding.CHAMPION,
                bad_seeds=value.bad_seeds_text,
                first_task=None,
            )
        )
    behind = [row for row in shown if row.standing == ArmStanding.BEHIND]
    places = {row.arm: place for place, row in enumerate(behind)}
    return [
        row._replace(rank=row.rank + places[row.arm]) if row.rank and row.arm in places else row
        for row in shown
    ]


STANDING_ORDER: Final = {standing: place for place, standing in enumerate(ArmStanding)}


def standings_after(race: Race, last: LookDecision | None) -> dict[int, ArmStanding]:
    """Return how the last look left each arm of a race."""
    standings = dict.fromkeys(race.arms, ArmStanding.RACING)
    if last is None:
        return standings
    standings |= dict.fromkeys(last.dropped, ArmStanding.DROPPED)
    standings |= dict.fromkeys(last.infeasible, ArmStanding.INFEASIBLE)
    if race.outcome == RaceOutcome.TIE:
        standings |= dict.fromkeys(last.group, ArmStanding.TIED)
    # While a race runs, arms are proven behind a leader that may still change.
    standings |= dict.fromkeys(
        last.behind, ArmStanding.BEHIND if race.outcome else ArmStanding.RACED
    )
    if race.outcome == RaceOutcome.CHAMPION and last.leader is not None:
        standings[last.leader] = ArmStanding.CHAMPION
    return standings


def _rank(standing: ArmStanding, standings: dict[int, ArmStanding]) -> int | None:
    """Return the rank of an arm with this standing; those behind count on from there."""
    if standing in {ArmStanding.CHAMPION, ArmStanding.TIED}:
        return 1
    if standing is not ArmStanding.BEHIND:
        return None
    ahead = {ArmStanding.CHAMPION, ArmStanding.TIED, ArmStanding.DROPPED}
    return 1 + sum(other in ahead for other in standings.values())


def race_sentence(race: Race) -> str:
    """Return what may be claimed of the arms of one race."""
    return sentence_of(race.campaign, _finding(with_last_look(race)))


def sentence_of(campaign: Campaign, last: Finding) -> str:
    """Return what the finding of a campaign's race allows to claim."""
    spec = campaign.metric_spec
    return verdict(last, shown=lambda distance: spec.with_unit(abs(distance)))


def _finding(read: RaceRead) -> Finding:
    """Return what the last look of a race decided."""
    race = read.race
    last = read.looks[-1] if read.looks else None
    looks = rule_of(race).looks
    return Finding(
        outcome=race.outcome,
        looks=last.look if last else 0,
        most_looks=len(looks),
        seeds=last.n or looks[last.look - 1] if last else looks[0],
        leader=last.leader if last else None,
        rival=last.rival if last else None,
        estimate=last.estimate if last else None,
        bound=last.bound if last else None,
        group=last.group if last else race.arms,
        behind=last.behind if last else (),
        dropped=last.dropped if last else (),
        infeasible=last.infeasible if last else (),
        seeds_to_separate=last.seeds_to_separate if last else None,
        arms=read.arms,
    )
