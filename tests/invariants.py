"""What must hold of a database of campaigns at any moment, whatever happened before.

``check()`` after a step of a test, ``violations()`` for a report that counts. Both look at one
snapshot, so the servers and agents under test may go on working. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
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
    with _snapshot(using):
        return [
            *_leases(using),
            *_results(using),
            *_answers(using, acknowledged),
            *_journal(using),
        ]


@contextmanager
def _snapshot(using: str) -> Iterator[None]:
    connection = connections[using]
    outermost = not connection.in_atomic_block
    with transaction.atomic(using=using):
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def _leases(using: str) -> Iterator[str]:
    """At most one live attempt per task; leased exactly when it is the attempt of that lease."""
    running: dict[int, list[tuple[UUID, int]]] = {}
    live = Attempt.objects.using(using).filter(outcome=AttemptOutcome.RUNNING)
    for task_id, lease_id, worker_id in live.values_list("task_id", "lease_id", "worker_id"):
        running.setdefault(task_id, []).append((lease_id, worker_id))
    leased = Task.objects.using(using).filter(state=TaskState.LEASED)
    held = {
        pk: (lease_id, worker_id)
        for pk, lease_id, worker_id in leased.values_list("pk", "lease_id", "worker_id")
    }
    for task_id, attempts in running.items():
        if len(attempts) > 1:
            yield f"task {task_id}: {len(attempts)} attempts run at once"
        if task_id not in held:
            yield f"task {task_id}: an attempt runs, and the task is not leased"
    for task_id, lease in held.items():
        if lease not in running.get(task_id, []):
            yield f"task {task_id}: leased, but no attempt runs under its lease {lease[0]}"


def _results(using: str) -> Iterator[str]:
    """Each completed task has one result, of the attempt its journal names; no other task has."""
    completed = Task.objects.using(using).filter(state=TaskState.COMPLETED)
    without = set(completed.values_list("pk", flat=True))
    named = dict(
        StateChange.objects.using(using)
        .filter(subject=ChangeSubject.TASK, to_state=TaskState.COMPLETED)
        .order_by("pk")
        .values_list("task_id", "attempt_id")
    )
    winners = set()
    rows = Result.objects.using(using).values_list(
        "task_id",
        "attempt_id",
        "attempt__task_id",
        "attempt__outcome",
        "campaign_id",
        "task__campaign_id",
    )
    for task_id, attempt_id, attempt_task_id, outcome, campaign_id, task_campaign_id in rows:
        winners.add(attempt_id)
        if task_id not in without:
            yield f"task {task_id}: has a result, and is not completed"
        without.discard(task_id)
        if (attempt_task_id, task_campaign_id) != (task_id, campaign_id):
            yield f"task {task_id}: its result is of another task or campaign"
        if outcome not in BROUGHT_THE_RESULT:
            yield f"task {task_id}: its result is of attempt {attempt_id}, which is {outcome}"
        if named.get(task_id) != attempt_id:
            yield f"task {task_id}: attempt {named.get(task_id)} completed it, not {attempt_id}"
    for task_id in without:
        yield f"task {task_id}: completed without a result"
    brought = Attempt.objects.using(using).filter(outcome__in=BROUGHT_THE_RESULT)
    for attempt_id in set(brought.values_list("pk", flat=True)) - winners:
        yield f"attempt {attempt_id}: said to have brought a result, and there is none"


def _answers(using: str, acknowledged: Mapping[UUID, str]) -> Iterator[str]:
    """What an agent was told is what is stored, and what was stored was told."""
    rows = Attempt.objects.using(using).exclude(submission_digest="")
    stored: dict[UUID, str] = {}
    for pk, lease_id, outcome, answer in rows.values_list("pk", "lease_id", "outcome", "answer"):
        verdict = answer["verdict"] if answer else "nothing"
        stored[lease_id] = verdict
        if outcome not in OUTCOMES.get(verdict, set()):
            yield f"attempt {pk}: answered {verdict!r}, and is {outcome}"
    for lease_id, verdict in acknowledged.items():
        if stored.get(lease_id) != verdict:
            kept = stored.get(lease_id, "nothing")
            yield f"lease {lease_id}: the agent was told {verdict!r}, stored is {kept!r}"


def _journal(using: str) -> Iterator[str]:
    """Each change begins where the one before ended, and the last led to the state of now."""
    reached: dict[tuple[str, int], str] = {}
    changes = StateChange.objects.using(using).order_by("pk")
    columns = "pk", "subject", "campaign_id", "task_id", "attempt_id", "from_state", "to_state"
    for pk, subject, campaign_id, task_id, attempt_id, before, after in changes.values_list(
        *columns
    ):
        ids = {"campaign": campaign_id, "task": task_id, "attempt": attempt_id}
        which = (subject, ids[subject])
        at = reached.get(which, FIRST_STATES[subject])
        # From nothing: what the migration that began the journal found there.
        if before != at and (which in reached or before):
            yield f"journal {pk}: {subject} {which[1]} left {before!r}, but was {at!r}"
        reached[which] = after
    states = (
        (ChangeSubject.CAMPAIGN, Campaign.objects, "state"),
        (ChangeSubject.TASK, Task.objects, "state"),
        (ChangeSubject.ATTEMPT, Attempt.objects, "outcome"),
    )
    for subject, manager, column in states:
        yield from _where_they_are(subject, _states(manager, using, column), reached)


def _states(manager: Any, using: str, column: str) -> Iterable[tuple[int, str]]:
    rows: Iterable[tuple[int, str]] = manager.using(using).values_list("pk", column)
    return rows


def _where_they_are(
    subject: str, rows: Iterable[tuple[int, str]], reached: dict[tuple[str, int], str]
) -> Iterator[str]:
    for pk, state in rows:
        told = reached.get((subject, pk), FIRST_STATES[subject])
        if told != state:
            yield f"{subject} {pk}: is {state!r}, and its journal leads to {told!r}"
