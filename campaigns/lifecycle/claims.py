"""The verb `claim`: which waiting tasks a worker is handed.

Lock order: the worker, so that its claims come one after the other, then the tasks. A claim never
waits for a task that is locked.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import BooleanField, Count, ExpressionWrapper, Max, Q, QuerySet

from campaigns.lifecycle import calibrating, journal
from campaigns.lifecycle.claim_lock import claiming_alone
from campaigns.lifecycle.claim_reasons import why_fewer, why_full, why_nothing
from campaigns.lifecycle.claim_turns import Offer, charge, locked, locked_in_turn
from campaigns.lifecycle.claimants import claimants, with_tasks
from campaigns.lifecycle.errors import WrongState
from campaigns.lifecycle.expiry import sweep
from campaigns.lifecycle.guards import budgets_of_claim
from campaigns.lifecycle.journal import Change
from campaigns.lifecycle.transitions import NO_LEASE
from campaigns.models import (
    MAX_UNPAID_TRIES,
    Attempt,
    AttemptOutcome,
    Campaign,
    FailureClass,
    Task,
    TaskName,
    TaskQuerySet,
    TaskState,
)
from campaigns.models.attempt import FAILED, UNPAID, AttemptQuerySet
from campaigns.models.campaign import CampaignQuerySet
from campaigns.sharing.turns import take_turns
from workers import lifecycle as worker_lifecycle
from workers.calibration import CalibrationOrder
from workers.fleet_token import of_same_owner
from workers.models import Worker
from workers.pace import Pace, usual
from workers.protocol import MAX_LEASES_PER_CLAIM
from workers.takeover import take_over

logger = logging.getLogger(__name__)

# The most leases a worker holds, and the bound of one whose claims do not tell its slots.
MAX_SLOTS: Final = MAX_LEASES_PER_CLAIM
# A task that could not be leased is left out for this time, so that it does not head the queue.
SET_ASIDE: Final = dt.timedelta(minutes=5)
# So many tasks that cannot be leased a claim passes over.
SPARE_TASKS: Final = 64
# What a row raises that cannot be leased: a number out of its column's range, a broken constraint,
# JSON that cannot be read. A database that is away raises other errors.
UNUSABLE: Final = (DataError, IntegrityError, OverflowError, TypeError, ValueError, WrongState)
# Of a worker's last environment errors, so many are looked at.
_ERRORS_REMEMBERED: Final = 64


@dataclass(frozen=True)
class Claim:
    """The attempts that a claim got, with task, campaign, data set and package loaded.

    `reason` says why a new claim got fewer than it wanted; "" otherwise. `calibrate` is set when
    the worker is to measure its speed.
    """

    attempts: list[Attempt]
    reason: str
    calibrate: CalibrationOrder | None = None
    # The worker's: of its leases, and of its heartbeats until one of them is answered otherwise.
    pace: Pace = field(default_factory=usual)


def claim(
    worker: Worker,
    *,
    claim_id: uuid.UUID,
    count: int,
    now: dt.datetime,
    slots: int | None = None,
    calibrates: bool = False,
    boot_id: uuid.UUID | None = None,
    longest_seconds: float | None = None,
) -> Claim:
    """Pending → leased for up to `count` tasks; a repeated `claim_id` returns the same attempts.

    `slots` is how many leases the agent can hold at a time (None: it does not tell), `calibrates`
    whether it can measure its speed, `boot_id` is its start, `longest_seconds` the most that a
    task's budget and grace may take. Takes back overdue leases first, five times a second at most,
    so that claims do not depend on the background job. A worker that may not claim gets an empty
    claim with the reason, not an error. Raises WorkerInUse for an agent that a later one took over
    from.
    """
    sweep(now=now)
    return lease_waiting(
        worker,
        claim_id=claim_id,
        count=count,
        now=now,
        slots=slots,
        calibrates=calibrates,
        boot_id=boot_id,
        longest_seconds=longest_seconds,
    )


def lease_waiting(
    worker: Worker,
    *,
    claim_id: uuid.UUID,
    count: int,
    now: dt.datetime,
    slots: int | None = None,
    calibrates: bool = False,
    boot_id: uuid.UUID | None = None,
    longest_seconds: float | None = None,
    among: Q | None = None,
    runs_own_script: bool = False,
) -> Claim:
    """Claim as `claim` does, without taking back overdue leases; only `among` the given tasks.

    `runs_own_script` skips the checks of approval and isolation tier: the caller is a person's own
    program, which runs the tasks itself.
    """
    choice = _Choice(
        worker,
        claim_id,
        count,
        now,
        slots,
        calibrates,
        boot_id,
        longest_budget(longest_seconds),
        among,
        runs_own_script,
    )
    try:
        leased = _lease_chosen(choice, _lease)
    except UNUSABLE:
        # One of the tasks cannot be leased, and the database does not say which. The transaction
        # was rolled back; lease the tasks one by one, so that the others are handed out.
        logger.exception("a task could not be leased to %s; trying one by one", worker)
        leased = _lease_chosen(choice, _lease_each)
    return replace(leased, pace=worker.pace)


@dataclass(frozen=True)
class _Choice:
    """What a claim wants; see `lease_waiting`."""

    worker: Worker
    claim_id: uuid.UUID
    count: int
    now: dt.datetime
    slots: int | None
    calibrates: bool
    boot_id: uuid.UUID | None
    longest_budget: float  # seconds; infinite without a bound
    among: Q | None
    runs_own_script: bool


def most_held(slots: int | None) -> int:
    """Return how many leases a worker may hold whose claim tells these slots."""
    return MAX_SLOTS if slots is None else min(slots, MAX_SLOTS)


def longest_budget(longest_seconds: float | None) -> float:
    """Return how many seconds a budget may be for an agent that has so many for a task."""
    longest = math.inf if longest_seconds is None else longest_seconds
    return longest - float(settings.XEENET["KILL_GRACE_SECONDS"])


def short_enough(longest_budget: Any) -> Q:
    """Return which tasks the agent can finish; the guard of work is known when it is leased."""
    if isinstance(longest_budget, float) and math.isinf(longest_budget):
        return Q()
    budget = Q(campaign__time_budget_seconds__lte=longest_budget)
    return Q(max_steps__isnull=False) | budget


# Leases up to a number of the tasks of an offer; returns each with the campaign that pays for it.
_Leasing = Callable[[Offer, int, _Choice], list[tuple[Attempt, int]]]


def _lease_chosen(choice: _Choice, lease: _Leasing) -> Claim:
    claim_id, now = choice.claim_id, choice.now
    # One transaction: task and attempt must agree. The lock of the worker serialises a claim and
    # its retry (sent because the answer was lost), and two claims that count the leases held.
    with transaction.atomic():
        rows = claiming_alone(Worker.objects.select_for_update(no_key=True))
        worker = calibrating.noting_work(rows).get(pk=choice.worker.pk)
        # As locked: a heartbeat that moves it waits for this claim, or came before it.
        choice.worker.lease_time = worker.lease_time
        # Nearly every claim is new, and whether it is costs less to ask than what it got.
        if Attempt.objects.of_claim(worker.pk, claim_id).exists():
            return Claim(attempts_of_claim(worker, claim_id), "")
        if choice.boot_id is not None:
            take_over(worker, choice.boot_id, now=now)
        if reason := why_nothing(worker, now):
            return Claim([], reason)
        held, bound = Task.objects.held_by(worker).count(), most_held(choice.slots)
        if choice.slots is not None:
            worker_lifecycle.note_slots(worker, bound, held=held)
        count = min(choice.count, bound - held)
        if count <= 0:
            return Claim([], why_full(held, bound))
        campaigns = Campaign.objects.handing_out_to(worker)
        if not choice.runs_own_script:
            campaigns = campaigns.runnable_by(worker)
        measuring = calibrating.measuring(worker, campaigns, calibrates=choice.calibrates, now=now)
        campaigns = measuring.allowed(campaigns)
        for candidates in _most_promising_first(campaigns, worker):
            offer = _offer(candidates, worker, choice)
            if leased := lease(offer, count, choice):
                charge(leased, offer.claimants)
                break
        attempts = attempts_of_claim(worker, claim_id)
    if len(attempts) == choice.count:
        return Claim(attempts, "", measuring.order)
    if len(attempts) == count:
        return Claim(attempts, why_full(held + count, bound), measuring.order)
    reason = measuring.reason or why_fewer(
        worker,
        choice.among,
        runs_own_script=choice.runs_own_script,
        longest_budget=choice.longest_budget,
    )
    return Claim(attempts, reason, measuring.order)


def _most_promising_first(campaigns: CampaignQuerySet, worker: Worker) -> list[CampaignQuerySet]:
    """Return where to look for tasks: first without campaigns whose tasks the worker cannot start.

    Otherwise one campaign with a data set that nobody can fetch would occupy the whole fleet, and
    the other campaigns would get no worker.
    """
    error_count = min(worker.consecutive_env_errors, _ERRORS_REMEMBERED)
    if not error_count:
        return [campaigns]
    errors = Attempt.objects.filter(worker=worker, failure_class=FailureClass.ENV_ERROR)
    latest = errors.order_by("-pk").values_list("task__campaign", flat=True)[:error_count]
    return [campaigns.exclude(pk__in=set(latest)), campaigns]


def attempts_of_claim(worker: Worker, claim_id: uuid.UUID) -> list[Attempt]:
    """Return the attempts that this claim of the worker got; [] for a new claim."""
    attempts = Attempt.objects.of_claim(worker.pk, claim_id)
    related = "task__campaign__dataset", "task__campaign__package"
    # Without the script's source: agents fetch it by its hash, and the lease only names it.
    return list(
        attempts.select_related(*related).defer("task__campaign__package__source").order_by("pk")
    )


def _offer(campaigns: CampaignQuerySet, worker: Worker, choice: _Choice) -> Offer:
    among = Task.objects.filter(choice.among or Q(), short_enough(choice.longest_budget))
    waiting = among.claimable(worker, choice.now)
    return Offer(worker, waiting, claimants(with_tasks(campaigns, waiting, worker)))


def _lease(offer: Offer, count: int, choice: _Choice) -> list[tuple[Attempt, int]]:
    """Lease up to `count` tasks together."""
    worker, waiting = offer.worker, offer.waiting
    tasks = locked_in_turn(offer, waiting, count)
    histories = _histories(list(tasks), worker)
    if any(history.is_to_be_checked for history in histories.values()):
        # Perhaps they go to other workers. Only now ask for tasks that do not: the question makes
        # the query several times as large, and few workers have such tasks.
        tasks = locked_in_turn(offer, waiting.to_be_had_again(worker, choice.now), count)
        histories = _histories(list(tasks), worker)
    attempts = _move_to_leased(list(tasks), histories, worker, choice)
    return [(attempt, tasks[attempt.task]) for attempt in attempts]


def _lease_each(offer: Offer, count: int, choice: _Choice) -> list[tuple[Attempt, int]]:
    """Lease up to `count` tasks one by one; leave out those that cannot be leased."""
    waiting = offer.waiting.to_be_had_again(offer.worker, choice.now)
    leased: list[Attempt] = []

    def lease(numbers: Mapping[int, int]) -> dict[int, list[Attempt]]:
        attempts = {}
        for campaign, number in numbers.items():
            own = waiting.filter(campaign=campaign)
            attempts[campaign] = _leased_singly(own, number, offer.worker, choice, len(leased))
            leased.extend(attempts[campaign])
        return attempts

    return take_turns(offer.claimants, count, lease)


def _leased_singly(
    waiting: TaskQuerySet, count: int, worker: Worker, choice: _Choice, first_ordinal: int
) -> list[Attempt]:
    leased: list[Attempt] = []
    first = waiting.values_list("pk", "campaign_id", "number")[: count + SPARE_TASKS]
    for pk, *name in list(first):
        if len(leased) == count:
            break
        ordinal = first_ordinal + len(leased)
        try:
            with transaction.atomic():
                tasks = list(locked(waiting.filter(pk=pk)))
                histories = _histories(tasks, worker)
                leased += _move_to_leased(tasks, histories, worker, choice, first_ordinal=ordinal)
        except UNUSABLE:
            logger.exception("task %d/%d cannot be leased; it is left out for a while", *name)
            _set_aside(pk, TaskName(*name), choice.now)
    return leased


def _set_aside(pk: int, name: TaskName, now: dt.datetime) -> None:
    """Keep a task that cannot be leased from heading the queue; it stays pending."""
    try:
        with transaction.atomic():
            pending = Task.objects.filter(pk=pk, state=TaskState.PENDING)
            pending.update(available_at=now + SET_ASIDE)
    except UNUSABLE:
        logger.exception("task %s could not be left out", name)


class _History(NamedTuple):
    """A task's last attempt's number, and whether the task perhaps goes to other workers.

    `TaskQuerySet.to_be_had_again` then tells.
    """

    last_number: int
    is_to_be_checked: bool


def _histories(tasks: list[Task], worker: Worker) -> dict[int, _History]:
    """Return the history of each task that has one, by the task's id."""
    if not tasks:
        return {}
    # A query of its own: the one that locked the tasks sees the attempts as they were before it
    # waited for the locks.
    rows = histories(Attempt.objects.filter(task__in=tasks), worker)
    return {task: _History(*row) for task, *row in rows}


