"""The end of attempts, written in one statement: their tasks, they, their results, the journal.

Every guard is in it: an attempt that has ended meanwhile, or whose task has another lease, is left
as it is with all that belongs to it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, Final, NamedTuple

from django.db import connection, models, transaction
from django.db.models import Exists
from django.db.models.expressions import RawSQL

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
from campaigns.lifecycle.statements.given import as_given, columns_of, insert_given, rows_given
from campaigns.lifecycle.transitions import held_by
from campaigns.models import Attempt, AttemptOutcome, Race, Result, StateChange, Task

_NOW: Final = Slot("now", models.DateTimeField())
_ID: Final = models.BigIntegerField()

# What the end sets of the task, by its instant: `transitions.completion`, for one.
Move = Callable[[Any], dict[str, Any]]


class Ended(NamedTuple):
    """An attempt, read while it ran, and what its end writes."""

    attempt: Attempt
    columns: dict[str, Any]  # of the attempt; the same ones for all that are written together
    changes: list[StateChange]
    result: Result | None = None


def write_ends(move: Move, ends: Sequence[Ended], *, now: dt.datetime) -> dict[int, bool]:
    """Write the ends whose attempts still hold their tasks, together; the others change nothing.

    Return the ids of the attempts that were ended, and whether their campaign has another task
    open and no race: if so, nobody waits for what follows from the end. Raises DatabaseError, with
    nothing written, for values that no column holds.
    """
    names = tuple(sorted(ends[0].columns))
    if connection.vendor != "postgresql":
        return _write_each(move, ends, names, now)
    # By the task: concurrent writers of several tasks wait for each other in the same order.
    ordered = sorted(ends, key=lambda end: end.attempt.task_id)
    results = [columns_of(end.result) for end in ordered if end.result is not None]
    values = {
        "now": now,
        "attempts": as_given(_given(end) for end in ordered),
        "changes": as_given(columns_of(row) for end in ordered for row in end.changes),
        "results": as_given(results),
    }
    # In a caller's transaction, that transaction goes on after an error.
    with transaction.atomic() if connection.in_atomic_block else nullcontext():
        rows = run(_together(move, names, has_results=bool(results)), values)
    return {attempt_id: bool(is_open) for attempt_id, is_open in rows}


def _given(end: Ended) -> dict[str, Any]:
    attempt = end.attempt
    keys = {"id": attempt.pk, "task_id": attempt.task_id, "lease_id": attempt.lease_id}
    return keys | end.columns


def _still_held(attempt: Any, task: Any, lease_id: Any) -> models.QuerySet[Task]:
    """Return the task of an attempt that has not ended; a task names the lease of such alone."""
    running = Attempt.objects.filter(pk=attempt, outcome=AttemptOutcome.RUNNING).order_by()
    return Task.objects.filter(held_by(lease_id), Exists(running), pk=task)


def _running(attempt: Any) -> models.QuerySet[Attempt]:
    return Attempt.objects.filter(pk=attempt, outcome=AttemptOutcome.RUNNING)


def _fields(names: Sequence[str]) -> dict[str, Any]:
    options = Attempt._meta  # noqa: SLF001 - documented as _meta
    return {name: options.get_field(name) for name in names}


@cache
def _together(move: Move, names: tuple[str, ...], *, has_results: bool) -> Sql:
    """Return the one statement of PostgreSQL."""
    parts = {
        "given": rows_given(Attempt, "attempts"),
        "task": update(
            _still_held(
                Column("given.id", _ID),
                Column("given.task_id", _ID),
                Column("given.lease_id", models.UUIDField()),
            ),
            Sql("given"),
            **move(_NOW),
        ),
        "attempt": update(
            _running(Column("given.id", _ID)),
            Sql("given JOIN moved ON moved.id = given.task_id"),
            **{name: Column(f"given.{name}", field) for name, field in _fields(names).items()},
        ),
        "journal": insert_given(
            StateChange,
            join(
                "{rows} WITH ORDINALITY AS changes JOIN ended ON ended.id = changes.attempt_id "
                "ORDER BY changes.ordinality",
                rows=rows_given(StateChange, "changes"),
            ),
            "changes",
        ),
        "others": select(_others_open(Column("moved.campaign_id", _ID))).sql,
        "races": select(_races(Column("moved.campaign_id", _ID))).sql,
    }
    stored = Sql("")
    if has_results:
        rows = join(
            "{rows} AS results JOIN ended ON ended.id = results.attempt_id",
            rows=rows_given(Result, "results"),
        )
        stored = join(" stored AS ({result}),", result=insert_given(Result, rows, "results"))
    return join(
        'WITH given AS (SELECT * FROM {given} AS "given"),'
        'moved AS ({task} RETURNING "campaigns_task"."id", "campaigns_task"."campaign_id"),'
        'ended AS ({attempt} RETURNING "campaigns_attempt"."id", "campaigns_attempt"."task_id"),'
        "{stored} recorded AS ({journal}) "
        "SELECT ended.id, EXISTS ({others}) AND NOT EXISTS ({races}) "
        "FROM ended JOIN moved ON moved.id = ended.task_id",
        stored=stored,
        **parts,
    )


def _others_open(campaign: Any) -> models.QuerySet[Any, Any]:
    """Return the open tasks of the campaign, as they were before, without those that end now."""
    moved = RawSQL("SELECT moved.id FROM moved", ())
    return (
        Task.objects.open().filter(campaign=campaign).exclude(pk__in=moved).order_by().values("pk")
    )


def _races(campaign: Any) -> models.QuerySet[Any, Any]:
    return Race.objects.running().filter(campaign=campaign).order_by().values("pk")


def _write_each(
    move: Move, ends: Sequence[Ended], names: tuple[str, ...], now: dt.datetime
) -> dict[int, bool]:
    """Write the ends with a few statements each, in one transaction."""
    statements, written = _separate(move, names), []
    with transaction.atomic():
        for end in ends:
            attempt = end.attempt
            keys = {"id": attempt.pk, "task": attempt.task_id, "lease": attempt.lease_id}
            if not run(statements.task, keys | {"now": now}):
                continue
            run(statements.attempt, keys | end.columns)
            if end.result is not None:
                run(statements.result, _values(end.result))
            for row in end.changes:
                run(statements.change, _values(row))
            written.append(attempt)
        is_open = {
            campaign: bool(run(statements.is_open, {"campaign": campaign})[0][0])
            for campaign in {attempt.task.campaign_id for attempt in written}
        }
    return {attempt.pk: is_open[attempt.task.campaign_id] for attempt in written}


def _values(row: models.Model) -> dict[str, Any]:
    fields = row._meta.concrete_fields  # noqa: SLF001 - documented as _meta
    return {field.attname: getattr(row, field.attname) for field in fields}


class _Separate(NamedTuple):
    task: Sql
    attempt: Sql
    result: Sql
    change: Sql
    is_open: Sql


@cache
def _separate(move: Move, names: tuple[str, ...]) -> _Separate:
    """Return the statements of a database whose statements change one table each."""
    attempt, campaign = Slot("id", _ID), Slot("campaign", _ID)
    held = _still_held(attempt, Slot("task", _ID), Slot("lease", models.UUIDField()))
    columns: dict[str, Any] = {name: Slot(name, field) for name, field in _fields(names).items()}
    others = Task.objects.open().filter(campaign=campaign).order_by().values("pk")
    return _Separate(
        task=join("{task} RETURNING id", task=update(held, **move(_NOW))),
        attempt=update(_running(attempt), **columns),
        result=_insert_one(Result),
        change=_insert_one(StateChange),
        is_open=join(
            "SELECT EXISTS ({others}) AND NOT EXISTS ({races})",
            others=select(others).sql,
            races=select(_races(campaign)).sql,
        ),
    )


def _insert_one(model: type[models.Model]) -> Sql:
    fields = model._meta.concrete_fields  # noqa: SLF001 - documented as _meta
    slots: dict[str, Any] = {
        field.attname: Slot(field.attname, field) for field in fields if not field.primary_key
    }
    return insert(model, **slots)
