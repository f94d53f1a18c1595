"""What else bears on a campaign's values: noise, disturbed runs, first seeds, calibrations."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from statistics import mean
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Count, OuterRef, Q, Subquery

from campaigns.caching import cached_by_revision, cached_roughly
from campaigns.models import (
    BudgetKind,
    Campaign,
    NoiseFloor,
    Result,
    Task,
    TaskPurpose,
    TaskState,
)
from campaigns.race.plan import expected_regression, visible_gap
from campaigns.race.rows import MIN_SIGMA, Floor
from campaigns.standings import leaderboard
from campaigns.standings.arms import KEPT_ROWS
from campaigns.standings.classes import classes_of, default_class
from campaigns.standings.noise import pair_sizes
from campaigns.standings.raced import raced
from workers.models import Calibration, Worker

# With so many seeds of each arm the visible difference is told.
SEED_COUNTS: Final = (1, 3, 6, 12)
# So many rows of each list are on the tab itself.
MOST_ROWS: Final = 20
MOST_WORKERS: Final = 50
MOST_CLASSES: Final = 12
# More dots than these show nothing more: quantiles stand for them.
MOST_DOTS: Final = 120
_KEPT_SECONDS: Final = 3600


@dataclass(frozen=True)
class ClassNoise:
    """The noise between seeds in one class, over all campaigns that share it.

    `gaps` are the true differences that races of `SEED_COUNTS` seeds find four times in five; empty
    while the noise is unknown. `sizes` are how far apart the runs of each replicate pair are, or as
    many quantiles of them; `pairs` counts all.
    """

    class_id: int
    words: str
    results: int
    sd: float | None
    pairs: int
    bad_seed_rate: float | None
    as_of: dt.datetime | None
    gaps: tuple[float, ...]
    sizes: tuple[float, ...]


def class_noises(campaign: Campaign) -> list[ClassNoise]:
    """Return the noise of the classes of a campaign, that with most results first."""
    known = classes_of(campaign)[:MOST_CLASSES]
    floors = NoiseFloor.objects.in_bulk([row.pk for row in known], field_name="result_class_id")
    return [_class_noise(row, floors.get(row.pk)) for row in known]


def _class_noise(row: Any, floor: NoiseFloor | None) -> ClassNoise:
    sd, pairs = (floor.sd, floor.pairs) if floor else (None, 0)
    gaps: tuple[float, ...] = ()
    if sd is not None and (df := Floor(sd, pairs).weight) >= 1:
        gaps = tuple(visible_gap(seeds, max(MIN_SIGMA, sd), df) for seeds in SEED_COUNTS)
    return ClassNoise(
        class_id=row.pk,
        words=row.words,
        results=row.results,
        sd=sd,
        pairs=pairs,
        bad_seed_rate=floor.bad_seed_rate if floor else None,
        as_of=floor.as_of if floor else None,
        gaps=gaps,
        sizes=_sizes(floor) if floor and pairs else (),
    )


def _sizes(floor: NoiseFloor) -> tuple[float, ...]:
    """Return the sizes of the floor's pairs, kept until the floor is computed again."""
    key = f"xeenet:pair-sizes:{floor.result_class_id}:{floor.as_of.timestamp()}"

    def read() -> tuple[float, ...]:
        sizes = pair_sizes(floor.result_class_id)
        if len(sizes) <= MOST_DOTS:
            return tuple(sizes)
        step = (len(sizes) - 1) / (MOST_DOTS - 1)
        return tuple(sizes[round(place * step)] for place in range(MOST_DOTS))

    sizes: tuple[float, ...] = cache.get_or_set(key, read, _KEPT_SECONDS)  # type: ignore[assignment]
    return sizes


@dataclass(frozen=True)
class DisturbedRun:
    """A run that others slowed, and what became of it. Numbers are those of tasks."""

    number: int
    arm: int
    value: float | None
    # Times as long as its steps should take; None when only the set-up was slow.
    factor: float | None
    slow_setup: bool
    became: str
    # The other run of its arm on its seed.
    other: int | None


def disturbed_runs(campaign: Campaign) -> list[DisturbedRun]:
    """Return the newest runs that were disturbed, by others or by a slow set-up."""
    return cached_by_revision(campaign, "honesty-disturbed", lambda: _disturbed(campaign))


def _disturbed(campaign: Campaign) -> list[DisturbedRun]:
    hindered = Q(disturbed=True) | Q(slow_setup=True)
    results = Result.objects.filter(hindered, campaign=campaign, simulated=False)
    results = results.select_related("task__arm").defer("metrics", "task__params")
    rows = list(results.order_by("-created_at", "-pk")[:MOST_ROWS])
    pairs = Q()
    for row in rows:
        pairs |= Q(arm=row.arm_id, seed=row.task.seed)
    others: dict[tuple[int, int], list[Task]] = {}
    if rows:
        for task in Task.objects.filter(pairs).select_related("result").defer("result__metrics"):
            others.setdefault((task.arm_id, task.seed), []).append(task)
    runs = []
    for row in rows:
        siblings = [task for task in others[row.arm_id, row.task.seed] if task.pk != row.task_id]
        became, other = _became(campaign, row, siblings[0] if siblings else None)
        expected = row.expected_step_seconds
        runs.append(
            DisturbedRun(
                number=row.task.number,
                arm=row.task.arm.number,
                value=row.value,
                factor=row.step_seconds / expected
                if row.disturbed and row.step_seconds and expected
                else None,
                slow_setup=bool(row.slow_setup),
                became=became,
                other=other,
            )
        )
    return runs


