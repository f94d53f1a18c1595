"""The arms that raced, of many campaigns at once: rows of the board, and what their races say."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from campaigns.caching import cached_for_each
from campaigns.models import Arm, Campaign, Race, RaceOutcome, Task, TaskPurpose
from campaigns.race.look import Decision as LookDecision
from campaigns.race.look import decide
from campaigns.race.noise import NOTHING_KNOWN
from campaigns.race.rows import Run, Sight
from campaigns.race.value import race_values
from campaigns.race.words import Finding, verdict
from campaigns.standings.race_runs import ENDED, RUN_COLUMNS, of_one_class, rule_of


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


class _Look(NamedTuple):
    """What one look of a race decided, as it was stored."""

    look: int
    n: int
    leader: int | None
    rival: int | None
    estimate: float | None
    bound: float | None
    group: list[int]
    behind: list[int]
    dropped: list[int]
    infeasible: list[int]
    seeds_to_separate: int | None
    saw: Any


_LOOK: Final = tuple(
    f"decisions__{name}__number" if name in {"leader", "rival"} else f"decisions__{name}"
    for name in _Look._fields
)
_RACE: Final = (
    "pk",
    "campaign_id",
    "number",
    "arms",
    "seeds",
    "floor_sd",
    "floor_pairs",
    "runs_allowed",
    "min_effect",
    "outcome",
)
_TASK: Final = (
    *RUN_COLUMNS,
    "campaign_id",
    "number",
    "purpose",
    "arm__params",
    "result__pk",
    "result__is_screening",
    "result__value",
    "result__device_used",
    "result__attempt__worker",
)
_Task = dict[str, Any]


@dataclass
class _RaceRead:
    """A race with its looks, in order; `arms` is how many its campaign has."""

    race: Race
    arms: int
    looks: list[_Look] = field(default_factory=list)

    @property
    def decisions(self) -> list[LookDecision]:
        """The decisions of its looks, computed again from what each saw."""
        return [decide(Sight.from_json(look.saw)) for look in self.looks]

    @property
    def finding(self) -> Finding:
        """What its last look decided."""
        return _finding(self.race, self.looks, self.arms)


class RaceWithRuns(NamedTuple):
    """A race with all that its page tells of it."""

    race: Race
    decisions: list[LookDecision]
    runs: list[Run]
    # Of its arms, by their numbers.
    params: dict[int, dict[str, Any]]
    sentence: str


def race_with_runs(campaign: Campaign, number: int) -> RaceWithRuns | None:
    """Return a race of a campaign by its number, in two queries; None when it has none such."""
    races = _races([campaign], Race.objects.filter(number=number))[campaign.pk]
    if not races:
        return None
    read = races[0]
    tasks = _tasks({campaign.pk: read.race.arms}).get(campaign.pk, [])
    return RaceWithRuns(
        read.race,
        read.decisions,
        _runs_of(read.race, tasks),
        {task["arm__number"]: task["arm__params"] for task in tasks},
        sentence_of(campaign, read.finding),
    )


def _read(campaigns: Sequence[Campaign]) -> dict[int, Raced]:
    races = _races(campaigns, Race.objects.exclude(outcome=RaceOutcome.CANCELLED))
    numbers = {
        pk: {arm for race in own for arm in race.race.arms} for pk, own in races.items() if own
    }
    tasks = _tasks(numbers) if numbers else {}
    return {
        campaign.pk: _raced(campaign, races[campaign.pk], tasks.get(campaign.pk, []))
        if races[campaign.pk]
        else Raced()
        for campaign in campaigns
    }


def _races(campaigns: Sequence[Campaign], among: QuerySet[Race]) -> dict[int, list[_RaceRead]]:
    """Return the races of each campaign among these, the newest first. One query."""
    arms = Arm.objects.filter(campaign=OuterRef("campaign")).order_by().values("campaign")
    rows = among.filter(campaign__in=campaigns).annotate(
        arm_count=Subquery(arms.annotate(n=Count("*")).values("n"))
    )
    read: dict[int, _RaceRead] = {}
    columns = rows.order_by("-number", "decisions__look").values_list("arm_count", *_RACE, *_LOOK)
    for count, *row in columns:
        race = Race(**dict(zip(_RACE, row[: len(_RACE)], strict=True)))
        entry = read.setdefault(race.pk, _RaceRead(race, count or 0))
        look = _Look._make(row[len(_RACE) :])
        if look.look is not None:
            entry.looks.append(look)
    of_campaign: dict[int, list[_RaceRead]] = {campaign.pk: [] for campaign in campaigns}
    for entry in read.values():
        of_campaign[entry.race.campaign_id].append(entry)
    return of_campaign


def _tasks(arms: Mapping[int, Collection[int]]) -> dict[int, list[_Task]]:
    """Return the tasks of these arms of campaigns, with their results. One query."""
    these = Q()
    for campaign, numbers in arms.items():
        these |= Q(campaign=campaign, arm__number__in=numbers)
    tasks: dict[int, list[_Task]] = defaultdict(list)
    for row in Task.objects.filter(these).order_by("pk").values(*_TASK):
        tasks[row["campaign_id"]].append(row)
    return tasks


def _raced(campaign: Campaign, races: Sequence[_RaceRead], tasks: Sequence[_Task]) -> Raced:
    board: dict[int, ArmRow] = {}
    for race in races:
        for row in _rows_of(campaign, race, tasks, is_last=race is races[0]):
            board.setdefault(row.arm, row)
    by_arm: dict[int, list[_Task]] = defaultdict(list)
    for task in tasks:
        by_arm[task["arm__number"]].append(task)
    last = races[0].finding
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


def _of_tasks(tasks: Sequence[_Task]) -> dict[str, Any]:
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


def _runs_of(race: Race, tasks: Iterable[_Task]) -> list[Run]:
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
    campaign: Campaign, read: _RaceRead, tasks: Sequence[_Task], *, is_last: bool
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
    last = race.decisions.order_by("-look").values_list(*(name[11:] for name in _LOOK)).first()
    looks = [_Look._make(last)] if last else []
    return sentence_of(race.campaign, _finding(race, looks, race.campaign.arms.count()))


def sentence_of(campaign: Campaign, last: Finding) -> str:
    """Return what the finding of a campaign's race allows to claim."""
    spec = campaign.metric_spec
    return verdict(last, shown=lambda distance: spec.with_unit(abs(distance)))


def _finding(race: Race, read: Sequence[_Look], arms: int) -> Finding:
    """Return what the last look of a race decided; `arms` is how many its campaign has."""
    last = read[-1] if read else None
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
        arms=arms,
    )
