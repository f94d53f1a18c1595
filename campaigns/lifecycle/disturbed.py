"""What kept a run from coming as far as it can: steps that took too long, or a long set-up.

Under a time budget such a run trained less than its config can, so it is repeated once
(`campaigns.lifecycle.replays`).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from statistics import median
from typing import Any, Final, NamedTuple

from django.core.cache import caches

from campaigns.fleet.budgets import script_description
from campaigns.fleet.speeds import worker_model
from campaigns.lifecycle.classes import dtype_of, threads_of, torch_device
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
# A new calibration, and a run that another process took in, count after this time at the latest.
_KEPT_SECONDS: Final = 60
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
    if simulated or attempt.task.campaign.budget_kind != BudgetKind.TIME:
        return None
    seconds = metrics.get("setup_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
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
        model = _model(attempt, metrics)
        if model is not None and model.fits(description):
            try:
                seconds = model.step_seconds(description, task.params)
            except InfeasibleCost:
                return None
            return seconds if seconds < _LONGEST_STEP else None
    return _expected_of_earlier(attempt, metrics, description)


def _model(attempt: Attempt, metrics: Mapping[str, Any]) -> CostModel | None:
    """Return the cost model of the worker with as many threads as the run had.

    It is kept for a while, because every result asks for it.
    """
    worker, experiment = attempt.worker, attempt.task.campaign.experiment
    device, dtype = torch_device(metrics["device_used"]), dtype_of(metrics)
    threads = threads_of(metrics)
    text = f"{worker.pk}:{experiment}:{device}:{dtype}:{threads}"
    key = f"xeenet:speed:{hashlib.sha256(text.encode()).hexdigest()}"
    kept: list[CostModel | None] | None = caches["speeds"].get(key)
    if kept is None:
        kept = [worker_model(worker, experiment, device=device, dtype=dtype, threads=threads)]
        caches["speeds"].set(key, kept, _KEPT_SECONDS)
    return kept[0]


class _Earlier(NamedTuple):
    """The last undisturbed runs of a worker, newest first, as this process knows them."""

    # When they are read again, by the clock of this process.
    until: float
    # What decides their cost, as text, and their step times.
    runs: tuple[tuple[str, float], ...]


def _expected_of_earlier(
    attempt: Attempt, metrics: Mapping[str, Any], description: Description | None
) -> float | None:
    """Return the median step time of the worker's last runs of equal cost; None with too few.

    Runs with other threads are no runs of equal cost.

    Runs whose results came to other processes of the server may be missing for a while.
    """
    own = _sizes(attempt.task.params, description, threads_of(metrics))
    runs = _earlier(attempt, metrics["device_used"], description).runs
    times = [seconds for sizes, seconds in runs if sizes == own]
    return median(times[:EARLIER_RUNS]) if len(times) >= EARLIER_RUNS else None


def note_speed(result: Result) -> None:
    """Let the next runs of the worker be compared with this one; call it after the commit."""
    attempt, step = result.attempt, result.step_seconds
    if step is None or result.disturbed:
        return
    key = _earlier_key(attempt, result.device_used)
    earlier: _Earlier | None = caches["speeds"].get(key)
    if earlier is None or earlier.until <= time.time():
        return  # the next result reads this one, too
    description = script_description(attempt.task.campaign.package_id)
    sizes = _sizes(attempt.task.params, description, threads_of(result.metrics or {}))
    runs = ((sizes, step), *earlier.runs)[:_ATTEMPTS_READ]
    caches["speeds"].set(key, earlier._replace(runs=runs), _KEPT_SECONDS)


def _earlier(attempt: Attempt, device: str, description: Description | None) -> _Earlier:
    key = _earlier_key(attempt, device[:100])
    kept: _Earlier | None = caches["speeds"].get(key)
    if kept is not None and kept.until > time.time():
        return kept
    tried = attempt.worker.attempts.order_by("-started_at").values("pk")[:_ATTEMPTS_READ]
    results = Result.objects.filter(
        attempt__in=tried,
        step_seconds__isnull=False,
        campaign__package=attempt.task.campaign.package_id,
        device_used=device[:100],
    ).exclude(disturbed=True)
    columns = results.order_by("-pk").values_list(
        "step_seconds", "task__params", "device_used", "metrics__threads"
    )
    runs = tuple(
        (_sizes(params, description, threads_of({"device_used": used, "threads": threads})), step)
        for step, params, used, threads in columns
        if step
    )
    kept = _Earlier(time.time() + _KEPT_SECONDS, runs)
    caches["speeds"].set(key, kept, _KEPT_SECONDS)
    return kept


def _earlier_key(attempt: Attempt, device: str) -> str:
    text = f"{attempt.worker_id}:{attempt.task.campaign.package_id}:{device}"
    return f"xeenet:earlier:{hashlib.sha256(text.encode()).hexdigest()}"


def _sizes(params: Mapping[str, Any], description: Description | None, threads: int | None) -> str:
    """Return the params that decide what a step costs, and the threads, as text.

    Those are the params that the script's description names. Without one they are all that are no
    fractions: a learning rate or a share does not change the size of a model.
    """
    if description is None:
        sizes = {name: value for name, value in params.items() if not isinstance(value, float)}
    else:
        names = frozenset().union(*(term.names for term in description.terms.values()))
        sizes = {name: params[name] for name in names & params.keys()}
    return json.dumps([sizes, threads], sort_keys=True)
