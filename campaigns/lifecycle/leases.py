"""The verbs of a lease: claim, renew, release, expire; and those of a person: cancel, retry a task.

Lock order everywhere: campaign, task, attempt.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, Value
from django.db.models.functions import Greatest, Least

from campaigns.lifecycle import journal
from campaigns.lifecycle.campaigns import cancel_open_tasks, note_ended_task, reactivate
from campaigns.lifecycle.errors import LeaseLost, LeaseUnknown, WrongState
from campaigns.lifecycle.journal import LEASE_SWEEP, SERVER, Actor, Change
from campaigns.lifecycle.transitions import NO_LEASE
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    ProgressPoint,
    Task,
    TaskState,
)
from campaigns.models.campaign import CampaignQuerySet
from workers.models import Worker, WorkerState
from workers.protocol import HeartbeatAnswer
from workers.protocol import ProgressPoint as WireProgressPoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """The attempts that a claim got, with task, campaign, data set and package loaded.

    `reason` says why a new claim got fewer than it wanted; "" otherwise.
    """

    attempts: list[Attempt]
    reason: str


def claim(worker: Worker, *, claim_id: uuid.UUID, count: int, now: dt.datetime) -> Claim:
    """Pending → leased for up to `count` tasks; a repeated `claim_id` returns the same attempts.

    Takes back overdue leases first, so that claims do not depend on the background job. A worker
    that may not claim gets an empty claim with the reason, not an error.
    """
    expire(now=now, limit=max(count, 20))
    return lease_waiting(worker, claim_id=claim_id, count=count, now=now)


def lease_waiting(
    worker: Worker,
    *,
    claim_id: uuid.UUID,
    count: int,
    now: dt.datetime,
    among: Q | None = None,
    runs_own_script: bool = False,
) -> Claim:
    """Claim as `claim` does, without taking back overdue leases; only `among` the given tasks.

    `runs_own_script` skips the checks of approval and isolation tier: the caller is a person's own
    program, which runs the tasks itself.
    """
    # One transaction: task and attempt must agree. The row lock on the worker serialises a claim
    # and its retry (sent because the answer was lost).
    with transaction.atomic():
        worker = Worker.objects.select_for_update(no_key=True).get(pk=worker.pk)
        repeated = attempts_of_claim(worker, claim_id)
        if repeated:
            return Claim(repeated, "")
        if reason := why_nothing(worker, now):
            return Claim([], reason)
        campaigns = Campaign.objects.handing_out_to(worker)
        if not runs_own_script:
            campaigns = campaigns.runnable_by(worker)
        tasks: list[Task] = []
        for candidates in _most_promising_first(campaigns, worker):
            waiting = Task.objects.filter(among or Q()).claimable(worker, now, candidates)
            locked = waiting.select_related("campaign").select_for_update(
                skip_locked=True, of=("self",)
            )
            if tasks := list(locked[:count]):
                break
        _lease(tasks, worker, claim_id, now)
        attempts = attempts_of_claim(worker, claim_id)
    reason = (
        "" if len(attempts) == count else _why_fewer(worker, among, runs_own_script=runs_own_script)
    )
    return Claim(attempts, reason)


def _most_promising_first(campaigns: CampaignQuerySet, worker: Worker) -> list[CampaignQuerySet]:
    """Return where to look for tasks: first without campaigns whose tasks the worker cannot start.

    Otherwise one campaign with a data set that nobody can fetch would occupy the whole fleet, and
    the other campaigns would get no worker.
    """
    error_count = worker.consecutive_env_errors
    if not error_count:
        return [campaigns]
    errors = Attempt.objects.filter(worker=worker, failure_class=FailureClass.ENV_ERROR)
    latest = errors.order_by("-pk").values_list("task__campaign", flat=True)[:error_count]
    return [campaigns.exclude(pk__in=set(latest)), campaigns]


def attempts_of_claim(worker: Worker, claim_id: uuid.UUID) -> list[Attempt]:
    """Return the attempts that this claim of the worker got; [] for a new claim."""
    attempts = Attempt.objects.filter(worker=worker, claim_id=claim_id)
    related = "task__campaign__dataset", "task__campaign__package"
    # Without the script's source: agents fetch it by its hash, and the lease only names it.
    return list(
        attempts.select_related(*related).defer("task__campaign__package__source").order_by("pk")
    )


def why_nothing(worker: Worker, now: dt.datetime) -> str:
    """Return why this worker may not claim any task; "" when it may."""
    if worker.state != WorkerState.ACTIVE:
        return f"This worker is {worker.state}; an operator can resume it."
    if worker.paused_until is not None and worker.paused_until > now:
        seconds = (worker.paused_until - now).total_seconds()
        return f"This worker is paused for {seconds:.0f} s more: {worker.pause_reason}"
    return ""


def _why_fewer(worker: Worker, among: Q | None, *, runs_own_script: bool) -> str:
    """Say in one sentence why a claim got fewer tasks than it wanted: one query, over campaigns."""
    pending = Task.objects.filter(among or Q(), campaign=OuterRef("pk"), state=TaskState.PENDING)
    campaigns = Campaign.objects.filter(Exists(pending), state=CampaignState.ACTIVE)
    waiting = list(campaigns.select_related("package").defer("package__source", "search_space"))
    if not waiting:
        return "No task waits."
    if worker.simulates and not all(campaign.allow_simulated for campaign in waiting):
        return "The tasks that wait need real training; this worker has no torch and simulates."
    if not runs_own_script and (sentence := _why_not_run(worker, waiting)):
        return sentence
    return "The tasks that wait are to be tried a little later or by another worker first."


def _why_not_run(worker: Worker, waiting: list[Campaign]) -> str:
    """Say why a script of these campaigns may not run on the worker; "" when all may."""
    for campaign in waiting:
        if campaign.required_isolation > worker.tier:
            return (
                f"The tasks that wait need isolation {campaign.required_isolation}; this worker "
                f"holds scripts back by {worker.tier}."
            )
        if not campaign.package.may_run:
            return (
                f"The tasks that wait run the uploaded script {campaign.package}, which no "
                "operator has approved."
            )
        if campaign.package.is_uploaded and not worker.accepts_uploaded_scripts:
            return (
                "The tasks that wait run an uploaded script; the owner of this worker has not "
                "allowed such (--allow-uploaded-scripts)."
            )
    return ""


def _lease(tasks: list[Task], worker: Worker, claim_id: uuid.UUID, now: dt.datetime) -> None:
    """Pending → leased for tasks that this transaction has locked: four statements for any number.

    Raises WrongState when one of them is not pending after all; rolling back undoes the rest.
    """
    if not tasks:
        return
    times = settings.XEENET
    lease = dt.timedelta(seconds=times["LEASE_SECONDS"])
    grace_seconds = (
        times["SETUP_GRACE_SECONDS"] + times["KILL_GRACE_SECONDS"] + times["SUBMIT_GRACE_SECONDS"]
    )
    attempts = _new_attempts(tasks, worker, claim_id, now)
    for attempt, task in zip(attempts, tasks, strict=True):
        longest_seconds = grace_seconds + task.campaign.time_budget_seconds
        task.state = TaskState.LEASED
        task.lease_id = attempt.lease_id
        task.worker = worker
        task.deadline_at = now + dt.timedelta(seconds=longest_seconds)
        task.lease_expires_at = min(now + lease, task.deadline_at)
    leased = Task.objects.filter(state=TaskState.PENDING).bulk_update(tasks, ["state", *NO_LEASE])
    if leased != len(tasks):
        raise WrongState("A task that waited was taken meanwhile; claim again.")
    Attempt.objects.bulk_create(attempts)
    changes = [
        change
        for attempt, task in zip(attempts, tasks, strict=True)
        for change in (
            Change(task, TaskState.PENDING, TaskState.LEASED, attempt),
            Change(attempt, "", AttemptOutcome.RUNNING),
        )
    ]
    journal.record(journal.agent(worker), *changes, now=now)


def _new_attempts(
    tasks: list[Task], worker: Worker, claim_id: uuid.UUID, now: dt.datetime
) -> list[Attempt]:
    """Return the tasks' next attempts, unsaved."""
    # A query of its own: the one that locked the tasks sees the attempts as they were before it
    # waited for the locks.
    attempts = Attempt.objects.filter(task__in=tasks).order_by().values("task")
    last_numbers = dict(attempts.annotate(last=Max("number")).values_list("task", "last"))
    return [
        Attempt(
            task=task,
            number=last_numbers.get(task.pk, 0) + 1,
            lease_id=uuid.uuid4(),
            claim_id=claim_id,
            worker=worker,
            started_at=now,
        )
        for task in tasks
    ]


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
    attempt = Attempt.objects.filter(worker=worker, lease_id=lease_id).first()
    if attempt is None:
        return HeartbeatAnswer.LOST, str(LeaseUnknown())
    _store_progress(attempt, progress)
    lease = dt.timedelta(seconds=settings.XEENET["LEASE_SECONDS"])
    renewed = Task.objects.filter(
        pk=attempt.task_id, state=TaskState.LEASED, lease_id=lease_id, deadline_at__gt=now
    ).update(
        lease_expires_at=Least(
            F("deadline_at"), Greatest(F("lease_expires_at"), Value(now + lease))
        )
    )
    if renewed:
        return HeartbeatAnswer.CONTINUE, ""
    attempt.refresh_from_db(fields=["outcome", "message"])
    if attempt.outcome == AttemptOutcome.CANCELLED:
        return HeartbeatAnswer.CANCEL, attempt.message
    return HeartbeatAnswer.LOST, str(LeaseLost())


