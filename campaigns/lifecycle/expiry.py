"""The verb `expire`: takes back the leases that ran out, many in one transaction.

Lock order as everywhere: task, then attempt; workers and campaigns after the commit.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from django.db import DatabaseError, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from campaigns.clock import database_now
from campaigns.lifecycle import journal
from campaigns.lifecycle.endings import note_ended_task
from campaigns.lifecycle.journal import LEASE_SWEEP, Change
from campaigns.lifecycle.transitions import NO_LEASE
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    FailureClass,
    Task,
    TaskName,
    TaskState,
)
from campaigns.models.task import machines_of_others
from workers import lifecycle as worker_lifecycle

logger = logging.getLogger(__name__)

# So many leases are taken back in one transaction: on SQLite all other writers wait for it.
BATCH: Final = 250
# Claims of one process sweep so often at most, and take back so many leases at a time.
SWEPT_EVERY: Final = dt.timedelta(seconds=0.2)
TAKEN_BY_A_CLAIM: Final = 100
_MESSAGE: Final = "The worker was not heard of for the lease time."


def expire(*, now: dt.datetime, limit: int = 500) -> int:
    """Take back overdue leases: leased → pending, or failed (class "lost") when losses are spent.

    Returns how many leases this call took back, at most `limit`, the longest overdue first. A task
    that cannot be written is logged and does not block the others; one that another transaction
    holds is left to the next sweep.
    """
    overdue = Task.objects.overdue(now).order_by("lease_expires_at")
    names = {
        pk: TaskName(*name)
        for pk, *name in overdue.values_list("pk", "campaign_id", "number")[:limit]
    }
    pks = list(names)
    batches = [pks[first : first + BATCH] for first in range(0, len(pks), BATCH)]
    return sum(_take_back_each(batch, names, now) for batch in batches)


def _take_back_each(pks: Sequence[int], names: Mapping[int, TaskName], now: dt.datetime) -> int:
    try:
        lost = _take_back(pks, now)
    except DatabaseError:
        if len(pks) > 1:
            # One of them cannot be written, and the database does not say which. The transaction
            # was rolled back.
            return sum(_take_back_each([pk], names, now) for pk in pks)
        logger.exception("task %s: its expired lease could not be taken back", names[pks[0]])
        return 0
    # After the commit: nothing waits for the row of a worker or campaign while a task is locked.
    worker_lifecycle.pause_after_loss([loss.attempt.worker for loss in lost], now=now)
    for campaign_id in sorted({loss.attempt.task.campaign_id for loss in lost if loss.is_last}):
        try:
            note_ended_task(campaign_id, now=now)
        except DatabaseError:
            # The background job finishes it. What the other campaigns lost is noted meanwhile.
            logger.exception("campaign %s: the end of a lost task was not noted", campaign_id)
    return len(lost)


class _Loss(NamedTuple):
    """An attempt that lost its lease, with its task loaded."""

    attempt: Attempt
    # Whether it is charged to the task, and is then the last one that the task may have.
    counts: bool
    is_last: bool


def _take_back(pks: Sequence[int], now: dt.datetime) -> list[_Loss]:
    """Take back the leases of these tasks that are still overdue: eight statements at most."""
    # One transaction: task and attempt must agree.
    with transaction.atomic():
        # Locked only while it is overdue: a renewal or a result that came first wins.
        overdue = Task.objects.overdue(now).filter(pk__in=pks)
        locked = overdue.only("campaign", "number", "lost_attempts", "max_lost_attempts")
        tasks = {task.pk: task for task in locked.select_for_update(skip_locked=True)}
        lost = _losses(tasks, now)
        if not lost:
            return []
        _fail([loss.attempt.task_id for loss in lost if loss.is_last], now)
        for counts in (True, False):
            back = [loss for loss in lost if loss.counts is counts and not loss.is_last]
            _put_back([loss.attempt.task_id for loss in back], now, counts=counts)
        Attempt.objects.filter(pk__in=[loss.attempt.pk for loss in lost]).update(
            outcome=AttemptOutcome.LOST,
            failure_class=FailureClass.LOST,
            ended_at=now,
            message=_MESSAGE,
        )
        journal.record(LEASE_SWEEP, *_changes(lost), now=now, reason=_MESSAGE)
    return lost


def _losses(tasks: Mapping[int, Task], now: dt.datetime) -> list[_Loss]:
    """Return the losses of these tasks, which this transaction has locked.

    A task fails when several owners lost it, not when one loses it again and again. With no other
    machine online an owner counts alone, otherwise its tasks would never end.
    """
    same_owner = Q(worker=OuterRef("worker")) | Q(
        worker__fleet_token=OuterRef("worker__fleet_token")
    )
    earlier = Attempt.objects.losses().filter(same_owner, task=OuterRef("task"))
    running = Attempt.objects.filter(task__in=tasks, outcome=AttemptOutcome.RUNNING).annotate(
        was_lost_before=Exists(earlier.exclude(pk=OuterRef("pk")))
    )
    needed = running.only("task", "worker__lease_time").select_related("worker")
    attempts = list(needed.order_by("pk"))
    again = [attempt.task_id for attempt in attempts if attempt.was_lost_before]  # type: ignore[attr-defined]
    others = Exists(machines_of_others(now))
    free = set(Task.objects.filter(others, pk__in=again).values_list("pk", flat=True))
    losses = []
    for attempt in attempts:
        attempt.task = task = tasks[attempt.task_id]
        counts = task.pk not in free
        is_last = counts and task.lost_attempts >= task.max_lost_attempts - 1
        losses.append(_Loss(attempt, counts, is_last))
    return losses


def _fail(pks: Sequence[int], now: dt.datetime) -> None:
    if pks:
        Task.objects.filter(pk__in=pks).update(
            state=TaskState.FAILED,
            failure_class=FailureClass.LOST,
            finished_at=now,
            lost_attempts=F("lost_attempts") + 1,
            **NO_LEASE,
        )


def _put_back(pks: Sequence[int], now: dt.datetime, *, counts: bool) -> None:
    if pks:
        Task.objects.filter(pk__in=pks).update(
            state=TaskState.PENDING,
            available_at=now,
            lost_attempts=F("lost_attempts") + int(counts),
            # Other workers come first; this one may be dead.
            last_failed_worker=F("worker"),
            **NO_LEASE,
        )


def _changes(lost: Iterable[_Loss]) -> Iterator[Change]:
    for attempt, _, is_last in lost:
        to = TaskState.FAILED if is_last else TaskState.PENDING
        yield Change(attempt.task, TaskState.LEASED, to, attempt)
        yield Change(attempt, AttemptOutcome.RUNNING, AttemptOutcome.LOST)


class _Sweep:
    """When this process swept last, by the time that its caller read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dt.datetime | None = None

    def is_due(self, now: dt.datetime) -> bool:
        """Return True to one caller, who then sweeps, and False to the others for a while."""
        with self._lock:
            if self._last is not None and abs(now - self._last) < SWEPT_EVERY:
                return False
            self._last = now
            return True

    def forget(self) -> None:
        self._last = None


_sweep = _Sweep()


def sweep(*, now: dt.datetime | None) -> None:
    """Take back some overdue leases before a claim, unless this process has just done so.

    Without `now` the database's clock tells which are overdue; it is read only for a sweep.
    """
    if _sweep.is_due(now or timezone.now()):
        expire(now=now or database_now(), limit=TAKEN_BY_A_CLAIM)


def forget() -> None:
    """Sweep at the next claim in any case; for tests, in which all happens at one instant."""
    _sweep.forget()
