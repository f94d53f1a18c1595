"""The verbs of a lease that is held: renew, release; and a person's: cancel, retry a task.

What takes back a lease that ran out is in `expiry`.

Lock order everywhere: campaign, task, attempt.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import uuid
from collections.abc import Iterable
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Least

from campaigns.lifecycle import journal
from campaigns.lifecycle.campaigns import cancel_open_tasks
from campaigns.lifecycle.endings import note_ended_task, reactivate
from campaigns.lifecycle.errors import LeaseLost, LeaseUnknown, WrongState
from campaigns.lifecycle.journal import SERVER, Actor, Change
from campaigns.lifecycle.progress import store_progress
from campaigns.lifecycle.transitions import held_by, return_to_queue
from campaigns.models import (
    Arm,
    Attempt,
    AttemptOutcome,
    BudgetKind,
    Campaign,
    CampaignState,
    Task,
    TaskState,
)
from campaigns.models.attempt import AttemptQuerySet
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import HeartbeatAnswer
from workers.protocol import ProgressPoint as WireProgressPoint

logger = logging.getLogger(__name__)

# What the verbs of a lease need of an attempt. Reading all columns of these five tables is a tenth
# of what a submission costs; a column that is missing here costs a query where it is needed.
_READ: Final = (
    *("number", "task", "lease_id", "worker", "started_at", "time_budget_seconds"),
    *("ended_at", "outcome", "failure_class", "submission_digest", "answer"),
    *("task__campaign", "task__arm", "task__number", "task__params", "task__seed"),
    *("task__purpose", "task__max_steps", "task__state", "task__arm__infeasible"),
    *("task__seed_index", "task__failed_attempts", "task__max_failed_attempts"),
    "task__arm__number",
    *("task__campaign__experiment", "task__campaign__package", "task__campaign__dataset"),
    *("task__campaign__metric", "task__campaign__metric_version", "task__campaign__budget_kind"),
    *("task__campaign__time_budget_seconds", "task__campaign__allow_simulated"),
    *("task__campaign__resumed_at", "task__campaign__dataset__size_bytes"),
    "task__campaign__dataset__compressed_bpb",
)


def renew(
    worker: Worker,
    lease_id: uuid.UUID,
    *,
    now: dt.datetime,
    progress: Iterable[WireProgressPoint] = (),
) -> tuple[HeartbeatAnswer, str]:
    """Extend the lease, never past the deadline; return what the agent has to do, and why.

    A lease that ran out but was not taken back yet is renewed: no other worker has the task.
    """
    attempts = Attempt.objects.annotate(metric=F("task__campaign__metric"))
    attempt = attempts.filter(worker=worker, lease_id=lease_id).first()
    if attempt is None:
        return HeartbeatAnswer.LOST, str(LeaseUnknown())
    lease = worker.pace.lease_time
    renewed = Task.objects.filter(
        pk=attempt.task_id, state=TaskState.LEASED, lease_id=lease_id, deadline_at__gt=now
    ).update(
        lease_expires_at=Least(
            F("deadline_at"), Greatest(F("lease_expires_at"), Value(now + lease))
        )
    )
    if renewed:
        # Only now: what is reported after the end of an attempt belongs to no curve.
        metric: str = attempt.metric  # type: ignore[attr-defined]
        store_progress(attempt, list(progress), metric)
        return HeartbeatAnswer.CONTINUE, ""
    attempt.refresh_from_db(fields=["outcome", "message"])
    if attempt.outcome == AttemptOutcome.CANCELLED:
        return HeartbeatAnswer.CANCEL, attempt.message
    return HeartbeatAnswer.LOST, str(LeaseLost())


def release(worker: Worker, lease_id: uuid.UUID, *, now: dt.datetime, reason: str = "") -> None:
    """Leased → pending: the worker gives the task back, which costs the task no try.

    Idempotent: releasing again changes nothing. Raises LeaseUnknown, LeaseLost.
    """
    attempt = find_attempt(worker, lease_id)
    # One transaction: task and attempt must agree.
    with transaction.atomic():
        held = Task.objects.filter(held_by(lease_id), pk=attempt.task_id)
        if held.update(**return_to_queue(now)):
            end_attempt(attempt, *released(attempt), now=now, message=reason)
            return
    attempt.refresh_from_db(fields=["outcome"])
    if attempt.outcome != AttemptOutcome.RELEASED:
        raise LeaseLost


def released(attempt: Attempt) -> tuple[AttemptOutcome, Change]:
    """Return the outcome of an attempt whose worker gives the task back, and its task's change."""
    change = Change(attempt.task, TaskState.LEASED, TaskState.PENDING, attempt)
    return AttemptOutcome.RELEASED, change