def _store_progress(attempt: Attempt, progress: Iterable[WireProgressPoint]) -> None:
    """Store the points; a point that is sent again (its answer was lost) is ignored."""
    points = [ProgressPoint(attempt=attempt, **point) for point in progress]
    if points:
        ProgressPoint.objects.bulk_create(points, ignore_conflicts=True)


def release(worker: Worker, lease_id: uuid.UUID, *, now: dt.datetime, reason: str = "") -> None:
    """Leased → pending: the worker gives the task back, which costs the task no try.

    Idempotent: releasing again changes nothing. Raises LeaseUnknown, LeaseLost.
    """
    attempt = find_attempt(worker, lease_id)
    # One transaction: task and attempt must agree.
    with transaction.atomic():
        freed = Task.objects.filter(
            pk=attempt.task_id, state=TaskState.LEASED, lease_id=lease_id
        ).update(state=TaskState.PENDING, available_at=now, **NO_LEASE)
        if freed:
            change = Change(attempt.task, TaskState.LEASED, TaskState.PENDING, attempt)
            end_attempt(attempt, AttemptOutcome.RELEASED, change, now=now, message=reason)
            return
    attempt.refresh_from_db(fields=["outcome"])
    if attempt.outcome != AttemptOutcome.RELEASED:
        raise LeaseLost


