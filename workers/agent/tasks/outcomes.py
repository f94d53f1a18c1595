"""What becomes of a task after its run: a result to submit, a release, or nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from workers.agent.attempt import Attempt, StopReason
from workers.agent.connection.client import ServerUnavailable
from workers.agent.tasks.judgement import MAX_MESSAGE_CHARACTERS, failure
from workers.protocol import FailureClass, Submission

log = logging.getLogger("xeenet.runner")


@dataclass(frozen=True)
class RunOutcome:
    """What to do after a task: submit, release, or neither (cancelled, lease lost).

    ``release_reason`` says why the task is given back without a result, "" when it is not given
    back; ``unavailable`` is the error when the server did not deliver the task's files.
    ``pause_reason`` is set when this machine, not the task, was at fault. ``stuck_tag`` is the tag
    of a run whose processes could not be killed.
    """

    submission: Submission | None = None
    release_reason: str = ""
    unavailable: ServerUnavailable | None = None
    pause_reason: str = ""
    stuck_tag: str = ""


def stopped(attempt: Attempt) -> RunOutcome:
    """Return the outcome of a run that was told to stop: a drain or a pause gives it back."""
    log.debug("%s: stopped (%s)", attempt.label, attempt.stop.reason)
    if attempt.stop.reason is StopReason.OWNER:
        return RunOutcome(release_reason=attempt.stop.words[:MAX_MESSAGE_CHARACTERS])
    drained = attempt.stop.reason is StopReason.DRAIN
    return RunOutcome(release_reason="the agent was stopped" if drained else "")


def without_server(attempt: Attempt, away: ServerUnavailable) -> RunOutcome:
    """Return the outcome of a task whose files the server did not deliver: it goes back."""
    reason = f"the server did not deliver the task's files: {away}"
    log.debug("%s: released: %s", attempt.label, reason)
    return RunOutcome(release_reason=reason[:MAX_MESSAGE_CHARACTERS], unavailable=away)


def env_failure(failure_class: FailureClass, message: str) -> RunOutcome:
    """Return the outcome of a task that this machine cannot run: a failure, and a pause."""
    log.debug("cannot run this task: %s", message)
    return RunOutcome(submission=failure(failure_class, message), pause_reason=message)


def pause_reason(submission: Submission) -> str:
    """Return why this machine must pause after such a result, "" when it need not."""
    if submission.get("failure_class") == FailureClass.ENV_ERROR:
        return submission.get("message", "")
    return ""


def log_step(attempt: Attempt, number: int, text: str, *arguments: object) -> None:
    """Log a step of a task at level debug."""
    log.debug("%s [%d/7] %s", attempt.label, number, text % arguments)
