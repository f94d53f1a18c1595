"""What a race reads: the runs of its arms, of one class of results."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import Q

from campaigns.models import Campaign, Race, RaceOutcome, Task, TaskPurpose, TaskState
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
