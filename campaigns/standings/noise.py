"""How much the results of a class vary between seeds, over all campaigns that share the class.

The noise floor of a class is stored, because races and plans of many campaigns read it. It is
computed again when further runs have come: by a job, and when a race starts.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from statistics import median
from typing import Any, Final

from django.db.models import (
    Case,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    OuterRef,
    Q,
    QuerySet,
    When,
)

from campaigns.clock import database_now
from campaigns.models import (
    Campaign,
    NoiseFloor,
    Result,
    ResultClass,
    Task,
    TaskPurpose,
    TaskState,
)
from campaigns.race.noise import floor_of, pair_differences
from campaigns.race.rows import NO_FLOOR, Floor, Run
from campaigns.race.value import BAD_SEED
from campaigns.standings.classes import default_class
from workers.protocol import INFRASTRUCTURE_FAILURES

# A floor from more runs than these would not differ.
MAX_FLOOR_RUNS: Final = 10_000
# What is stored is below this; such noise hides every difference anyway.
MOST_SD: Final = 999_999.0
# With fewer runs an arm has no middle from which a bad seed could be far.
FEWEST_RUNS: Final = 3
# A result may be committed so long after the time that it bears.
COMMITTED_WITHIN: Final = dt.timedelta(minutes=1)


def noise_floor(campaign: Campaign) -> Floor:
    """Return the noise floor of the class in which the campaign has most results, as of now."""
    class_id = default_class(campaign)
    if class_id is None:
        return NO_FLOOR
    is_behind = Case(When(_is_behind(), then=True), default=False)
    classes = ResultClass.objects.filter(pk=class_id).select_related("noise_floor")
    row = classes.annotate(is_behind=is_behind).first()
    if row is not None and row.is_behind:
        stored: NoiseFloor | None = refresh(class_id)
    else:
        stored = getattr(row, "noise_floor", None)
    return Floor(stored.sd, stored.pairs) if stored else NO_FLOOR


def refresh_behind(*, limit: int) -> int:
    """Compute the floors again whose classes got further runs, at most `limit`; return how many."""
    behind = list(_behind().order_by("pk").values_list("pk", flat=True)[:limit])
    for class_id in behind:
        refresh(class_id)
    return len(behind)


def refresh(class_id: int) -> NoiseFloor:
    """Compute the noise floor of a class, and store it."""
    as_of = database_now()
    runs = _runs(class_id)
    floor = floor_of(_by_seed_list(runs))
    sd = None if floor.sd is None else min(floor.sd, MOST_SD)
    row, _ = NoiseFloor.objects.update_or_create(
        result_class_id=class_id,
        defaults={
            "sd": sd,
            "pairs": floor.pairs,
            "bad_seed_rate": None if sd is None else _bad_seed_rate(runs, sd),
            "as_of": as_of,
        },
    )
    return row


def pair_sizes(class_id: int) -> list[float]:
    """Return how far apart the two runs of each replicate pair of a class are, ascending."""
    return sorted(map(abs, pair_differences(_by_seed_list(_runs(class_id)))))


def _by_seed_list(runs: list[tuple[Any, ...]]) -> list[list[Run]]:
    """Return the runs of `_runs` grouped by base seed, every arm on each seed once."""
    seed_lists: dict[int, list[Run]] = defaultdict(list)
    # The same arm on the same seed in a clone is no second run: it would give the same value.
    seen: set[tuple[int, str, int]] = set()
    arms: dict[tuple[int, str], int] = {}
    for base_seed, params, index, sort_key, *_ in runs:
        if (base_seed, params, index) not in seen:
            seen.add((base_seed, params, index))
            arm = arms.setdefault((base_seed, params), len(arms))
            seed_lists[base_seed].append(Run(arm, index, sort_key))
    return list(seed_lists.values())


def _behind() -> QuerySet[ResultClass]:
    """Return the classes that got further runs since their floor was computed."""
    return ResultClass.objects.filter(_is_behind())


def _is_behind() -> Q:
    since = ExpressionWrapper(
        OuterRef("noise_floor__as_of") - COMMITTED_WITHIN, output_field=DateTimeField()
    )
    further = _further_runs().filter(result_class=OuterRef("pk"))
    return Q(Exists(further), noise_floor=None) | Q(Exists(further.filter(created_at__gt=since)))


def _further_runs() -> QuerySet[Result]:
    """Return the ranked results of arms on further seeds of a list that all their arms share."""
    return Result.objects.filter(
        is_ranked=True,
        is_screening=False,
        task__seed_index__gte=1,
        campaign__shares_seeds=True,
    ).exclude(task__purpose=TaskPurpose.REPLAY)


def _runs(class_id: int) -> list[tuple[Any, ...]]:
    """Return the newest further runs of a class.

    Each is a base seed, the hash of the arm's params, a seed index, a sort key, the campaign's id
    and the arm's.
    """
    rows = _further_runs().filter(result_class=class_id).order_by("-created_at", "-pk")
    return list(
        rows.values_list(
            "campaign__base_seed",
            "arm__params_sha256",
            "task__seed_index",
            "sort_key",
            "campaign",
            "arm",
        )[:MAX_FLOOR_RUNS]
    )


def _bad_seed_rate(runs: list[tuple[Any, ...]], sd: float) -> float | None:
    """Return the share of runs far above their arm's median or without a value, for their params.

    Arms with fewer than `FEWEST_RUNS` runs do not count; None when no other is left.
    """
    values: dict[int, list[float]] = defaultdict(list)
    for *_, sort_key, _campaign, arm in runs:
        values[arm].append(sort_key)
    for arm in _valueless_arms({row[4] for row in runs}):
        if arm in values:
            values[arm].append(math.inf)
    bad = total = 0
    for own in values.values():
        if len(own) >= FEWEST_RUNS:
            middle = median(own)
            total += len(own)
            bad += sum(value == math.inf or value > middle + BAD_SEED * sd for value in own)
    return bad / total if total else None


def _valueless_arms(campaigns: set[int]) -> list[int]:
    """Return the arm of each further run that diverged or failed for its params."""
    tasks = Task.objects.filter(campaign__in=campaigns, seed_index__gte=1)
    tasks = tasks.exclude(purpose__in=[TaskPurpose.SCREEN, TaskPurpose.REPLAY])
    failed = Q(state=TaskState.FAILED) & ~Q(failure_class__in=INFRASTRUCTURE_FAILURES)
    ended = tasks.filter(failed | Q(result__diverged=True, result__simulated=False))
    return list(ended.values_list("arm", flat=True)[:MAX_FLOOR_RUNS])
