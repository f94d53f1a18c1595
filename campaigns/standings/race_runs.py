"""What a race reads: the runs of its arms, of one class of results."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db.models import Count, OuterRef, Q, Subquery

from campaigns.models import Arm, Campaign, Race, RaceOutcome, Task, TaskPurpose, TaskState
from campaigns.race import rule
from campaigns.race.look import Decision as LookDecision
from campaigns.race.look import decide
from campaigns.race.rows import Floor, Run, Sight
from campaigns.race.rule import SCREENING_SEED, looks_at
from workers.protocol import INFRASTRUCTURE_FAILURES

# Of compared arms, so many runs are read.
MAX_COMPARED_RUNS: Final = 10_000
ENDED: Final = (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
RUN_COLUMNS: Final = (
    "arm__number",
    "seed_index",
    "state",
    "failure_class",
    "result__sort_key",
    "result__is_ranked",
    "result__diverged",
    "result__simulated",
    "result__result_class",
)


def rule_of(race: Race) -> rule.Race:
    """Return the race as the rule knows it."""
    return rule.Race(
        tuple(race.arms),
        tuple(race.seeds),
        Floor(race.floor_sd, race.floor_pairs),
        race.runs_allowed,
        race.min_effect,
    )


def decisions_of(race: Race) -> list[LookDecision]:
    """Return the decisions of a race, computed again from what each look saw."""
    saw = race.decisions.order_by("look").values_list("saw", flat=True)
    return [decide(Sight.from_json(fields)) for fields in saw]


def screening_values(campaign: Campaign) -> dict[int, float | None]:
    """Return the sort key of each arm on the first seed, by which screening chooses what races.

    Only measured values that count, of one class of results. An arm without such a value, or one
    that can get no result, is not in it.
    """
    first = campaign.tasks.filter(seed_index=0, result__is_ranked=True, arm__infeasible="")
    tasks = first.exclude(purpose=TaskPurpose.REPLAY)
    return {run.arm: run.sort_key for run in of_one_class(list(tasks.values(*RUN_COLUMNS)))}


def race_runs(race: Race) -> list[Run]:
    """Return the ended runs of the race's arms on its seeds."""
    tasks = Task.objects.filter(
        campaign=race.campaign_id,
        arm__number__in=race.arms,
        seed_index__in=race.seeds,
        state__in=ENDED,
    ).exclude(purpose=TaskPurpose.REPLAY)
    return of_one_class(list(tasks.values(*RUN_COLUMNS)))


def runs_on_seeds(arms: Iterable[int]) -> list[Run]:
    """Return the ended runs of arms, given by their ids, also of several campaigns.

    In these rows `arm` is the arm's id, and `seed_index` the seed itself: campaigns with another
    base seed have other seeds at the same place. Screening runs are left out, they prove nothing.
    """
    left_out = Q(purpose=TaskPurpose.SCREEN) | Q(seed_index=SCREENING_SEED)
    tasks = Task.objects.filter(arm__in=arms, state__in=ENDED)
    rows = tasks.exclude(left_out | Q(purpose=TaskPurpose.REPLAY)).order_by("seed", "pk")
    columns = rows.values(*RUN_COLUMNS, "arm_id", "seed")[:MAX_COMPARED_RUNS]
    return of_one_class(
        [row | {"arm__number": row["arm_id"], "seed_index": row["seed"]} for row in columns]
    )


def runs_of_looks(race: Race) -> int:
    """Return how many runs the looks of a race have needed so far, with those of a champion's end.

    Reads `race.decisions`, of which a list should prefetch all but `saw`.
    """
    total = len(race.seeds)
    looks = looks_at(total)
    runs = len(race.arms) * looks[0]
    decisions = sorted(race.decisions.all(), key=lambda decision: decision.look)
    for decision, seeds, next_seeds in zip(decisions, looks, (*looks[1:], total), strict=False):
        if not decision.outcome:
            runs += (len(decision.group) - len(decision.dropped)) * (next_seeds - seeds)
        elif decision.outcome == RaceOutcome.CHAMPION:
            runs += total - seeds
    return runs


class Look(NamedTuple):
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
    for name in Look._fields
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
    "started_at",
    "ended_at",
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
TaskRow = dict[str, Any]


