"""Runs whose steps took much longer than they should: how they are noticed, and run once more.

Under a time budget a disturbed run trained less than its config can, so it is repeated once: a
replay of the same arm on the same seed. When the replay was not disturbed, it takes the place of
the disturbed run, which then counts for nothing but itself: the two tasks change their purposes.
Runs of races are never repeated (their looks wait for no more), nor runs of a work budget, whose
values do not depend on time.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from django.core.cache import cache
from django.db import transaction
from django.db.models import F, QuerySet

from campaigns.fleet.budgets import script_description
from campaigns.fleet.speeds import worker_model
from campaigns.lifecycle.arms import TaskMaker, next_task_number
from campaigns.lifecycle.classes import dtype_of, torch_device
from campaigns.lifecycle.endings import reactivate
from campaigns.lifecycle.journal import SERVER
from campaigns.models import (
    Attempt,
    BudgetKind,
    Campaign,
    CampaignState,
    Result,
    Task,
    TaskPurpose,
)
from campaigns.search.samplers import MAX_TASKS
from campaigns.work.cost import CostModel
from campaigns.work.describe import Description, InfeasibleCost

# Steps that take so many times as long as expected were disturbed.
DISTURBED_FACTOR: Final = 1.5
# Without a cost model the median of so many earlier runs of equal cost is expected …
EARLIER_RUNS: Final = 3
# … among so many of the worker's newest attempts.
_ATTEMPTS_READ: Final = 32
# A new calibration counts after this time at the latest.
_MODEL_KEPT_SECONDS: Final = 60
_LONGEST_STEP: Final = 1e9
_REPEATED: Final = (TaskPurpose.SCREEN, TaskPurpose.REPEAT)


def speed_columns(
    attempt: Attempt, metrics: Mapping[str, Any], *, simulated: bool
) -> dict[str, Any]:
    """Return the step time of a result, what was expected, and whether it was disturbed.

    Each is None when it is unknown. An invented result has no speed.
    """
    step = None if simulated else _step_seconds(metrics)
    expected = None if step is None else _expected(attempt, metrics)
    return {
        "step_seconds": step,
        "expected_step_seconds": expected,
        "disturbed": None
        if step is None or expected is None
        else step > DISTURBED_FACTOR * expected,
    }


def _step_seconds(metrics: Mapping[str, Any]) -> float | None:
    seconds, steps = metrics.get("train_seconds"), metrics["steps_completed"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or steps <= 0:
        return None
    step = seconds / steps
    return step if math.isfinite(step) and 0 < step < _LONGEST_STEP else None


def _expected(attempt: Attempt, metrics: Mapping[str, Any]) -> float | None:
    task = attempt.task
    description = script_description(task.campaign.package_id)
    if description is not None:
        model = _model(attempt, torch_device(metrics["device_used"]), dtype_of(metrics))
        if model is not None and model.fits(description):
            try:
                seconds = model.step_seconds(description, task.params)
            except InfeasibleCost:
                return None
            return seconds if seconds < _LONGEST_STEP else None
    return _expected_of_earlier(attempt, metrics["device_used"], description)


def _model(attempt: Attempt, device: str, dtype: str) -> CostModel | None:
    """Return the worker's cost model; kept for a while, because every result asks for it."""
    worker, experiment = attempt.worker, attempt.task.campaign.experiment
    text = f"{worker.pk}:{experiment}:{device}:{dtype}"
    key = f"xeenet:speed:{hashlib.sha256(text.encode()).hexdigest()}"
    kept: list[CostModel | None] | None = cache.get(key)
    if kept is None:
        kept = [worker_model(worker, experiment, device=device, dtype=dtype)]
        cache.set(key, kept, _MODEL_KEPT_SECONDS)
    return kept[0]


