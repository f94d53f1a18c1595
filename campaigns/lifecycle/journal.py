"""Write the journal: each verb records what it changed, in the transaction of the change.

The journal is append-only: no code updates or deletes its rows.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import BigIntegerField, DateTimeField, F, QuerySet, Value

from campaigns.models import (
    MAX_REASON_LENGTH,
    ActorKind,
    Attempt,
    Campaign,
    ChangeSubject,
    StateChange,
    Task,
)
from workers import audit
from workers.models import Worker


@dataclass(frozen=True)
class Actor:
    """Who changes a state."""

    kind: ActorKind
    name: str


# The server by itself, for changes that follow from another change.
SERVER: Final = Actor(ActorKind.SYSTEM, "server")
LEASE_SWEEP: Final = Actor(ActorKind.SYSTEM, "lease sweep")
FAILURE_BREAKER: Final = Actor(ActorKind.SYSTEM, "failure breaker")


def person(user: User | None) -> Actor:
    """Return the actor for a user; None is the command line on the server."""
    return Actor(ActorKind.PERSON, audit.name_of(user))


def agent(worker: Worker) -> Actor:
    """Return the actor for a worker that acts on its own lease."""
    return Actor(ActorKind.WORKER, worker.name)


class Change(NamedTuple):
    """One change of state; the change of a task may name the attempt that caused it."""

    subject: Campaign | Task | Attempt
    before: str
    after: str
    attempt: Attempt | None = None


def record(actor: Actor, *changes: Change, now: dt.datetime, reason: str = "") -> None:
    """Write the changes in one statement. An attempt among them must have its task loaded."""
    StateChange.objects.bulk_create(rows(actor, *changes, now=now, reason=reason))


def rows(actor: Actor, *changes: Change, now: dt.datetime, reason: str = "") -> list[StateChange]:
    """Return the rows of the changes, not saved."""
    return [
        StateChange(
            **_keys(change),
            actor_kind=actor.kind,
            actor_name=actor.name,
            from_state=change.before,
            to_state=change.after,
            reason=reason[:MAX_REASON_LENGTH],
            at=now,
        )
        for change in changes
    ]


def _keys(change: Change) -> dict[str, Any]:
    subject = change.subject
    if isinstance(subject, Campaign):
        return {"subject": ChangeSubject.CAMPAIGN, "campaign": subject}
    if isinstance(subject, Task):
        keys = {"campaign_id": subject.campaign_id, "task": subject, "attempt": change.attempt}
        return {"subject": ChangeSubject.TASK} | keys
    keys = {"campaign_id": subject.task.campaign_id, "task": subject.task, "attempt": subject}
    return {"subject": ChangeSubject.ATTEMPT} | keys


def record_tasks(
    actor: Actor, tasks: QuerySet[Task], after: str, *, now: dt.datetime, reason: str = ""
) -> None:
    """Write that each task goes to state `after`. Call it after locking, before the update."""
    keys = F("campaign_id"), F("pk"), Value(None, BigIntegerField()), F("state")
    _record_each(actor, tasks, ChangeSubject.TASK, keys, after, now, reason)


def record_attempts(
    actor: Actor, attempts: QuerySet[Attempt], after: str, *, now: dt.datetime, reason: str = ""
) -> None:
    """Write that each attempt goes to outcome `after`. Call it before the update."""
    keys = F("task__campaign_id"), F("task_id"), F("pk"), F("outcome")
    _record_each(actor, attempts, ChangeSubject.ATTEMPT, keys, after, now, reason)


def _record_each(
    actor: Actor,
    rows: QuerySet[Any],
    subject: ChangeSubject,
    keys: tuple[Any, ...],
    after: str,
    now: dt.datetime,
    reason: str,
) -> None:
    """Copy rows into the journal with one INSERT … SELECT: 100,000 must not pass through Python."""
    texts = (after, actor.kind, actor.name, reason[:MAX_REASON_LENGTH])
    columns = (Value(subject), *keys, *map(Value, texts), Value(now, DateTimeField()))
    sql, parameters = rows.order_by("pk").values_list(*columns).query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_INSERT + sql, parameters)


_INSERT: Final = """
    INSERT INTO campaigns_statechange (
        subject, campaign_id, task_id, attempt_id, from_state,
        to_state, actor_kind, actor_name, reason, at
    )
"""
