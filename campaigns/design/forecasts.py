"""How long a campaign would take on the workers that are here now."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from campaigns.models import BudgetKind, Result
from campaigns.standings.machines import Needs, machines_heard_of
from workers.protocol import IsolationTier

# The overhead of so many of the newest results predicts that of the next runs.
RECENT_RESULTS: Final = 100


@dataclass(frozen=True)
class Forecast:
    """What a number of tasks costs. All times are in seconds."""

    workers: int
    # How many tasks these run at a time.
    slots: int
    # Median time of a run beyond its budget: negative where runs end early, None when unknown.
    overhead_seconds: float | None
    # How many results the overhead is the median of.
    measured_on: int
    compute_seconds: float
    # None when no worker could take the tasks.
    duration_seconds: float | None
    # A run with its overhead.
    task_seconds: float

    def duration_of(self, tasks: int) -> float | None:
        """How long another number of tasks would take; None when no worker could take them."""
        return math.ceil(tasks / self.slots) * self.task_seconds if self.slots else None


def forecast(
    *,
    experiment: str,
    task_count: int,
    run_seconds: float,
    allow_simulated: bool,
    is_work: bool = False,
    required_isolation: str = IsolationTier.T0,
    is_uploaded: bool = False,
    script_sha256: str = "",
    now: dt.datetime,
) -> Forecast:
    """Estimate compute and duration from the online workers and the newest measured results.

    `run_seconds` is the time budget, from which runs differ by their overhead, or what a run of a
    work budget should take; `script_sha256` is the script of the catalog that they run.
    """
    script = "" if is_uploaded else script_sha256
    needs = Needs(experiment, allow_simulated, required_isolation, is_uploaded, is_work, script)
    heard = machines_heard_of([experiment] if is_work else [], now=now)
    ready = [machine for machine in heard if machine.is_ready(now) and needs.met_by(machine)]
    slots = sum(machine.slots for machine in ready)
    overheads = [] if is_work else _overheads(experiment)
    overhead = median(overheads) if overheads else None
    task_seconds = max(0.0, run_seconds + (overhead or 0.0))
    known = Forecast(
        workers=len(ready),
        slots=slots,
        overhead_seconds=overhead,
        measured_on=len(overheads),
        compute_seconds=task_count * task_seconds,
        duration_seconds=None,
        task_seconds=task_seconds,
    )
    return replace(known, duration_seconds=known.duration_of(task_count))


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
