"""How long a campaign would take on the workers that are here now."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from statistics import median
from typing import Final

from django.db.models import Q

from campaigns.models import BudgetKind, Result
from workers.models import Worker, WorkerState
from workers.protocol import IsolationTier

# The overhead of so many of the newest results predicts that of the next runs.
RECENT_RESULTS: Final = 100


@dataclass(frozen=True)
class Forecast:
    """What a number of tasks costs. All times are in seconds."""

    workers: int
    # Median time of a run beyond its budget: negative where runs end early, None when unknown.
    overhead_seconds: float | None
    # How many results the overhead is the median of.
    measured_on: int
    compute_seconds: float
    # None when no worker could take the tasks.
    duration_seconds: float | None


def forecast(
    *,
    experiment: str,
    task_count: int,
    run_seconds: float,
    allow_simulated: bool,
    is_work: bool = False,
    required_isolation: str = IsolationTier.T0,
    is_uploaded: bool = False,
    now: dt.datetime,
) -> Forecast:
    """Estimate compute and duration from the online workers and the newest measured results.

    `run_seconds` is the time budget, from which runs differ by their overhead, or what a run of a
    work budget should take.
    """
    takers = Q()
    # T0, the weakest tier, needs no filter: it includes workers that have not reported their tier.
    if required_isolation != IsolationTier.T0:
        takers &= Q(isolation__gte=required_isolation)
    if not allow_simulated:
        takers &= Q(simulates=False)
    if is_uploaded:
        takers &= Q(accepts_uploaded_scripts=True)
    workers = _workers(takers, now)
    overheads = [] if is_work else _overheads(experiment)
    overhead = median(overheads) if overheads else None
    task_seconds = max(0.0, run_seconds + (overhead or 0.0))
    return Forecast(
        workers=workers,
        overhead_seconds=overhead,
        measured_on=len(overheads),
        compute_seconds=task_count * task_seconds,
        # A worker runs one task at a time.
        duration_seconds=math.ceil(task_count / workers) * task_seconds if workers else None,
    )


def _workers(takers: Q, now: dt.datetime) -> int:
    """Count the workers that meet the condition and would be handed tasks now."""
    ready = (
        Worker.objects.machines()
        .online(now)
        .filter(Q(paused_until=None) | Q(paused_until__lte=now), state=WorkerState.ACTIVE)
    )
    return ready.filter(takers).count()


def _overheads(experiment: str) -> list[float]:
    """Return each newest run's seconds beyond its budget, measured from lease to result."""
    # Read the newest results of all experiments and filter them here: a query for one experiment
    # may have to read all results.
    newest = Result.objects.order_by("-id").values_list(
        "campaign__experiment",
        "simulated",
        "campaign__budget_kind",
        "campaign__time_budget_seconds",
        "attempt__started_at",
        "attempt__ended_at",
    )[:RECENT_RESULTS]
    return [
        (ended - started).total_seconds() - budget
        for name, simulated, kind, budget, started, ended in newest
        if (name, kind) == (experiment, BudgetKind.TIME) and not simulated and ended is not None
    ]
