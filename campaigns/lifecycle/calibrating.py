"""When a worker measures its speed, and which tasks it may not have before.

Asked at each claim. Only tasks of work budgets need to know how fast a worker is, so one that only
ever sees time budgets is never asked. An agent that cannot measure is handed everything, unless a
measurement of before is flagged: its values differ from what the script gives elsewhere.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet

from campaigns.fleet.speeds import description_of
from campaigns.models import Attempt, BudgetKind, Campaign, CampaignState, Task, TaskState
from campaigns.models.campaign import CampaignQuerySet
from campaigns.work.cost import CostModel
from campaigns.work.describe import InfeasibleCost
from experiments import catalog
from experiments.calibration import CalibrationPlan
from workers.calibration import CalibrationOrder
from workers.models import Calibration, Worker, WorkerQuerySet

REPEATED_AFTER: Final = dt.timedelta(hours=6)
# So many runs in a row, all slower or all faster than expected by such a factor, are a drift.
DRIFT_RUNS: Final = 3
DRIFT_SLOWER: Final = 1.5
DRIFT_FASTER: Final = 0.67
MEASURES_FIRST: Final = (
    "The tasks that wait have work budgets: this worker measures its speed first, one to five "
    "minutes."
)


@dataclass(frozen=True)
class Measuring:
    """What a claim does for the sake of speeds: withheld tasks and why, and the order, if any."""

    # Experiments of which the worker gets no task of a work budget.
    withheld: frozenset[str] = field(default_factory=frozenset)
    reason: str = ""
    order: CalibrationOrder | None = None

    def allowed(self, campaigns: CampaignQuerySet) -> CampaignQuerySet:
        """Return the campaigns without those whose tasks are withheld."""
        if not self.withheld:
            return campaigns
        return campaigns.exclude(budget_kind=BudgetKind.WORK, experiment__in=self.withheld)


def noting_work(workers: WorkerQuerySet) -> WorkerQuerySet:
    """Let the query on workers tell, too, whether any active campaign has a work budget."""
    active = Campaign.objects.filter(state=CampaignState.ACTIVE, budget_kind=BudgetKind.WORK)
    return workers.annotate(work_is_active=Exists(active))


def measuring(
    worker: Worker, campaigns: CampaignQuerySet, *, calibrates: bool, now: dt.datetime
) -> Measuring:
    """Return what a claim of the worker does for the sake of its speed.

    `worker` comes from `noting_work`, `campaigns` are those whose tasks it may run, `calibrates` is
    whether its agent can measure. No query unless a campaign with a work budget is active.
    """
    if not is_asked(worker):
        return Measuring()
    pending = Task.objects.filter(campaign=OuterRef("pk"), state=TaskState.PENDING)
    waiting = campaigns.filter(Exists(pending), budget_kind=BudgetKind.WORK).order_by()
    withheld, reasons = set(), []
    order: CalibrationOrder | None = None
    for experiment in sorted(set(waiting.values_list("experiment", flat=True))):
        plan = plan_of(experiment)
        if plan is None:
            continue
        sha256 = catalog.script_sha256(experiment)
        of_script = calibrations_of(worker.pk, experiment, sha256)
        newest = of_script.first()
        if newest is not None and newest.is_held_back:
            withheld.add(experiment)
            reasons.append(newest.why_held_back)
        elif calibrates and newest is None:
            withheld.add(experiment)
            reasons.append(MEASURES_FIRST)
            order = order or _order(experiment, sha256, repeated=False)
        elif calibrates and newest is not None and is_due(newest, plan, now, _runs_since):
            repeated = of_script.exclude(coefficients={}).exists()
            order = order or _order(experiment, sha256, repeated=repeated)
    return Measuring(frozenset(withheld), " ".join(reasons), order)


def is_asked(worker: Worker) -> bool:
    """Return whether speeds matter to a claim of this worker, which comes from `noting_work`."""
    is_active = getattr(worker, "work_is_active", False)
    return is_active and not (worker.simulates or worker.is_program)


def plan_of(experiment: str) -> CalibrationPlan | None:
    """Return what a machine measures with the experiment; None for one without calibration."""
    try:
        return catalog.get(experiment).calibration
    except catalog.UnknownExperiment:
        return None  # the campaign is older than the removal of its experiment


def _order(experiment: str, script_sha256: str, *, repeated: bool) -> CalibrationOrder:
    return {"experiment": experiment, "script_sha256": script_sha256, "repeated": repeated}


def calibrations_of(worker: Any, experiment: Any, script_sha256: Any) -> QuerySet[Calibration]:
    """Return the worker's calibrations with a script, the newest first. For ids or expressions."""
    return Calibration.objects.filter(
        worker=worker, experiment=experiment, script_sha256=script_sha256
    )


def latest_runs(
    worker: Any, taken_at: Any, script_sha256: Any
) -> QuerySet[Attempt, tuple[dict[str, Any], float | None]]:
    """Return params and step time of the worker's latest runs since a calibration."""
    runs = Attempt.objects.filter(
        worker=worker,
        started_at__gt=taken_at,
        result__simulated=False,
        result__step_seconds__isnull=False,
        task__campaign__budget_kind=BudgetKind.WORK,
        task__campaign__package=script_sha256,
    )
    latest = runs.order_by("-started_at").values_list("task__params", "result__step_seconds")
    return latest[:DRIFT_RUNS]


def _runs_since(newest: Calibration) -> Iterable[Sequence[Any]]:
    return latest_runs(newest.worker_id, newest.taken_at, newest.script_sha256)


def is_due(
    newest: Calibration,
    plan: CalibrationPlan,
    now: dt.datetime,
    runs_since: Callable[[Calibration], Iterable[Sequence[Any]]],
) -> bool:
    """Return whether the worker measures again: it is time, or its runs say otherwise.

    `runs_since` reads the `latest_runs`.
    """
    if now - newest.taken_at >= REPEATED_AFTER:
        return True
    if not newest.coefficients:
        # A repetition that had nothing to build on: torch, or the device, is another than before.
        return len(newest.shapes) < len(plan.shapes)
    return _drifts(newest, runs_since)


def _drifts(
    newest: Calibration, runs_since: Callable[[Calibration], Iterable[Sequence[Any]]]
) -> bool:
    """Return whether the worker's latest runs all took much longer, or all less, than expected."""
    description = description_of(catalog.script_source(newest.experiment))
    model = CostModel(newest.coefficients, "")
    if description is None or not model.fits(description):
        return False
    ratios = []
    for params, step_seconds in runs_since(newest):
        try:
            ratios.append(float(step_seconds or 0.0) / model.step_seconds(description, params))
        except InfeasibleCost:
            return False
    if len(ratios) < DRIFT_RUNS:
        return False
    return min(ratios) > DRIFT_SLOWER or max(ratios) < DRIFT_FASTER
