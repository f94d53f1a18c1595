"""What must hold of a database of campaigns at any moment, whatever happened before.

``check()`` after a step of a test, ``violations()`` for a report that counts. Both look at one
snapshot, so the servers and agents under test may go on working. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connections, transaction

from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    ChangeSubject,
    Result,
    StateChange,
    Task,
    TaskState,
)
from workers.protocol import Verdict

NOTHING: Final[Mapping[UUID, str]] = {}
# Where each is from its making on, which is no change of its own.
FIRST_STATES: Final[dict[str, str]] = {
    ChangeSubject.CAMPAIGN: CampaignState.DRAFT,
    ChangeSubject.TASK: TaskState.PENDING,
    ChangeSubject.ATTEMPT: "",
}
BROUGHT_THE_RESULT: Final = {AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED}
OUTCOMES: Final[dict[str, set[str]]] = {
    Verdict.ACCEPTED: {AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED},
    Verdict.RETRY: {AttemptOutcome.FAILED},
    Verdict.FAILED: {AttemptOutcome.FAILED},
    Verdict.LATE: {AttemptOutcome.LATE},
    # Its numbers contradict themselves: a failure when it held the task, else late.
    Verdict.REFUSED: {AttemptOutcome.FAILED, AttemptOutcome.LATE},
}


def check(using: str = "default", *, acknowledged: Mapping[UUID, str] = NOTHING) -> None:
    """Raise AssertionError naming everything that does not hold; see `violations`."""
    found = violations(using, acknowledged=acknowledged)
    assert not found, "\n".join(found)


def violations(using: str = "default", *, acknowledged: Mapping[UUID, str] = NOTHING) -> list[str]:
    """Return one sentence for each thing that must hold and does not.

    `acknowledged` maps the lease ids of submits that were answered with 2xx to the verdict told.
    """
    rows = _read(using)
    return [*_leases(rows), *_results(rows), *_answers(rows, acknowledged), *_journal(rows)]


class TaskRow(NamedTuple):
    """Columns of a task."""

    campaign_id: int
    state: str
    lease_id: UUID | None
    worker_id: int | None


class AttemptRow(NamedTuple):
    """Columns of an attempt."""

    task_id: int
    outcome: str
    lease_id: UUID
    worker_id: int
    submission_digest: str
    answer: Any


class ResultRow(NamedTuple):
    """Columns of a result."""

    task_id: int
    attempt_id: int
    campaign_id: int


class ChangeRow(NamedTuple):
    """Columns of a line of the journal."""

    pk: int
    subject: str
    campaign_id: int
    task_id: int
    attempt_id: int
    from_state: str
    to_state: str

    @property
    def subject_id(self) -> int:
        """The number of the campaign, task or attempt it tells of."""
        number: int = getattr(self, f"{self.subject}_id")
        return number


@dataclass(frozen=True)
class Rows:
    """What stood in the tables at one moment, by number."""

    campaigns: dict[int, str]
    tasks: dict[int, TaskRow]
    attempts: dict[int, AttemptRow]
    results: list[ResultRow]
    changes: list[ChangeRow]


def _read(using: str) -> Rows:
    """Read everything in one snapshot."""
    connection = connections[using]
    outermost = not connection.in_atomic_block
    with transaction.atomic(using=using):
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tasks = Task.objects.using(using).order_by().values_list("pk", *TaskRow._fields)
        attempts = Attempt.objects.using(using).order_by().values_list("pk", *AttemptRow._fields)
        results = Result.objects.using(using).order_by().values_list(*ResultRow._fields)
        changes = StateChange.objects.using(using).order_by("pk")
        return Rows(
            campaigns=dict(Campaign.objects.using(using).order_by().values_list("pk", "state")),
            tasks={pk: TaskRow(*columns) for pk, *columns in tasks},
            attempts={pk: AttemptRow(*columns) for pk, *columns in attempts},
            results=[ResultRow(*columns) for columns in results],
            changes=[ChangeRow(*c) for c in changes.values_list(*ChangeRow._fields)],
        )


def _leases(rows: Rows) -> Iterator[str]:
    """At most one live attempt per task; leased exactly when it is the attempt of that lease."""
    running: dict[int, list[tuple[UUID, int]]] = {}
    for attempt in rows.attempts.values():
        if attempt.outcome == AttemptOutcome.RUNNING:
            lease = attempt.lease_id, attempt.worker_id
            running.setdefault(attempt.task_id, []).append(lease)
    for task_id, leases in running.items():
        if len(leases) > 1:
            yield f"task {task_id}: {len(leases)} attempts run at once"
        if rows.tasks[task_id].state != TaskState.LEASED:
            yield f"task {task_id}: an attempt runs, and the task is {rows.tasks[task_id].state}"
    for task_id, task in rows.tasks.items():
        held = task.lease_id, task.worker_id
        if task.state == TaskState.LEASED and held not in running.get(task_id, []):
            yield f"task {task_id}: leased, but no attempt runs under its lease {task.lease_id}"


def _results(rows: Rows) -> Iterator[str]:
    """Each completed task has one result, of the attempt its journal names; no other task has."""
    completed = {pk for pk, task in rows.tasks.items() if task.state == TaskState.COMPLETED}
    named = {
        change.task_id: change.attempt_id
        for change in rows.changes
        if (change.subject, change.to_state) == (ChangeSubject.TASK, TaskState.COMPLETED)
    }
    told = set()
    for task_id, attempt_id, campaign_id in rows.results:
        if task_id in told:
            yield f"task {task_id}: has two results"
        told.add(task_id)
        attempt = rows.attempts[attempt_id]
        if task_id not in completed:
            yield f"task {task_id}: has a result, and is not completed"
        if (attempt.task_id, rows.tasks[task_id].campaign_id) != (task_id, campaign_id):
            yield f"task {task_id}: its result is of another task or campaign"
        if attempt.outcome not in BROUGHT_THE_RESULT:
            yield f"task {task_id}: its result is of an attempt that is {attempt.outcome}"
        if named.get(task_id) != attempt_id:
            yield f"task {task_id}: attempt {named.get(task_id)} completed it, not {attempt_id}"
    for task_id in completed - told:
        yield f"task {task_id}: completed without a result"
    winners = {result.attempt_id for result in rows.results}
    for attempt_id, attempt in rows.attempts.items():
        if attempt.outcome in BROUGHT_THE_RESULT and attempt_id not in winners:
            yield f"attempt {attempt_id}: said to have brought a result, and there is none"


def _answers(rows: Rows, acknowledged: Mapping[UUID, str]) -> Iterator[str]:
    """What an agent was told is what is stored, and what was stored was told."""
    stored: dict[UUID, str] = {}
    for pk, attempt in rows.attempts.items():
        if not attempt.submission_digest:
            continue
        verdict = attempt.answer["verdict"] if attempt.answer else "nothing"
        stored[attempt.lease_id] = verdict
        if attempt.outcome not in OUTCOMES.get(verdict, set()):
            yield f"attempt {pk}: answered {verdict!r}, and is {attempt.outcome}"
    for lease_id, verdict in acknowledged.items():
        if stored.get(lease_id) != verdict:
            kept = stored.get(lease_id, "nothing")
            yield f"lease {lease_id}: the agent was told {verdict!r}, stored is {kept!r}"


def _journal(rows: Rows) -> Iterator[str]:
    """Each change begins where the one before ended, and the last led to the state of now."""
    reached: dict[tuple[str, int], str] = {}
    for change in rows.changes:
        which = change.subject, change.subject_id
        before, at = change.from_state, reached.get(which, FIRST_STATES[change.subject])
        # From nothing: what the migration that began the journal found there.
        if before != at and (which in reached or before):
            yield f"journal {change.pk}: {' '.join(map(str, which))} left {before!r}, was {at!r}"
        reached[which] = change.to_state
    now: dict[tuple[str, int], str] = {
        **{(ChangeSubject.CAMPAIGN, pk): state for pk, state in rows.campaigns.items()},
        **{(ChangeSubject.TASK, pk): task.state for pk, task in rows.tasks.items()},
        **{(ChangeSubject.ATTEMPT, pk): one.outcome for pk, one in rows.attempts.items()},
    }
    for (subject, pk), state in now.items():
        told = reached.get((subject, pk), FIRST_STATES[subject])
        if told != state:
            yield f"{subject} {pk}: is {state!r}, and its journal leads to {told!r}"
