"""How long the runs of a claim may take: the time budget, or the guard of a work budget."""

from __future__ import annotations

import datetime as dt

from campaigns.fleet.budgets import budget_of, evaluated_bytes, guard_of, script_description
from campaigns.fleet.speeds import guarding_models
from campaigns.models import Task
from campaigns.work.cost import CostModel
from workers.models import Worker


def budgets_of_claim(tasks: list[Task], worker: Worker, now: dt.datetime) -> dict[int, float]:
    """Return the seconds that each task's run may take on this worker, by the task's id.

    One query for the speed of the worker, and only where there is work to be guarded. The tasks
    must have their campaign loaded.
    """
    experiments = experiments_guarded(tasks)
    return budgets_of(tasks, guarding_models(worker, experiments, now) if experiments else {})


def experiments_guarded(tasks: list[Task]) -> set[str]:
    """Return the experiments whose cost models the tasks need for their guards."""
    return {task.campaign.experiment for task in tasks if task.max_steps is not None}


def budgets_of(tasks: list[Task], models: dict[str, list[CostModel]]) -> dict[int, float]:
    """Return `budgets_of_claim` with the `guarding_models` of the worker."""
    return {task.pk: _budget_of(task, models) for task in tasks}


def _budget_of(task: Task, models: dict[str, list[CostModel]]) -> float:
    campaign = task.campaign
    if task.max_steps is None:
        return campaign.time_budget_seconds
    work = budget_of(campaign)
    pinned = [work.model] if work is not None and work.model is not None else []
    return guard_of(
        script_description(campaign.package_id),
        task.params,
        task.max_steps,
        models.get(campaign.experiment) or pinned,
        eval_bytes=evaluated_bytes(campaign.experiment, campaign.dataset_id),
    )
