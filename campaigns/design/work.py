"""What a work budget means before it runs: its steps, its reference, and how long a run takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from campaigns.fleet.budgets import WorkBudget, budget_of, evaluated_bytes, new_budget, run_seconds
from campaigns.fleet.extents import Extent
from campaigns.fleet.speeds import online_models
from campaigns.lifecycle import CampaignSpec, InvalidCampaign
from campaigns.lifecycle.work_checks import budget_problems, checked_extent, unit_of
from campaigns.models import BudgetKind, Campaign, Package, WorkUnit
from campaigns.search.space import SearchSpace
from campaigns.work.cost import CostModel
from campaigns.work.describe import InfeasibleCost
from experiments import catalog

# Of so many runs, and on so many machines, the mean time is taken.
SAMPLED_RUNS: Final = 100
SAMPLED_MACHINES: Final = 16
Run = tuple[Mapping[str, Any], int]


@dataclass(frozen=True)
class WorkPlan:
    """A work budget for a search space, in words and numbers.

    `origin` says whose speed turns it into steps or seconds, "" without a cost model. `seconds` is
    the mean time of a run on today's fleet, None when nothing is known of it.
    """

    unit: str
    amount: float
    origin: str
    fewest_steps: int
    most_steps: int
    infeasible_share: float
    seconds: float | None

    @property
    def is_in_seconds(self) -> bool:
        """Whether the work is given in seconds of the reference."""
        return self.unit == WorkUnit.SECONDS


def source_of(values: Mapping[str, Any]) -> bytes:
    """Return the script of a spec (`script`) or a draft (`package`); b"" for an unknown one."""
    sha256 = values.get("package") or values.get("script")
    if not sha256:
        return catalog.script_source(values["experiment"])
    source = Package.objects.values_list("source", flat=True).filter(pk=sha256).first()
    return bytes(source or b"")


def origin_of_seconds(experiment: str, script: str, *, now: dt.datetime) -> str:
    """Return whose speed seconds of work are measured by; "" where they cannot be.

    `script` is the sha256 of an uploaded script, "" for the experiment's own.
    """
    if experiment not in {known.name for known in catalog.all()}:
        return ""
    # No database stores a NUL, and PostgreSQL refuses to look for it.
    values = {"script": script.replace("\0", ""), "experiment": experiment}
    budget = new_budget(
        unit=WorkUnit.SECONDS, amount=1.0, experiment=experiment, source=source_of(values), now=now
    )
    return budget.model.origin if budget.model else ""


def work_plan(
    values: Mapping[str, Any], space: SearchSpace, *, dataset_bytes: int | None, now: dt.datetime
) -> WorkPlan | None:
    """Return what the work budget of a spec or a draft means; None for a time budget.

    Raises InvalidCampaign when it makes no sense.
    """
    if values.get("budget_kind") != BudgetKind.WORK:
        return None
    experiment = catalog.get(values["experiment"])
    spec = CampaignSpec(
        name="",
        experiment=experiment.name,
        task_count=1,
        budget_kind=BudgetKind.WORK,
        work_unit=values.get("work_unit") or "",
        work_amount=values.get("work_amount"),
    )
    if problems := budget_problems(spec):
        raise InvalidCampaign(problems)
    unit = unit_of(spec)
    budget = new_budget(
        unit=unit,
        amount=float(spec.work_amount or 0.0),
        experiment=experiment.name,
        source=source_of(values),
        now=now,
    )
    extent = checked_extent(budget, space)
    eval_bytes = experiment.eval_bytes_allowed(dataset_bytes or 0)["full"]
    return WorkPlan(
        unit=unit,
        amount=budget.amount,
        origin=budget.model.origin if budget.model else "",
        fewest_steps=extent.fewest_steps,
        most_steps=extent.most_steps,
        infeasible_share=extent.infeasible / (extent.infeasible + len(extent.runs)),
        seconds=_mean_seconds(budget, _runs(extent), experiment.name, eval_bytes, now),
    )


def campaign_seconds(campaign: Campaign, *, now: dt.datetime) -> float | None:
    """Return how long a run of a launched campaign should take on today's fleet.

    That is its time budget, or what its work takes; None when nothing is known of it.
    """
    budget = budget_of(campaign)
    if budget is None:
        return campaign.time_budget_seconds
    tasks = campaign.tasks.filter(max_steps__isnull=False).order_by("number")
    rows = tasks.values_list("params", "max_steps")[:SAMPLED_RUNS]
    runs = [(params, steps) for params, steps in rows if steps is not None]
    eval_bytes = evaluated_bytes(campaign.experiment, campaign.dataset_id)
    return _mean_seconds(budget, runs, campaign.experiment, eval_bytes, now)


def _runs(extent: Extent) -> list[Run]:
    step = max(1, len(extent.runs) // SAMPLED_RUNS)
    return [(params, work.steps) for params, work in extent.runs[::step]]


def _mean_seconds(
    budget: WorkBudget, runs: Sequence[Run], experiment: str, eval_bytes: int, now: dt.datetime
) -> float | None:
    """Return the mean over the runs and the calibrated machines online, else the reference."""
    if budget.model is None or budget.description is None:
        return None
    seconds = []
    for model in _machines(experiment, now) or [budget.model]:
        for params, steps in runs:
            try:
                expected = run_seconds(
                    model, budget.description, params, steps, eval_bytes=eval_bytes
                )
            except InfeasibleCost:
                continue
            seconds.append(expected)
    return fmean(seconds) if seconds else None


def _machines(experiment: str, now: dt.datetime) -> list[CostModel]:
    models = online_models(experiment, now)
    return models[:: max(1, len(models) // SAMPLED_MACHINES)]