def histories(attempts: AttemptQuerySet, worker: Worker) -> QuerySet[Attempt, Any]:
    """Return for each task of the attempts: its id, and what `_History` has of it."""
    by_owner = of_same_owner("worker", worker)
    counted = (
        attempts.order_by()
        .values("task")
        .annotate(
            last=Max("number"),
            unpaid=Count("pk", filter=UNPAID & by_owner),
            failures=Count("pk", filter=FAILED & by_owner),
        )
    )
    checked = Q(failures__gt=0) | Q(unpaid__gte=MAX_UNPAID_TRIES)
    counted = counted.annotate(
        is_to_be_checked=ExpressionWrapper(checked, output_field=BooleanField())
    )
    return counted.values_list("task", "last", "is_to_be_checked")


def _move_to_leased(
    tasks: list[Task],
    histories: Mapping[int, _History],
    worker: Worker,
    choice: _Choice,
    first_ordinal: int = 0,
) -> list[Attempt]:
    """Pending → leased for tasks that this transaction has locked: four statements for any number.

    One more where a work budget is among them. Tasks whose guard is too long for the agent stay
    pending. Returns the new attempts. Raises WrongState when one of them is not pending after all;
    rolling back undoes the rest.
    """
    budgets = budgets_of_claim(tasks, worker, choice.now)
    tasks = [task for task in tasks if budgets[task.pk] <= choice.longest_budget]
    if not tasks:
        return []
    attempts = []
    for ordinal, task in enumerate(tasks, first_ordinal):
        attempt = lease_to(worker, task, budgets[task.pk], now=choice.now)
        history = histories.get(task.pk)
        attempt.number = history.last_number + 1 if history else 1
        attempt.claim_id, attempt.ordinal = choice.claim_id, ordinal
        attempts.append(attempt)
    leased = Task.objects.filter(state=TaskState.PENDING).bulk_update(tasks, ["state", *NO_LEASE])
    if leased != len(tasks):
        raise WrongState("A task that waited was taken meanwhile; claim again.")
    Attempt.objects.bulk_create(attempts)
    changes = [change for attempt in attempts for change in claim_changes(attempt)]
    journal.record(journal.agent(worker), *changes, now=choice.now)
    return attempts


def lease_to(worker: Worker, task: Task, budget_seconds: float, *, now: dt.datetime) -> Attempt:
    """Give the task a new lease; return its attempt, to be numbered. Neither is saved."""
    times = settings.XEENET
    grace = times["SETUP_GRACE_SECONDS"] + times["KILL_GRACE_SECONDS"]
    longest = grace + times["SUBMIT_GRACE_SECONDS"] + budget_seconds
    task.state = TaskState.LEASED
    task.lease_id = uuid.uuid4()
    task.worker = worker
    task.deadline_at = now + dt.timedelta(seconds=longest)
    task.lease_expires_at = min(now + worker.pace.lease_time, task.deadline_at)
    return Attempt(
        task=task,
        lease_id=task.lease_id,
        worker=worker,
        started_at=now,
        time_budget_seconds=budget_seconds,
    )


def claim_changes(attempt: Attempt) -> tuple[Change, Change]:
    """Return what the journal is told of a new attempt and its task."""
    return (
        Change(attempt.task, TaskState.PENDING, TaskState.LEASED, attempt),
        Change(attempt, "", AttemptOutcome.RUNNING),
    )