def leave(worker: Worker, *, now: dt.datetime) -> int:
    """End a worker for its own agent: give back all that it holds; return how many tasks.

    The tasks come first, each in a transaction of its own: a worker whose leaving breaks off can
    repeat it with its token. Raises WrongWorkerState.
    """
    count = 0
    held = worker.attempts.filter(outcome=AttemptOutcome.RUNNING)
    for lease_id in list(held.values_list("lease_id", flat=True)):
        with contextlib.suppress(LeaseLost, LeaseUnknown):  # it ended meanwhile
            release(worker, lease_id, now=now, reason="The worker left.")
            count += 1
    worker_lifecycle.leave(worker, now=now)
    return count


def attempts_to_end(*more: str) -> AttemptQuerySet:
    """Return the attempts with what the verbs of a lease need of them and of their tasks.

    `more` are further columns to read.
    """
    related = Attempt.objects.order_by().select_related("task__campaign__dataset", "task__arm")
    return related.only(*_READ, *more)


def find_attempt(worker: Worker, lease_id: uuid.UUID) -> Attempt:
    """Return the attempt this worker made under this lease. Raises LeaseUnknown."""
    try:
        attempt = attempts_to_end().get(worker=worker, lease_id=lease_id)
    except Attempt.DoesNotExist:
        raise LeaseUnknown from None
    attempt.worker = worker
    return attempt


def end_attempt(
    attempt: Attempt,
    outcome: AttemptOutcome,
    task_change: Change | None = None,
    *,
    now: dt.datetime,
    actor: Actor | None = None,
    message: str = "",
    **fields: Any,
) -> None:
    """Close an attempt and record it in the journal, together with the change of its task.

    Without an `actor` the worker did it.
    """
    columns = end_columns(attempt, outcome, now=now, message=message) | fields
    Attempt.objects.filter(pk=attempt.pk).update(**columns)
    by = actor or journal.agent(attempt.worker)
    journal.record(by, *end_changes(attempt, outcome, task_change), now=now, reason=message)


def end_columns(
    attempt: Attempt, outcome: AttemptOutcome, *, now: dt.datetime, message: str
) -> dict[str, Any]:
    """Return what the end of an attempt sets of it.

    An attempt that had ended before (it was lost, and its worker came back late) keeps that time.
    """
    columns = {"outcome": outcome, "message": message[:1000]}
    return columns if attempt.ended_at is not None else columns | {"ended_at": now}


def end_changes(
    attempt: Attempt, outcome: AttemptOutcome, task_change: Change | None
) -> list[Change]:
    """Return what the end of an attempt adds to the journal, in the order of its rows."""
    changes = [task_change] if task_change else []
    return [*changes, Change(attempt, attempt.outcome, outcome)]


def cancel_task(task: Task, *, now: dt.datetime, actor: Actor = SERVER) -> None:
    """Pending or leased → cancelled. Raises WrongState."""
    rows = Task.objects.filter(pk=task.pk)
    # One transaction: task and attempt must agree.
    with transaction.atomic():
        # Lock the row in any state, otherwise a concurrent retry and claim could come between the
        # two statements.
        rows.select_for_update(no_key=True).get()
        if not cancel_open_tasks(rows, now=now, actor=actor):
            task.refresh_from_db(fields=["state"])
            raise WrongState(
                f"The task is {task.state}; only a pending or leased one can be cancelled."
            )
    note_ended_task(task.campaign_id, now=now)


def retry_task(task: Task, *, now: dt.datetime, actor: Actor = SERVER) -> None:
    """Failed → pending with one more try; a completed campaign becomes active again.

    Raises WrongState when the task did not fail or its campaign was cancelled.
    """
    # One transaction: an open task in a completed campaign would never be handed out. The lock
    # makes `finish_if_done` wait and then see the pending task.
    with transaction.atomic():
        campaign = Campaign.objects.select_for_update(no_key=True).get(pk=task.campaign_id)
        if campaign.state == CampaignState.CANCELLED:
            raise WrongState("The campaign was cancelled; clone it to run its tasks again.")
        if campaign.budget_kind == BudgetKind.WORK and task.max_steps is None:
            raise WrongState(f"The task has no such run: {task.arm.infeasible}.")
        moved = Task.objects.filter(pk=task.pk, state=TaskState.FAILED).update(
            state=TaskState.PENDING,
            available_at=now,
            finished_at=None,
            max_failed_attempts=Greatest(F("max_failed_attempts"), F("failed_attempts") + 1),
            max_lost_attempts=Greatest(F("max_lost_attempts"), F("lost_attempts") + 1),
            failure_class="",
        )
        if not moved:
            raise WrongState("Only a failed task can be run again.")
        # Its arm may be fast enough for a worker that has come since.
        Arm.objects.filter(pk=task.arm_id).exclude(infeasible="").update(infeasible="")
        change = Change(task, TaskState.FAILED, TaskState.PENDING)
        journal.record(actor, change, now=now, reason="One more try.")
        Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
        # Set `resumed_at`, otherwise the failure breaker counts the old failures and pauses the
        # campaign at the first new one.
        reactivate(campaign, actor, now, "A task was given one more try.", resumed_at=now)