@dataclass
class RaceRead:
    """A race with its looks, in order, or only the last; `arms` is how many its campaign has."""

    race: Race
    arms: int
    looks: list[Look] = field(default_factory=list)

    @property
    def decisions(self) -> list[LookDecision]:
        """The decisions of its looks, computed again from what each saw."""
        return [decide(Sight.from_json(look.saw)) for look in self.looks]


@dataclass(frozen=True)
class RacesRead:
    """The races of a campaign, the newest first, and the tasks of their arms."""

    races: list[RaceRead]
    tasks: list[TaskRow]


_KEPT: Final = "_races_read"


def races_read(campaigns: Sequence[Campaign]) -> dict[int, RacesRead]:
    """Return the races of each campaign: two queries for all that have not been read yet.

    A loaded campaign keeps what was read of it: the page of a race needs the board, too.
    """
    missing = [c for c in campaigns if c.__dict__.get(_KEPT, (None,))[0] != c.revision]
    if missing:
        races = _races(missing)
        numbers = {
            pk: {arm for race in own for arm in race.race.arms} for pk, own in races.items() if own
        }
        tasks = _tasks(numbers) if numbers else {}
        for campaign in missing:
            known = RacesRead(races[campaign.pk], tasks.get(campaign.pk, []))
            campaign.__dict__[_KEPT] = (campaign.revision, known)
    return {campaign.pk: campaign.__dict__[_KEPT][1] for campaign in campaigns}


def with_last_look(race: Race) -> RaceRead:
    """Return a race with what its last look decided."""
    columns = (name.removeprefix("decisions__") for name in _LOOK)
    last = race.decisions.order_by("-look").values_list(*columns).first()
    return RaceRead(race, race.campaign.arms.count(), [Look._make(last)] if last else [])


def _races(campaigns: Sequence[Campaign]) -> dict[int, list[RaceRead]]:
    """Return the races of each campaign, the newest first. One query."""
    arms = Arm.objects.filter(campaign=OuterRef("campaign")).order_by().values("campaign")
    rows = Race.objects.filter(campaign__in=campaigns).annotate(
        arm_count=Subquery(arms.annotate(n=Count("*")).values("n"))
    )
    read: dict[int, RaceRead] = {}
    columns = rows.order_by("-number", "decisions__look").values_list("arm_count", *_RACE, *_LOOK)
    for count, *row in columns:
        race = Race(**dict(zip(_RACE, row[: len(_RACE)], strict=True)))
        entry = read.setdefault(race.pk, RaceRead(race, count or 0))
        look = Look._make(row[len(_RACE) :])
        if look.look is not None:
            entry.looks.append(look)
    of_campaign: dict[int, list[RaceRead]] = {campaign.pk: [] for campaign in campaigns}
    for entry in read.values():
        of_campaign[entry.race.campaign_id].append(entry)
    return of_campaign


def _tasks(arms: Mapping[int, Collection[int]]) -> dict[int, list[TaskRow]]:
    """Return the tasks of these arms of campaigns, with their results. One query."""
    these = Q()
    for campaign, numbers in arms.items():
        these |= Q(campaign=campaign, arm__number__in=numbers)
    tasks: dict[int, list[TaskRow]] = defaultdict(list)
    for row in Task.objects.filter(these).order_by("pk").values(*_TASK):
        tasks[row["campaign_id"]].append(row)
    return tasks


def of_one_class(rows: Sequence[dict[str, Any]]) -> list[Run]:
    """Return rows of `RUN_COLUMNS` as runs.

    A value that is not of the class with most values is missing. Of classes with equally many
    values the oldest counts.
    """
    classes = Counter(row["result__result_class"] for row in rows if row["result__is_ranked"])
    most = min(classes, key=lambda key: (-classes[key], key)) if classes else None
    return [
        Run(row["arm__number"], row["seed_index"], _sort_key(row, of_class=most)) for row in rows
    ]


def _sort_key(row: dict[str, Any], *, of_class: int | None) -> float | None:
    """Return what a run says of its arm: a value, infinity, or nothing (see `race.rows.Run`)."""
    if row["state"] == TaskState.FAILED:
        is_own_fault = row["failure_class"] not in INFRASTRUCTURE_FAILURES
        return math.inf if is_own_fault else None
    if row["state"] != TaskState.COMPLETED or row["result__simulated"]:
        return None
    if row["result__diverged"]:
        return math.inf
    if not row["result__is_ranked"] or row["result__result_class"] != of_class:
        return None
    value: float = row["result__sort_key"]
    return value
