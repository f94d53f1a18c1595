"""What a race reads: the runs of its arms, and the noise between seeds that a campaign shows."""

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
from campaigns.race.noise import floor_of
from campaigns.race.rows import Floor, Run, Sight
from campaigns.race.rule import SCREENING_SEED, looks_at
from workers.protocol import INFRASTRUCTURE_FAILURES

# A floor from more runs than these would not differ.
MAX_FLOOR_RUNS: Final = 10_000
_ENDED: Final = (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
_RUN_COLUMNS: Final = (
    "arm__number",
    "seed_index",
    "state",
    "failure_class",
    "result__sort_key",
    "result__is_ranked",
    "result__diverged",
    "result__simulated",
    "result__device_used",
    "result__eval_is_subset",
)
# Two results can be compared when these two agree: the kind of device, and what was evaluated.
_Class = tuple[str, bool]


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


def noise_floor(campaign: Campaign) -> Floor:
    """Return the noise between seeds that the campaign's repeated arms show so far."""
    ranked = campaign.tasks.filter(seed_index__gte=1, result__is_ranked=True)
    # A replay would be a second run of its arm on one seed.
    tasks = ranked.exclude(purpose=TaskPurpose.REPLAY).order_by("-number")
    return floor_of([_of_one_class(list(tasks.values(*_RUN_COLUMNS)[:MAX_FLOOR_RUNS]))])


def race_runs(race: Race) -> list[Run]:
    """Return the ended runs of the race's arms on its seeds."""
    tasks = Task.objects.filter(
        campaign=race.campaign_id,
        arm__number__in=race.arms,
        seed_index__in=race.seeds,
        state__in=_ENDED,
    ).exclude(purpose=TaskPurpose.REPLAY)
    return _of_one_class(list(tasks.values(*_RUN_COLUMNS)))


def runs_on_seeds(arms: Iterable[int]) -> list[Run]:
    """Return the ended runs of arms, given by their ids, also of several campaigns.

    In these rows `arm` is the arm's id, and `seed_index` the seed itself: campaigns with another
    base seed have other seeds at the same place. Screening runs are left out, they prove nothing.
    """
    left_out = Q(purpose=TaskPurpose.SCREEN) | Q(seed_index=SCREENING_SEED)
    tasks = Task.objects.filter(arm__in=arms, state__in=_ENDED)
    rows = tasks.exclude(left_out | Q(purpose=TaskPurpose.REPLAY)).order_by("seed", "pk")
    columns = rows.values(*_RUN_COLUMNS, "arm_id", "seed")[:MAX_FLOOR_RUNS]
    return _of_one_class(
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


def _of_one_class(rows: Sequence[dict[str, Any]]) -> list[Run]:
    """Return the rows as runs; a value that is not of the class with most values is missing."""
    classes = Counter(_class_of(row) for row in rows if row["result__is_ranked"])
    most = max(classes, key=lambda kind: (classes[kind], kind)) if classes else None
    return [
        Run(row["arm__number"], row["seed_index"], _sort_key(row, of_class=most)) for row in rows
    ]


def _class_of(row: dict[str, Any]) -> _Class:
    device: str = row["result__device_used"]
    return device.partition(":")[0], row["result__eval_is_subset"]


def _sort_key(row: dict[str, Any], *, of_class: _Class | None) -> float | None:
    """Return what a run says of its arm: a value, infinity, or nothing (see `race.rows.Run`)."""
    if row["state"] == TaskState.FAILED:
        is_own_fault = row["failure_class"] not in INFRASTRUCTURE_FAILURES
        return math.inf if is_own_fault else None
    if row["state"] != TaskState.COMPLETED or row["result__simulated"]:
        return None
    if row["result__diverged"]:
        return math.inf
    if not row["result__is_ranked"] or _class_of(row) != of_class:
        return None
    value: float = row["result__sort_key"]
    return value
