"""How long a campaign would take on the workers that are here now."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from campaigns.models import BudgetKind, Campaign, Result, WorkUnit
from campaigns.standings.forecast import BEHIND
from campaigns.standings.machines import Machine, Needs, machines_heard_of
from campaigns.standings.progress import forecast_of_new
from xeenet_site.web.formats import two_digits

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
    # None when no worker could take the tasks, or nobody knows how long those of others take.
    duration_seconds: float | None
    # A run with its overhead.
    task_seconds: float
    # So many tasks of other campaigns are handed out before the last one.
    ahead: int = 0
    # In a few words why there is no duration.
    why_not: str = ""

    @property
    def tasks_of_others(self) -> int:
        """`ahead` to two digits, as progress tells it."""
        return round(float(two_digits(self.ahead) or 0))

    def duration_of(self, tasks: int) -> float | None:
        """How long another number of tasks would take alone; None when no worker could take it."""
        return math.ceil(tasks / self.slots) * self.task_seconds if self.slots else None


def forecast_alone(
    campaign: Campaign,
    tasks: int,
    *,
    run_seconds: float,
    now: dt.datetime,
    fleet: Sequence[Machine] | None = None,
) -> Forecast:
    """Estimate compute and duration of tasks that have the workers online for themselves.

    Only what the campaign needs of machines counts, not its own tasks. `run_seconds` is its time
    budget, from which runs differ by their overhead, or what a run of its work budget should take.
    `fleet` are the machines heard of, if they are read already.
    """
    needs = Needs.of(campaign)
    if fleet is None:
        fleet = machines_heard_of([needs.experiment] if needs.is_work else [], now=now)
    ready = [machine for machine in fleet if machine.is_ready(now) and needs.met_by(machine)]
    slots = sum(machine.slots for machine in ready)
    known = _cost(campaign, tasks, run_seconds)
    known = replace(known, workers=len(ready), slots=slots)
    return replace(known, duration_seconds=known.duration_of(tasks))


def forecast_in_turn(
    campaign: Campaign, tasks: int, *, run_seconds: float, now: dt.datetime
) -> Forecast:
    """Like `forecast_alone`, of a campaign that is not stored and takes turns with others."""
    known = _cost(campaign, tasks, run_seconds)
    # A run is expected to take its budget: here what it takes with its overhead.
    if campaign.budget_kind == BudgetKind.WORK:
        campaign.work_unit, campaign.work_amount = WorkUnit.SECONDS, known.task_seconds
    else:
        campaign.time_budget_seconds = known.task_seconds
    told = forecast_of_new(campaign, tasks, now=now)
    known = replace(known, workers=told.machines, slots=told.slots, ahead=told.ahead)
    if not known.slots or told.why_not == BEHIND:
        return replace(known, why_not=told.why_not)
    # Tasks flow in the one, whole ones are handed out in the other.
    alone = known.duration_of(tasks) or 0.0
    return replace(known, duration_seconds=max(alone, told.eta_seconds or 0.0))


def _cost(campaign: Campaign, tasks: int, run_seconds: float) -> Forecast:
    """Return what the tasks cost, without who would run them."""
    is_work = campaign.budget_kind == BudgetKind.WORK
    overheads = [] if is_work else _overheads(campaign.experiment)
    overhead = median(overheads) if overheads else None
    task_seconds = max(0.0, run_seconds + (overhead or 0.0))
    return Forecast(
        workers=0,
        slots=0,
        overhead_seconds=overhead,
        measured_on=len(overheads),
        compute_seconds=tasks * task_seconds,
        duration_seconds=None,
        task_seconds=task_seconds,
    )


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
