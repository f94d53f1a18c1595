"""How long a campaign would take on the workers that are here now."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from statistics import median
from typing import Final

from django.db.models import Q

from campaigns.models import Result
from workers.models import Worker, WorkerState
from workers.protocol import IsolationTier

# The newest results: their overhead is what the next runs will have.
RECENT_RESULTS: Final = 100


@dataclass(frozen=True)
class Forecast:
    """What a number of tasks costs. Seconds throughout."""

    workers: int
    # What a run takes beyond its budget (less than nothing where runs end early).
    overhead_seconds: float | None
    measured_on: int
    compute_seconds: float
    # None without a worker.
    duration_seconds: float | None


def forecast(
    *,
    experiment: str,
    task_count: int,
    time_budget_seconds: float,
    allow_simulated: bool,
    required_isolation: str = IsolationTier.T0,
    is_uploaded: bool = False,
    now: dt.datetime,
) -> Forecast:
    """Estimate compute and duration from the online workers and the newest measured results."""
    takers = Q()
    # The weakest asks for nothing: workers that have not said what they do are as good.
    if required_isolation != IsolationTier.T0:
        takers &= Q(isolation__gte=required_isolation)
    if not allow_simulated:
        takers &= Q(simulates=False)
    if is_uploaded:
        takers &= Q(accepts_uploaded_scripts=True)
    workers = _workers(takers, now)
    overheads = _overheads(experiment)
    overhead = median(overheads) if overheads else None
    each = max(0.0, time_budget_seconds + (overhead or 0.0))
    return Forecast(
        workers=workers,
        overhead_seconds=overhead,
        measured_on=len(overheads),
        compute_seconds=task_count * each,
        # A worker runs one task at a time.
        duration_seconds=math.ceil(task_count / workers) * each if workers else None,
    )


def _workers(takers: Q, now: dt.datetime) -> int:
    """Count the workers of a condition that would be handed tasks now."""
    ready = (
        Worker.objects.machines()
        .online(now)
        .filter(Q(paused_until=None) | Q(paused_until__lte=now), state=WorkerState.ACTIVE)
    )
    return ready.filter(takers).count()


def _overheads(experiment: str) -> list[float]:
    """Return what each of the newest runs took beyond its budget, from lease to result."""
    # The newest of all experiments, sorted out here: looking for those of one may read them all.
    newest = Result.objects.order_by("-id").values_list(
        "campaign__experiment",
        "simulated",
        "campaign__time_budget_seconds",
        "attempt__started_at",
        "attempt__ended_at",
    )[:RECENT_RESULTS]
    return [
        (ended - started).total_seconds() - budget
        for of, simulated, budget, started, ended in newest
        if of == experiment and not simulated and ended is not None
    ]
