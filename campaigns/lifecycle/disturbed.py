"""What kept a run from coming as far as it can: steps that took too long, or a long set-up.

Under a time budget such a run trained less than its config can, so it is repeated once
(`campaigns.lifecycle.replays`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from django.core.cache import cache

from campaigns.fleet.budgets import script_description
from campaigns.fleet.speeds import worker_model
from campaigns.lifecycle.classes import dtype_of, torch_device
from campaigns.models import Attempt, BudgetKind, Result
from campaigns.models.result import SETUP_SHARE
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


def has_slow_setup(attempt: Attempt, metrics: Mapping[str, Any], *, simulated: bool) -> bool | None:
    """Return whether the set-up took too much of a time budget; None when that is unknown.

    That is its worker's trouble: a cold disk, or torch loaded beside other programs. Under a work
    budget set-up takes nothing from the training.
    """
    seconds = metrics.get("setup_seconds")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if simulated or not is_number or attempt.task.campaign.budget_kind != BudgetKind.TIME:
        return None
    if not 0 <= seconds <= metrics["wall_time_seconds"]:
        return None
    return bool(seconds > SETUP_SHARE * attempt.budget_seconds)


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
