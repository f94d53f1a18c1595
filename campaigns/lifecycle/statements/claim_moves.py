"""The third statement of a claim: leases for locked tasks, with all that is written along.

Every guard is in it: where one task may not be leased after all, fewer rows come back than there
were tasks, and the caller rolls back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from django.db import connection, models
from django.db.models import Exists
from django.db.models.expressions import RawSQL

from campaigns.lifecycle import claims, journal
from campaigns.lifecycle.statements.claim_worker import WORKER
from campaigns.lifecycle.statements.compiled import (
    Column,
    Slot,
    Sql,
    insert,
    join,
    run,
    select,
    update,
)
from campaigns.models import Attempt, StateChange, Task, TaskState
from campaigns.models.attempt import AttemptQuerySet
from workers.models import Worker, WorkerState

_ID: Final = models.BigIntegerField()
_UUID: Final = models.UUIDField()
_INSTANT: Final = models.DateTimeField()
_CLAIM: Final = Slot("claim_id", _UUID)
_NOW: Final = Slot("now", _INSTANT)
# What the given rows have, by the type that PostgreSQL reads it as.
_GIVEN: Final[dict[str, tuple[str, models.Field[Any, Any]]]] = {
    "task_id": ("bigint", _ID),
    "lease_id": ("uuid", _UUID),
    "lease_expires_at": ("timestamptz", _INSTANT),
    "deadline_at": ("timestamptz", _INSTANT),
    "budget": ("float8", models.FloatField()),
}


def write(
    worker: Worker, claim_id: uuid.UUID, attempts: Sequence[Attempt], now: dt.datetime
) -> bool:
    """Write the leases of the locked tasks of these attempts, which get their ids and numbers.

    False if a task perhaps goes to other workers (`claims.histories`), does not wait any more, or
    the worker may not claim: what was written is then to be rolled back.
    """
    same = {
        "worker": worker.pk,
        "fleet": worker.fleet_token_id,
        "actor": worker.name,
        "claim_id": claim_id,
        "now": now,
    }
    given = [
        {
            "task_id": attempt.task_id,
            "lease_id": attempt.lease_id,
            "lease_expires_at": attempt.task.lease_expires_at,
            "deadline_at": attempt.task.deadline_at,
            "budget": attempt.time_budget_seconds,
        }
        for attempt in attempts
    ]
    is_of_fleet = worker.fleet_token_id is not None
    if connection.vendor == "postgresql":
        columns = {name: [row[name] for row in given] for name in _GIVEN}
        rows = run(_together(is_of_fleet), same | columns)
    else:
        rows = _write_each(_separate(is_of_fleet), same, given)
    made = {task_id: (pk, number) for task_id, pk, number in rows}
    if len(made) < len(attempts):
        return False
    for ordinal, attempt in enumerate(attempts):
        attempt.pk, attempt.number = made[attempt.task_id]
        attempt.claim_id, attempt.ordinal = claim_id, ordinal
    return True


class _Owner(NamedTuple):
    """Stands for the worker where its owner is asked for."""

    pk: Slot
    fleet_token_id: Slot | None


def _histories(attempts: AttemptQuerySet, *, is_of_fleet: bool) -> Sql:
    owner: Any = _Owner(WORKER, Slot("fleet", _ID) if is_of_fleet else None)
    return select(claims.histories(attempts, owner)).sql


def _waiting(task: Any) -> models.QuerySet[Task]:
    may_claim = Worker.objects.filter(pk=WORKER, state=WorkerState.ACTIVE).order_by()
    return Task.objects.filter(Exists(may_claim), pk=task, state=TaskState.PENDING)


def _lines() -> list[StateChange]:
    """Return the lines of the journal for one lease, for what is the same in each."""
    claimed = claims.claim_changes(Attempt(task=Task()))
    return journal.rows(journal.agent(Worker()), *claimed, now=dt.datetime.now(dt.UTC))


@cache
def _together(is_of_fleet: bool) -> Sql:
    """Return the one statement of PostgreSQL."""
    arrays = ", ".join(f"%s::{kind}[]" for kind, _ in _GIVEN.values())
    slots = tuple(Slot(name, field) for name, (_, field) in _GIVEN.items())
    of_task = {
        name: Column(f"given.{name}", _GIVEN[name][1])
        for name in ("lease_id", "lease_expires_at", "deadline_at")
    }
    lines = ", ".join(
        f"({place}, '{line.subject}', '{line.from_state}', '{line.to_state}')"
        for place, line in enumerate(_lines())
    )
    wanted = RawSQL("SELECT task_id FROM wanted", ())
    return join(
        "WITH wanted AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY "  # noqa: S608 - constants
        f"AS wanted ({', '.join(_GIVEN)}, place)), "
        "histories (task_id, last_number, is_to_be_checked) AS ({histories}), "
        "given AS (SELECT wanted.*, COALESCE(last_number, 0) + 1 AS number FROM wanted "
        "LEFT JOIN histories USING (task_id) WHERE is_to_be_checked IS NOT TRUE), "
        'moved AS ({task} RETURNING "campaigns_task"."id", "campaigns_task"."campaign_id"), '
        "made AS ({attempt} RETURNING id, task_id, number, ordinal), "
        "noted AS ({journal}) SELECT task_id, id, number FROM made",
        arrays=Sql(arrays, slots),
        histories=_histories(Attempt.objects.filter(task__in=wanted), is_of_fleet=is_of_fleet),
        task=update(
            _waiting(Column("given.task_id", _ID)),
            Sql("given"),
            state=TaskState.LEASED,
            worker=WORKER,
            **of_task,
        ),
        attempt=insert(
            Attempt,
            Sql("given JOIN moved ON moved.id = given.task_id ORDER BY given.place"),
            task_id=Sql("given.task_id"),
            number=Sql("given.number"),
            lease_id=Sql("given.lease_id"),
            time_budget_seconds=Sql("given.budget"),
            ordinal=Sql("given.place - 1"),
            claim_id=_CLAIM,
            worker_id=WORKER,
            started_at=_NOW,
        ),
        journal=insert(
            StateChange,
            Sql(
                f"made JOIN moved ON moved.id = made.task_id CROSS JOIN (VALUES {lines}) "
                "AS line (place, subject, from_state, to_state) ORDER BY made.ordinal, line.place"
            ),
            subject=Sql("line.subject"),
            from_state=Sql("line.from_state"),
            to_state=Sql("line.to_state"),
            campaign_id=Sql("moved.campaign_id"),
            task_id=Sql("made.task_id"),
            attempt_id=Sql("made.id"),
            actor_kind=_lines()[0].actor_kind,
            actor_name=Slot("actor", models.CharField()),
            at=_NOW,
        ),
    )


class _Separate(NamedTuple):
    history: Sql
    task: Sql
    attempt: Sql
    lines: tuple[Sql, ...]


def _write_each(
    statements: _Separate, same: dict[str, Any], given: Sequence[dict[str, Any]]
) -> list[tuple[int, int, int]]:
    """Write a few rows at a time, for a database whose statements change one table each."""
    made: list[tuple[int, int, int]] = []
    for ordinal, row in enumerate(given):
        values = same | row | {"ordinal": ordinal, "number": 1}
        for _, last_number, is_to_be_checked in run(statements.history, values):
            if is_to_be_checked:
                return made
            values["number"] = last_number + 1
        moved = run(statements.task, values)
        if not moved:
            return made
        ((pk,),) = run(statements.attempt, values)
        for line in statements.lines:
            run(line, values | {"campaign": moved[0][0], "attempt": pk})
        made.append((row["task_id"], pk, values["number"]))
    return made


@lru_cache(maxsize=2)
def _separate(is_of_fleet: bool) -> _Separate:
    slots = {name: Slot(name, field) for name, (_, field) in _GIVEN.items()}
    task = update(
        _waiting(slots["task_id"]),
        state=TaskState.LEASED,
        worker=WORKER,
        lease_id=slots["lease_id"],
        lease_expires_at=slots["lease_expires_at"],
        deadline_at=slots["deadline_at"],
    )
    attempt = insert(
        Attempt,
        task_id=slots["task_id"],
        number=Slot("number", models.IntegerField()),
        lease_id=slots["lease_id"],
        time_budget_seconds=slots["budget"],
        ordinal=Slot("ordinal", models.IntegerField()),
        claim_id=_CLAIM,
        worker_id=WORKER,
        started_at=_NOW,
    )
    lines = tuple(
        insert(
            StateChange,
            subject=line.subject,
            from_state=line.from_state,
            to_state=line.to_state,
            campaign_id=Slot("campaign", _ID),
            task_id=slots["task_id"],
            attempt_id=Slot("attempt", _ID),
            actor_kind=line.actor_kind,
            actor_name=Slot("actor", models.CharField()),
            at=_NOW,
        )
        for line in _lines()
    )
    return _Separate(
        history=_histories(Attempt.objects.filter(task=slots["task_id"]), is_of_fleet=is_of_fleet),
        task=join("{task} RETURNING campaign_id", task=task),
        attempt=join("{attempt} RETURNING id", attempt=attempt),
        lines=lines,
    )
