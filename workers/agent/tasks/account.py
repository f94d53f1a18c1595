"""A task as the status has it: when it is claimed, and when it has ended. Pure."""

from __future__ import annotations

import time
from typing import Any, Final

from experiments.metrics import VAL_BPB, MetricSpec
from workers.agent.attempt import Attempt, StopReason
from workers.agent.output.script_text import quoted
from workers.agent.status.model import (
    MAX_TEXT_CHARACTERS,
    Delivery,
    EndedTask,
    Ending,
    Fault,
    Metric,
    RunningTask,
)
from workers.agent.status.words import fault_of
from workers.agent.tasks.outcomes import RunOutcome
from workers.protocol import MAX_COUNTER, Lease, Outcome, is_number
from workers.result_line import STOP_BUDGET_TOO_SMALL, STOP_NOT_EVALUATED

# What the config of a lease has besides the params.
_PINNED: Final = frozenset(
    {"seed", "time_budget_seconds", "max_steps", "dataset", "dataset_sha256"}
)
_NO_VALUE: Final = {
    STOP_BUDGET_TOO_SMALL: "no step fitted the budget",
    STOP_NOT_EVALUATED: "no time was left to evaluate",
}
_STOPPED: Final = {StopReason.CANCEL: Ending.CANCELLED, StopReason.LOST: Ending.LOST}


def metric_of(_lease: Lease) -> MetricSpec:
    """Return what ranks the results of a task. A lease names none: there is one metric so far."""
    return VAL_BPB


def running_task(attempt: Attempt) -> RunningTask:
    """Return a task that was claimed just now."""
    lease, config = attempt.lease, attempt.lease["config"]
    return RunningTask(
        lease_id=attempt.lease_id,
        number=attempt.number,
        campaign_id=lease["campaign_id"],
        campaign=lease["campaign_name"],
        metric=_metric(metric_of(lease)),
        budget_seconds=float(lease["time_budget_seconds"]),
        claimed_at=time.time(),
        params={name: value for name, value in config.items() if name not in _PINNED},
        seed=_whole(config.get("seed")),
        max_steps=_whole(config.get("max_steps")) or None,
    )


def ended_task(attempt: Attempt, outcome: RunOutcome) -> EndedTask:
    """Return a task whose run has just ended."""
    lease, submission = attempt.lease, outcome.submission
    report: dict[str, Any] = {} if submission is None else {**submission}
    value: Any = (report.get("metrics") or {}).get(metric_of(lease).name)
    failure_class = report.get("failure_class") or ""
    seconds: Any = report.get("wall_time_seconds")
    return EndedTask(
        lease_id=attempt.lease_id,
        number=attempt.number,
        ending=_ending(attempt, outcome),
        ended_at=time.time(),
        campaign_id=lease["campaign_id"],
        campaign=lease["campaign_name"],
        metric=_metric(metric_of(lease)),
        value=float(value) if is_number(value) else None,
        seconds=float(seconds) if is_number(seconds) else None,
        simulated=report.get("simulated") is True,
        failure_class=str(failure_class),
        message=_message(outcome),
        fault=fault_of(failure_class) if failure_class else Fault.NOBODY,
        delivery=Delivery.NONE if submission is None else Delivery.SENDING,
    )


def _ending(attempt: Attempt, outcome: RunOutcome) -> Ending:
    submission = outcome.submission
    if submission is None:
        if outcome.release_reason:
            return Ending.GIVEN_BACK
        reason = attempt.stop.reason
        return Ending.LOST if reason is None else _STOPPED.get(reason, Ending.LOST)
    if submission["outcome"] == Outcome.FAILED:
        return Ending.FAILED
    metrics = submission.get("metrics") or {}
    name = metric_of(attempt.lease).name
    return Ending.NO_VALUE if metrics.get(name) is None else Ending.COMPLETED


def _message(outcome: RunOutcome) -> str:
    """Return why a task has no value, or what was unusual about a run that has one."""
    submission = outcome.submission
    if submission is None:
        return outcome.release_reason
    metrics = submission.get("metrics") or {}
    parts = [] if submission.get("simulated") else [submission.get("message", "")]
    if metrics and metrics.get("diverged") is True:
        parts.insert(0, "the loss diverged")
    elif metrics.get("stop_reason") in _NO_VALUE:
        parts.insert(0, _NO_VALUE[metrics["stop_reason"]])
    return quoted("; ".join(part for part in parts if part), MAX_TEXT_CHARACTERS)


def _metric(spec: MetricSpec) -> Metric:
    return Metric(spec.name, spec.unit, spec.decimals)


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_COUNTER:
        return value
    return None
