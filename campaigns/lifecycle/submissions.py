"""The verb `submit`: it takes in every finished run, and completes or fails the task.

A result is accepted when the task still names its lease, or when its attempt was lost and the task
still waits for another worker. Any other submission is stored with its attempt and changes no task.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from campaigns.lifecycle import receipts
from campaigns.lifecycle.breakers import pause_failing, pause_troubled
from campaigns.lifecycle.classes import class_id
from campaigns.lifecycle.completions import (
    Answer,
    End,
    accepted,
    has_class,
    new_result,
    read_metrics,
    submission_columns,
    why_failed,
)
from campaigns.lifecycle.disturbed import note_speed
from campaigns.lifecycle.endings import note_ended_task
from campaigns.lifecycle.errors import ResultConflict
from campaigns.lifecycle.journal import Change
from campaigns.lifecycle.leases import end_attempt, find_attempt
from campaigns.lifecycle.replays import is_to_be_repeated, repeat_hindered, settle_replay
from campaigns.lifecycle.retry import (
    CHARGES,
    EXIT_CONFIG_ERROR,
    RETRY_DELAY,
    Charge,
)
from campaigns.lifecycle.slowness import booked_class, note_too_slow
from campaigns.lifecycle.transitions import NO_LEASE, completion, held_by
from campaigns.models import (
    Arm,
    Attempt,
    AttemptOutcome,
    FailureClass,
    Task,
    TaskState,
)
from campaigns.notifications import events
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import Outcome, Submission, Verdict, canonical_digest
from workers.scripts import is_refusal, note_refusal


def submit(worker: Worker, lease_id: uuid.UUID, body: Submission, *, now: dt.datetime) -> Answer:
    """Record how an attempt ended and move its task; return after the commit.

    A result completes the task. One whose numbers contradict themselves or the campaign is REFUSED
    and fails the attempt. A failure makes the task pending again, or failed when its tries are
    spent. Idempotent: the same body again returns the stored answer. Raises LeaseUnknown, and
    ResultConflict for a different body.
    """
    digest = canonical_digest(dict(body))
    # One transaction: task, attempt and result must agree, and the answer is what was committed.
    with transaction.atomic():
        # The row lock serialises two equal submissions (a proxy may repeat a PUT). First, so that
        # everything is read as it is once the lock is ours.
        locked = Task.objects.select_for_update(of=("self",)).order_by()
        list(locked.filter(attempts__lease_id=lease_id, attempts__worker=worker).only("pk"))
        attempt = find_attempt(worker, lease_id)
        if attempt.submission_digest:
            return _stored_answer(attempt, digest)
        if body["outcome"] == Outcome.COMPLETED:
            end = _complete(attempt, body, now)
        else:
            reported = FailureClass(body.get("failure_class") or FailureClass.SCRIPT_ERROR)
            failure_class = booked_class(attempt, reported, body)
            end = _fail(attempt, failure_class, body.get("message", ""), body, now)
        columns = submission_columns(end, body, digest)
        end_attempt(attempt, end.outcome, end.change, now=now, message=end.message, **columns)
    _follow_up(worker, attempt, body, end.answer, now)
    return end.answer


def _stored_answer(attempt: Attempt, digest: str) -> Answer:
    if attempt.submission_digest != digest or attempt.answer is None:
        raise ResultConflict
    stored = attempt.answer
    return Answer(Verdict(stored["verdict"]), stored["message"], stored.get("note", ""))


def _owned(attempt: Attempt) -> Q:
    """Return the condition under which this attempt may decide its task.

    Either the task still names the attempt's lease, or that lease ran out and no worker holds the
    task now.
    """
    held = held_by(attempt.lease_id)
    if attempt.outcome == AttemptOutcome.LOST:
        return held | Q(state=TaskState.PENDING)
    return held


def _complete(attempt: Attempt, body: Submission, now: dt.datetime) -> End:
    metrics = read_metrics(attempt, body)
    if failed := why_failed(attempt, body, metrics, now=now):
        failure_class, reason = failed
        failure = _fail(attempt, failure_class, reason, body, now)
        if failure_class != FailureClass.INVALID_RESULT:
            return failure
        refused = f"The result was refused: {reason}."
        return failure._replace(answer=Answer(Verdict.REFUSED, refused, receipts.REFUSED))
    task = attempt.task
    if not Task.objects.filter(_owned(attempt), pk=task.pk).update(**completion(now)):
        kept = "Kept, but another attempt or a person decided the task."
        message = body.get("message", "")  # what was unusual about the run: "did not exit"
        return End(AttemptOutcome.LATE, Answer(Verdict.LATE, kept, receipts.LATE), message)
    result = new_result(attempt, metrics, body, now=now)
    if has_class(result):
        result.result_class_id = class_id(attempt, metrics, is_subset=result.eval_is_subset)
    result.save(force_insert=True)
    if task.max_steps is not None and task.arm.infeasible:
        # A worker that still had it was fast enough after all.
        Arm.objects.filter(pk=task.arm_id).update(infeasible="")
    return accepted(result, body, stands_in=settle_replay(result))


def _fail(
    attempt: Attempt,
    failure_class: FailureClass,
    message: str,
    body: Submission,
    now: dt.datetime,
) -> End:
    """Charge the failure to its counter; leased → pending, or failed when the tries are spent.

    A final failure is charged like any other and spends the tries that are left.
    """
    task = attempt.task
    attempt.failure_class = failure_class  # `_follow_up` reads it
    counter, maximum = {
        Charge.FAILURE: ("failed_attempts", "max_failed_attempts"),
        Charge.LOSS: ("lost_attempts", "max_lost_attempts"),
        Charge.FREE: (None, None),
        Charge.SLOW: (None, None),
    }[CHARGES[failure_class]]
    # Only a failure of the current lease moves the task; one of an ended lease is just stored.
    held = Task.objects.filter(held_by(attempt.lease_id), pk=task.pk)
    is_final = _is_final(failure_class, body)
    charge: dict[str, Any] = {counter: F(counter) + 1} if counter else {}
    failed = 0
    if counter and maximum:
        last_try = held if is_final else held.filter(**{f"{counter}__gte": F(maximum) - 1})
        failed = last_try.update(
            state=TaskState.FAILED,
            failure_class=failure_class,
            finished_at=now,
            **charge,
            **NO_LEASE,
        )
    retried = not failed and held.update(
        state=TaskState.PENDING,
        available_at=now + RETRY_DELAY,
        last_failed_worker=attempt.worker_id,
        **charge,
        **NO_LEASE,
    )
    if not failed and not retried:
        moved = "The failure is stored; the lease had ended, so it moves nothing."
        answer = Answer(Verdict.LATE, moved, receipts.MOVES_NOTHING)
        return End(AttemptOutcome.LATE, answer, message, failure_class=failure_class)
    to = TaskState.FAILED if failed else TaskState.PENDING
    change = Change(task, TaskState.LEASED, to, attempt)
    note = receipts.of_failure(task, failure_class, tries_left=not failed)
    answer = Answer(Verdict.RETRY, "The failure is stored; the task will run again.", note)
    if failed:
        reason = "it is final" if is_final else "the task has no tries left"
        answer = Answer(Verdict.FAILED, f"The failure is stored; {reason}.", note)
    return End(AttemptOutcome.FAILED, answer, message, change, failure_class)


def _is_final(failure_class: FailureClass, body: Submission) -> bool:
    """Return whether another try would fail, too: the script itself refused its config.

    Only with the exit code that the contract has for it; no other failure can be said to be final.
    """
    refused = body.get("exit_code") == EXIT_CONFIG_ERROR and body.get("final") is True
    return refused and failure_class == FailureClass.SCRIPT_ERROR


def _follow_up(
    worker: Worker, attempt: Attempt, body: Submission, answer: Answer, now: dt.datetime
) -> None:
    """Do what follows from a committed submission and may happen late without harm."""
    charge = CHARGES.get(attempt.failure_class)
    if answer.verdict == Verdict.ACCEPTED:
        worker_lifecycle.note_good_result(worker)
        note_speed(attempt.task.result)
        if is_to_be_repeated(attempt.task.result):
            # First, because the campaign would complete without an open task.
            repeat_hindered(attempt.task.result, now=now)
    elif is_refusal(attempt.failure_class, body.get("message", "")):
        # Not the machine's fault: it gets no more of this script, and need not wait for others.
        note_refusal(worker, attempt.task.campaign.package_id)
    elif charge is Charge.FREE:
        reason = body.get("message") or FailureClass(attempt.failure_class).label
        worker_lifecycle.pause_after_env_error(worker, reason, now=now)
    if answer.verdict in {Verdict.ACCEPTED, Verdict.FAILED, Verdict.REFUSED}:
        note_ended_task(attempt.task.campaign_id, now=now)
    if answer.verdict == Verdict.ACCEPTED:
        # Last, and after the commit: a notification that fails must not cost a result.
        events.note_new_best(attempt.task.campaign_id, now=now)
    if answer.verdict in {Verdict.FAILED, Verdict.RETRY, Verdict.REFUSED}:
        campaign = attempt.task.campaign
        if charge is Charge.FREE:
            pause_troubled(campaign, now=now)
        elif charge is Charge.SLOW:
            note_too_slow(attempt, now=now)
        else:
            pause_failing(campaign, now=now)
