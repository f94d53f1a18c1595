"""`lifecycle.submit` of results that only complete their tasks, in two statements for any number.

The first reads what the verb reads, the verb's own functions judge it, and the second writes the
ends under all guards. Between the two nothing is locked: what the first has read does not change
while the task is leased to the attempt, and the second sees to it that it still is.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.db import DataError, IntegrityError

from campaigns.clock import read_at
from campaigns.lifecycle import journal, noting
from campaigns.lifecycle.classes import known_class_id
from campaigns.lifecycle.completions import (
    Answer,
    accepted,
    has_class,
    new_result,
    read_metrics,
    submission_columns,
    why_failed,
)
from campaigns.lifecycle.disturbed import note_speed
from campaigns.lifecycle.leases import end_changes, end_columns
from campaigns.lifecycle.replays import is_to_be_repeated
from campaigns.lifecycle.statements.ends import Ended, write_ends
from campaigns.lifecycle.statements.running import read_running
from campaigns.lifecycle.transitions import completion
from campaigns.models import Attempt, TaskPurpose
from workers import lifecycle as worker_lifecycle
from workers import presence
from workers.models import Worker
from workers.protocol import Outcome, Submission, canonical_digest


class Submitted(NamedTuple):
    """A submission that was taken: by whom, the answer, and when."""

    worker: Worker
    answer: Answer
    now: dt.datetime


def submit(
    token_hash: str, lease_id: uuid.UUID, body: Submission, *, now: dt.datetime | None = None
) -> Submitted | None:
    """Complete the task of a lease with a result, as `lifecycle.submit` does.

    None, with nothing changed, for a token that opens nothing, and for whatever else than a result
    that only completes its task: the caller then authenticates and calls the verb.
    """
    return submit_each(token_hash, {lease_id: body}, now=now).get(lease_id)


def submit_each(
    token_hash: str,
    bodies: Mapping[uuid.UUID, Submission],
    *,
    now: dt.datetime | None = None,
) -> dict[uuid.UUID, Submitted]:
    """Do as `submit` for the results of several leases together; return those that were taken."""
    attempts = read_running(token_hash, list(bodies))
    if not attempts:
        return {}
    worker, now = attempts[0].worker, now or read_at(attempts[0])
    judged = (judge(attempt, bodies[attempt.lease_id], now) for attempt in attempts)
    ends = [end for end in judged if end is not None]
    if not ends:
        return {}
    if presence.is_due(worker, now):
        # Before a task is locked, because a claim locks the worker first.
        worker_lifecycle.see(worker, now=now)
    try:
        written = write_ends(completion, [end for end, _ in ends], now=now)
    except (DataError, IntegrityError):
        return {}  # one of them cannot be stored, and the verb says of which that is so
    taken = {}
    for end, answer in ends:
        if end.attempt.pk in written:
            taken[end.attempt.lease_id] = Submitted(worker, answer, now)
            if end.result is not None:
                note_speed(end.result)
    if taken and worker.consecutive_env_errors:
        worker_lifecycle.note_good_result(worker)
    _note_ends(ends, written, now)
    return taken


def judge(attempt: Attempt, body: Submission, now: dt.datetime) -> tuple[Ended, Answer] | None:
    """Return how the attempt ends; None where the verb does more than to store a result."""
    task = attempt.task
    if body["outcome"] != Outcome.COMPLETED or body.get("simulated"):
        return None
    if task.purpose == TaskPurpose.REPLAY or (task.max_steps is not None and task.arm.infeasible):
        return None
    metrics = read_metrics(attempt, body)
    if why_failed(attempt, body, metrics, now=now):
        return None
    result = new_result(attempt, metrics, body, now=now)
    if is_to_be_repeated(result):
        return None
    if has_class(result):
        known = known_class_id(attempt, metrics, is_subset=result.eval_is_subset)
        if known is None:
            return None
        result.result_class_id = known
    end = accepted(result, body)
    columns = end_columns(attempt, end.outcome, now=now, message=end.message)
    columns |= submission_columns(end, body, canonical_digest(dict(body)))
    changes = end_changes(attempt, end.outcome, end.change)
    actor = journal.agent(attempt.worker)
    rows = journal.rows(actor, *changes, now=now, reason=end.message)
    return Ended(attempt, columns, rows, result), end.answer


def _note_ends(
    ends: Iterable[tuple[Ended, Answer]], written: Mapping[int, bool], now: dt.datetime
) -> None:
    others_are_open: dict[int, bool] = {}
    for end, _ in ends:
        if end.attempt.pk in written:
            others_are_open[end.attempt.task.campaign_id] = written[end.attempt.pk]
    for campaign_id, is_open in others_are_open.items():
        if is_open:
            noting.note_soon(campaign_id, now=now)
        else:
            noting.note_result(campaign_id, now=now)
