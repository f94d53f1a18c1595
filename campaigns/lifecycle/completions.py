"""What a completed run leads to: whether it is believed, its result, and the answer to its agent.

Nothing here writes. The verb `submit` and its prepared statement (`lifecycle.statements`) judge
with the same functions, and each writes in its own way what they return.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

from campaigns.lifecycle import receipts
from campaigns.lifecycle.belief import contradictions, result_columns
from campaigns.lifecycle.disturbed import has_slow_setup, speed_columns
from campaigns.lifecycle.journal import Change
from campaigns.lifecycle.replays import is_to_be_repeated
from campaigns.lifecycle.slowness import why_too_slow
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    FailureClass,
    Result,
    TaskPurpose,
    TaskState,
)
from workers.protocol import Submission, Verdict
from workers.result_line import metrics_problems, without_untrained_value

IMPLAUSIBLE: Final = (
    "The result is stored. Its {metric} is better than models reach on this data set, so it does "
    "not count until an operator admits it."
)


@dataclass(frozen=True)
class Answer:
    """The answer to the agent; stored, so that the same body again gets the same answer."""

    verdict: Verdict
    message: str
    note: str = ""  # what the run counts for, for the worker's owner


class End(NamedTuple):
    """How an attempt ends: what its row and the journal are told of it, and its agent."""

    outcome: AttemptOutcome
    answer: Answer
    message: str
    # Of the task, if the attempt moved it.
    change: Change | None = None
    # None leaves that of an attempt which had ended before.
    failure_class: FailureClass | Literal[""] | None = None


def read_metrics(attempt: Attempt, body: Submission) -> dict[str, Any]:
    """Return the result line of a completed run, as it is judged and stored."""
    spec = attempt.task.campaign.metric_spec
    return without_untrained_value(body.get("metrics") or {}, spec)


def why_failed(
    attempt: Attempt, body: Submission, metrics: dict[str, Any], *, now: dt.datetime
) -> tuple[FailureClass, str] | None:
    """Return as which failure a completed run counts, and why; None for a result."""
    spec = attempt.task.campaign.metric_spec
    problems = metrics_problems(metrics, spec) or contradictions(attempt, body, metrics, now=now)
    if problems:
        return FailureClass.INVALID_RESULT, "; ".join(problems)
    if not body.get("simulated") and (reason := why_too_slow(attempt.task, metrics)):
        return FailureClass.TOO_SLOW, reason
    return None


def new_result(
    attempt: Attempt, metrics: dict[str, Any], body: Submission, *, now: dt.datetime
) -> Result:
    """Return the result of a run that did not fail: not saved, and without its class."""
    task, simulated = attempt.task, body.get("simulated", False)
    return Result(
        task=task,
        attempt=attempt,
        campaign=task.campaign,
        arm_id=task.arm_id,
        is_screening=task.purpose == TaskPurpose.SCREEN,
        eval_bytes=metrics["eval_bytes"],
        eval_tokens=metrics["eval_tokens"],
        steps_completed=metrics["steps_completed"],
        tokens_trained=metrics["tokens_trained"],
        model_params=metrics["model_params"],
        wall_time_seconds=metrics["wall_time_seconds"],
        foreign_load=body.get("foreign_load"),
        device_used=metrics["device_used"][:100],
        stop_reason=metrics["stop_reason"][:50],
        metrics=metrics,
        created_at=now,
        slow_setup=has_slow_setup(attempt, metrics, simulated=simulated),
        **speed_columns(attempt, metrics, simulated=simulated),
        **result_columns(task.campaign, metrics, simulated=simulated),
    )


def has_class(result: Result) -> bool:
    """Return whether a result has a class; what has no value, or an invented one, has no order."""
    return result.is_ranked or result.implausible


def accepted(result: Result, body: Submission, *, stands_in: bool = False) -> End:
    """Return the end of an attempt whose result completes its task.

    ``stands_in`` says that it is a replay which took the place of the run before it.
    """
    attempt, task = result.attempt, result.task
    message = "; ".join(filter(None, [body.get("message", ""), _on_hindrance(result)]))
    stored = "The result is stored."
    if result.implausible:
        stored = IMPLAUSIBLE.format(metric=task.campaign.metric_spec.name)
    note = receipts.of_result(result, is_repeated=is_to_be_repeated(result), stands_in=stands_in)
    return End(
        AttemptOutcome.DIVERGED if result.diverged else AttemptOutcome.COMPLETED,
        Answer(Verdict.ACCEPTED, stored, note),
        message,
        Change(task, task.state, TaskState.COMPLETED, attempt),
        failure_class="",
    )


def submission_columns(end: End, body: Submission, digest: str) -> dict[str, Any]:
    """Return what an attempt keeps of its submission: the agent's report, and the answer to it."""
    # `stderr_tail` has a column of its own.
    submission = {key: value for key, value in body.items() if key != "stderr_tail"}
    columns = {
        "submission": submission,
        "exit_code": body.get("exit_code"),
        "stderr_tail": body.get("stderr_tail", ""),
        "wall_time_seconds": body.get("wall_time_seconds"),
        "submission_digest": digest,
        "answer": asdict(end.answer),
    }
    return columns if end.failure_class is None else columns | {"failure_class": end.failure_class}


def _on_hindrance(result: Result) -> str:
    """Return what the journal says of a run that something hindered; "" of any other."""
    again = ""
    if is_to_be_repeated(result):
        again = "it runs once more"
        if not result.disturbed:
            again += ", if another machine is online"
    return "; ".join(filter(None, [result.disturbance, result.setup_trouble, again]))