def _became(campaign: Campaign, result: Result, other: Task | None) -> tuple[str, int | None]:
    """Return what became of a disturbed run, with the other task of its seed if there is one."""
    if other is None:
        if campaign.budget_kind == BudgetKind.WORK:
            return "counts: a value at equal work does not depend on the speed", None
        if result.task.purpose == TaskPurpose.RACE:
            return "counts: runs of a race are never repeated", None
        return "not repeated", None
    key = other.number
    if result.task.purpose == TaskPurpose.REPLAY:
        return "does not count; the other run of its seed does", key
    measured = getattr(other, "result", None)
    if other.state in {TaskState.PENDING, TaskState.LEASED}:
        return "counts until its replay has ended", key
    if measured is None or not measured.is_ranked:
        return "counts: its replay brought no value", key
    return "counts: its replay was disturbed, too", key


@dataclass(frozen=True)
class SlowArms:
    """Arms that can get no result; `arms` are (number, why) of the first ones."""

    total: int
    arms: tuple[tuple[int, str], ...]


def slow_arms(campaign: Campaign) -> SlowArms:
    """Return the arms that no worker was fast enough for, or whose cost is not finite."""

    def read() -> SlowArms:
        infeasible = campaign.arms.exclude(infeasible="").order_by("number")
        first = tuple(infeasible.values_list("number", "infeasible")[:MOST_ROWS])
        return SlowArms(infeasible.count() if len(first) == MOST_ROWS else len(first), first)

    return cached_roughly(campaign, "honesty-slow-arms", read)


@dataclass(frozen=True)
class FirstSeeds:
    """What first seeds said of the arms that raced, beside what their races said.

    `pairs` are (arm, first value, race value) in the order of the board. `kinder` is by how much
    the first seed was better on average, in the metric's unit and positive when it flattered.
    `chance` is what the first of so many equal arms loses when it runs again; None without a noise
    floor.
    """

    pairs: tuple[tuple[int, float, float], ...]
    kinder: float | None
    flattered: int
    arms: int
    chance: float | None


def first_seeds(campaign: Campaign, sd: float | None) -> FirstSeeds:
    """Return the first seeds of the first arms of the board that raced; `sd` is the noise."""
    pairs, measured = cached_by_revision(campaign, "honesty-first", lambda: _first(campaign))
    spec = campaign.metric_spec
    losses = [spec.sort_key(race) - spec.sort_key(first) for _, first, race in pairs]
    return FirstSeeds(
        pairs=tuple(pairs),
        kinder=mean(losses) if losses else None,
        flattered=sum(loss > 0 for loss in losses),
        arms=measured,
        chance=expected_regression(measured, sd) if sd is not None and measured > 1 else None,
    )


def _first(campaign: Campaign) -> tuple[list[tuple[int, float, float]], int]:
    known = raced(campaign)
    # The race ran in this class: a value of another would not compare.
    own_class = default_class(campaign)
    values = {
        first.arm: first.value
        for first in known.first_results
        if first.is_ranked and first.result_class == own_class
    }
    pairs = [
        (row.arm, value, row.value)
        for row in known.rows[:KEPT_ROWS]
        if (value := values.get(row.arm)) is not None and row.value is not None
    ]
    kinds = leaderboard.kinds(campaign)
    return pairs, sum(kind.number for kind in kinds if kind.is_ranked and kind.is_screening)


@dataclass(frozen=True)
class WorkerPart:
    """A worker that brought results, and its latest calibration."""

    worker: Worker
    results: int
    calibration: Calibration | None


def workers_of(campaign: Campaign) -> tuple[list[WorkerPart], int]:
    """Return the workers with most results, with their latest calibrations; and how many others."""
    counts = cached_roughly(campaign, "honesty-workers", lambda: _worker_counts(campaign))
    first = counts[:MOST_WORKERS]
    own = Calibration.objects.filter(worker=OuterRef("pk"), experiment=campaign.experiment)
    newest = own.order_by("-taken_at", "-pk").values("pk")[:1]
    workers: Any = Worker.objects.annotate(newest=Subquery(newest)).in_bulk([pk for pk, _ in first])
    wanted = [worker.newest for worker in workers.values() if worker.newest]
    calibrations = Calibration.objects.in_bulk(wanted) if wanted else {}
    parts = [
        WorkerPart(workers[pk], number, calibrations.get(workers[pk].newest))
        for pk, number in first
        if pk in workers
    ]
    return parts, len(counts) - len(first)


def _worker_counts(campaign: Campaign) -> list[tuple[int, int]]:
    results = campaign.results.filter(simulated=False).order_by()
    counts = results.values_list("attempt__worker").annotate(number=Count("pk"))
    return sorted(counts, key=lambda row: (-row[1], row[0]))