def expire(*, now: dt.datetime, limit: int = 500) -> int:
    """Take back overdue leases: leased → pending, or failed (class "lost") when losses are spent.

    Returns how many leases this call took back, at most `limit`. Each task has a transaction of its
    own, so that a task that cannot be written is logged and does not block the others.
    """
    overdue = Task.objects.overdue(now).order_by("lease_expires_at")
    expired = 0
    for task in overdue.only("pk", "lease_id", "campaign_id")[:limit]:
        try:
            expired += _expire_one(task, now)
        except DatabaseError:
            logger.exception("task %s: its expired lease could not be taken back", task.pk)
    return expired


def _expire_one(task: Task, now: dt.datetime) -> int:
    with transaction.atomic():
        # Guarded by the lease id and the expiry: a renewal or a result that came first wins.
        guarded = Task.objects.overdue(now).filter(pk=task.pk, lease_id=task.lease_id)
        failed = guarded.filter(lost_attempts__gte=F("max_lost_attempts") - 1).update(
            state=TaskState.FAILED,
            failure_class=FailureClass.LOST,
            finished_at=now,
            lost_attempts=F("lost_attempts") + 1,
            **NO_LEASE,
        )
        moved = failed or guarded.update(
            state=TaskState.PENDING,
            available_at=now,
            lost_attempts=F("lost_attempts") + 1,
            **NO_LEASE,
        )
        if moved:
            attempt = Attempt.objects.get(task=task, outcome=AttemptOutcome.RUNNING)
            attempt.task = task
            to = TaskState.FAILED if failed else TaskState.PENDING
            end_attempt(
                attempt,
                AttemptOutcome.LOST,
                Change(task, TaskState.LEASED, to, attempt),
                actor=LEASE_SWEEP,
                now=now,
                failure_class=FailureClass.LOST,
                message="The worker was not heard of for the lease time.",
            )
    if failed:
        note_ended_task(task.campaign_id, now=now)
    return moved


def find_attempt(worker: Worker, lease_id: uuid.UUID) -> Attempt:
    """Return the attempt this worker made under this lease. Raises LeaseUnknown."""
    attempts = Attempt.objects.filter(worker=worker, lease_id=lease_id).select_related(
        "task__campaign__dataset"
    )
    attempt = attempts.first()
    if attempt is None:
        raise LeaseUnknown
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

    Without an `actor` the worker did it. An attempt that had ended before (it was lost, and its
    worker came back late) keeps that end time.
    """
    if attempt.ended_at is None:
        fields["ended_at"] = now
    Attempt.objects.filter(pk=attempt.pk).update(outcome=outcome, message=message[:1000], **fields)
    changes = [task_change] if task_change else []
    changes.append(Change(attempt, attempt.outcome, outcome))
    journal.record(actor or journal.agent(attempt.worker), *changes, now=now, reason=message)


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
        change = Change(task, TaskState.FAILED, TaskState.PENDING)
        journal.record(actor, change, now=now, reason="One more try.")
        Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
        # Set `resumed_at`, otherwise the failure breaker counts the old failures and pauses the
        # campaign at the first new one.
        reactivate(campaign, actor, now, "A task was given one more try.", resumed_at=now)