def _expected_of_earlier(
    attempt: Attempt, device: str, description: Description | None
) -> float | None:
    """Return the median step time of the worker's last runs of equal cost; None with too few."""
    tried = attempt.worker.attempts.order_by("-started_at").values("pk")[:_ATTEMPTS_READ]
    earlier = Result.objects.filter(
        attempt__in=tried,
        step_seconds__isnull=False,
        campaign__package=attempt.task.campaign.package_id,
        device_used=device[:100],
    ).exclude(disturbed=True)
    own = _sizes(attempt.task.params, description)
    times = [
        seconds
        for seconds, params in earlier.order_by("-pk").values_list("step_seconds", "task__params")
        if seconds is not None and _sizes(params, description) == own
    ]
    return median(times[:EARLIER_RUNS]) if len(times) >= EARLIER_RUNS else None


def _sizes(params: Mapping[str, Any], description: Description | None) -> dict[str, Any]:
    """Return the params that decide what a step costs.

    Those are the params that the script's description names. Without one they are all that are no
    fractions: a learning rate or a share does not change the size of a model.
    """
    if description is None:
        return {name: value for name, value in params.items() if not isinstance(value, float)}
    names = frozenset().union(*(term.names for term in description.terms.values()))
    return {name: params[name] for name in names & params.keys()}


def is_to_be_repeated(result: Result) -> bool:
    """Return whether a result asks for a replay of its run.

    A run that diverged says so of its params, at any speed. A person's own program runs what it
    asks for, and perhaps nobody would run the replay.
    """
    task = result.task
    return bool(
        result.disturbed
        and not result.diverged
        and not result.attempt.worker.is_program
        and task.purpose in _REPEATED
        and task.campaign.budget_kind == BudgetKind.TIME
    )


def repeat_disturbed(task: Task, *, now: dt.datetime) -> bool:
    """Add a replay of a disturbed run, at most one; return whether it did.

    Call it after the commit that stored the result: the campaign's row is locked.
    """
    with transaction.atomic():
        campaign = Campaign.objects.select_for_update(no_key=True).get(pk=task.campaign_id)
        number = next_task_number(campaign)
        if campaign.state == CampaignState.CANCELLED or number >= MAX_TASKS:
            return False
        if _others(task).exists():
            return False
        maker = TaskMaker(campaign, now=now)
        maker.load()
        maker.store([maker.replay(task)])
        Campaign.objects.filter(pk=campaign.pk).update(
            task_count=number + 1, revision=F("revision") + 1
        )
        reactivate(campaign, SERVER, now, f"Task {task.number} was disturbed and runs again.")
    return True


def repeat_missed(*, since: dt.datetime, now: dt.datetime, limit: int) -> int:
    """Add the replays that a process did not add before it died; return how many."""
    results = Result.objects.filter(
        created_at__gte=since,
        disturbed=True,
        diverged=False,
        attempt__worker__is_program=False,
        task__purpose__in=_REPEATED,
        campaign__budget_kind=BudgetKind.TIME,
    )
    tasks = [result.task for result in results.select_related("task").order_by("pk")[:limit]]
    return sum(repeat_disturbed(task, now=now) for task in tasks)


def settle_replay(result: Result) -> None:
    """Let an undisturbed replay take the place of the disturbed run of its arm on its seed.

    Call it in the transaction that stores the replay's result. The tasks change their purposes, so
    that boards, races and noise floors, which all leave replays out, count the undisturbed run.
    """
    replay = result.task
    if replay.purpose != TaskPurpose.REPLAY or not result.is_ranked or result.disturbed:
        return
    disturbed = _others(replay).filter(result__disturbed=True)
    first = disturbed.filter(purpose__in=_REPEATED).first()
    if first is None:
        return
    for task_id, purpose in ((first.pk, TaskPurpose.REPLAY), (replay.pk, first.purpose)):
        Task.objects.filter(pk=task_id).update(purpose=purpose)
        is_screening = purpose == TaskPurpose.SCREEN
        Result.objects.filter(task=task_id).update(is_screening=is_screening)


def _others(task: Task) -> QuerySet[Task]:
    """Return the other tasks of the arm on the seed: a replay, or the run that it repeats."""
    return Task.objects.filter(arm=task.arm_id, seed=task.seed).exclude(pk=task.pk)
