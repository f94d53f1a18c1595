"""When each attempt ran and how it ended, and why attempts brought no ranked result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q

from campaigns.models import Attempt, AttemptOutcome, Campaign, FailureClass, Result

MAX_ATTEMPTS: Final = 1_000
MAX_WORKERS: Final = 40


@dataclass(frozen=True, slots=True)
class Span:
    """One attempt on the timeline. A running attempt ends at the time of reading."""

    task_number: int
    attempt: int
    worker_id: int
    worker: str
    started_at: dt.datetime
    ended_at: dt.datetime
    outcome: str
    failure_class: str


@dataclass(frozen=True)
class Timeline:
    """The latest attempts in the order they started. `total` counts all attempts."""

    spans: list[Span]
    total: int


def timeline(campaign: Campaign, *, now: dt.datetime) -> Timeline:
    """Read the latest attempts of the workers with most attempts.

    At most `MAX_ATTEMPTS` attempts of `MAX_WORKERS` workers.
    """
    attempts = Attempt.objects.filter(task__campaign=campaign)
    by_worker = list(
        attempts.order_by()
        .values_list("worker_id")
        .annotate(number=Count("pk"))
        .order_by("-number")
    )
    busiest = [worker_id for worker_id, _ in by_worker[:MAX_WORKERS]]
    latest = attempts.filter(worker__in=busiest).order_by("-started_at", "-pk")
    rows = latest.values_list(*_SPAN_FIELDS)[:MAX_ATTEMPTS]
    spans = [_span(row, now) for row in rows]
    return Timeline(spans[::-1], sum(number for _, number in by_worker))


def every_span(campaign: Campaign, *, now: dt.datetime) -> Iterator[Span]:
    """Yield every attempt of a campaign in the order they started, streamed from the database."""
    attempts = Attempt.objects.filter(task__campaign=campaign).order_by("started_at", "pk")
    for row in attempts.values_list(*_SPAN_FIELDS).iterator():
        yield _span(row, now)


_SPAN_FIELDS: Final = (
    "task__number",
    "number",
    "worker_id",
    "worker__name",
    "started_at",
    "ended_at",
    "outcome",
    "failure_class",
)


def _span(row: tuple[Any, ...], now: dt.datetime) -> Span:
    number, attempt, worker, name, start, end, outcome, failure = row
    return Span(number, attempt, worker, name, start, max(start, end or now), outcome, failure)


@dataclass(frozen=True)
class Ending:
    """One way in which attempts brought no ranked result."""

    label: str
    kind: str
    attempts: int
    tasks: int


@dataclass(frozen=True)
class Endings:
    """Why attempts brought no ranked result, most frequent first. `total` counts all that ended."""

    endings: list[Ending]
    total: int


_OUTCOME_WORDS: Final = {
    AttemptOutcome.LOST: "worker lost",
    AttemptOutcome.RELEASED: "given back unrun",
    AttemptOutcome.CANCELLED: "cancelled by a person",
    AttemptOutcome.LATE: "came late",
}


def endings(campaign: Campaign) -> Endings:
    """Count the attempts without a ranked result by how they ended; diverged losses are included.

    `kind` is the attempt's outcome; for a result that is not ranked "no value", "implausible" or
    "simulated".
    """
    ended = Attempt.objects.filter(task__campaign=campaign).exclude(outcome=AttemptOutcome.RUNNING)
    rows = (
        ended.exclude(outcome=AttemptOutcome.COMPLETED)
        .order_by()
        .values_list("outcome", "failure_class")
        .annotate(attempts=Count("pk"), tasks=Count("task", distinct=True))
    )
    counted = [
        Ending(_ending_label(outcome, failure_class), outcome, attempts, tasks)
        for outcome, failure_class, attempts, tasks in rows
    ]
    unranked = Result.objects.filter(campaign=campaign, diverged=False).aggregate(
        invented=Count("pk", filter=Q(simulated=True)),
        without_value=Count("pk", filter=Q(simulated=False, value=None)),
        implausible=Count("pk", filter=Q(implausible=True)),
    )
    for number, kind, label in (
        (
            unranked["without_value"],
            "no value",
            "no value: no training step fitted, or not its evaluation",
        ),
        (unranked["implausible"], "implausible", "implausible, not counted"),
        (unranked["invented"], "simulated", "simulated, not measured"),
    ):
        if number:
            counted.append(Ending(label, kind, number, number))
    counted.sort(key=lambda ending: (-ending.attempts, ending.label))
    return Endings(counted, ended.count())


def _ending_label(outcome: str, failure_class: str) -> str:
    if outcome == AttemptOutcome.DIVERGED:
        return "diverged loss"
    if outcome == AttemptOutcome.FAILED and failure_class:
        return f"failed: {FailureClass(failure_class).label}"
    return _OUTCOME_WORDS.get(AttemptOutcome(outcome), outcome)
