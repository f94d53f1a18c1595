"""A heartbeat of a worker: presence, the renewal of its leases and their progress.

On PostgreSQL it is one statement that waits for no task: what another transaction holds is renewed
by the verb. Elsewhere it is one transaction, and none for a heartbeat that has nothing to write.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from django.db import DataError, IntegrityError, connection, models, transaction
from django.db.models import (
    Exists,
    ExpressionWrapper,
    F,
    Func,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce, Greatest, Least
from django.utils import timezone

from campaigns.lifecycle import leases
from campaigns.lifecycle.pace import next_pace
from campaigns.lifecycle.progress import may_be_too_many, store_progress, thin_out
from campaigns.lifecycle.statements import seen
from campaigns.lifecycle.statements.compiled import (
    AnyOf,
    OnlyRow,
    Select,
    Sql,
    insert,
    join,
    run,
    select,
    update,
)
from campaigns.lifecycle.transitions import before_deadline, held_by, renewal
from campaigns.models import Attempt, ProgressPoint, Task, TaskState
from experiments.metrics import VAL_BPB
from workers import lifecycle as worker_lifecycle
from workers import presence
from workers.models import SHUT_OUT, Worker, WorkerSession
from workers.pace import Pace, longest, usual
from workers.protocol import HeartbeatAnswer
from xeenet_site.web.prepared import Slot

Answer = tuple[uuid.UUID, HeartbeatAnswer, str]
_Told = Sequence[Mapping[str, Any]]

_TOKEN: Final = Slot("token_hash", models.CharField())
_BOOT: Final = Slot("boot_id", models.UUIDField())
_LEASE: Final = Slot("lease", models.UUIDField())
_LEASES: Final = Slot("leases", models.UUIDField())
_POINTS: Final = Slot("points", models.TextField())
_WORKER: Final = Slot("worker", models.BigIntegerField())
_NOW: Final = Slot("now", models.DateTimeField())
_UNTIL: Final = Slot("until", models.DateTimeField())
# What the verbs, the answer and the request's log line need of the worker.
_OF_WORKER: Final = (
    *("name", "state", "is_program", "last_seen_at", "lease_time"),
    *("owner_pauses", "owner_pauses_until"),
)
# The fields of `protocol.ProgressPoint`, with their types in the database.
POINT: Final = {
    "seq": "bigint",
    "elapsed_seconds": "double precision",
    "step": "bigint",
    "tokens": "bigint",
    "train_loss": "double precision",
    "val_bpb": "double precision",
}


class Beaten(NamedTuple):
    """A heartbeat that was taken: of whom, what its leases have to do, and the pace to tell."""

    worker: Worker
    answers: list[Answer]
    pace: Pace


def heartbeat(
    token_hash: str, data: Mapping[str, Any], *, now: dt.datetime | None = None
) -> Beaten | None:
    """Record the heartbeat `data`, a checked `protocol.HeartbeatRequest`.

    None, with nothing changed, for a token that opens nothing, and for progress that the database
    refuses: the caller then authenticates and goes through the verbs.
    """
    told, boot_id = data["leases"], data["boot_id"]
    take = _in_one if connection.vendor == "postgresql" else _in_steps
    try:
        beat = take(token_hash, boot_id, told, now)
    except (DataError, IntegrityError):
        return None
    if beat is None:
        return None
    worker, now = beat.worker, beat.now
    if not beat.has_session:
        worker_lifecycle.see(worker, now=now, boot_id=boot_id)
    worker_lifecycle.note_owner_pause(worker, data.get("owner_pause"), now=now)
    answers: list[Answer] = []
    for lease in told:
        lease_id = lease["lease_id"]
        answer, reason = HeartbeatAnswer.CONTINUE, ""
        if lease_id not in beat.renewed:
            progress = lease.get("progress", ())
            answer, reason = leases.renew(worker, lease_id, now=now, progress=progress)
        answers.append((lease_id, answer, reason))
    return Beaten(worker, answers, next_pace(worker, now=now))


class _Beat(NamedTuple):
    worker: Worker
    now: dt.datetime
    has_session: bool  # of this start of its agent
    renewed: frozenset[uuid.UUID]


def _callers() -> QuerySet[Worker]:
    callers = Worker.objects.filter(token_hash=_TOKEN).exclude(state__in=SHUT_OUT)
    return callers.only(*_OF_WORKER).order_by()


# --- PostgreSQL -----------------------------------------------------------------------------------


def _in_one(
    token_hash: str, boot_id: uuid.UUID, told: _Told, now: dt.datetime | None
) -> _Beat | None:
    points = [
        {"lease_id": str(lease["lease_id"]), **point}
        for lease in told
        for point in lease.get("progress", ())
    ]
    caller, statement = _whole(usual(), bool(told), bool(points))
    values = {
        "token_hash": token_hash,
        "boot_id": boot_id,
        "now": now,
        "leases": [lease["lease_id"] for lease in told],
        "points": json.dumps(points, allow_nan=False, separators=(",", ":")),
    }
    rows = run(statement, values)
    for worker in caller.instances(rows):
        renewed = frozenset(rows[0][-1] or ())
        for lease in told:
            progress = lease.get("progress", ())
            if progress and lease["lease_id"] in renewed and may_be_too_many(progress):
                thin_out(Attempt.objects.get(lease_id=lease["lease_id"]))
        read: dict[str, Any] = vars(worker)
        return _Beat(worker, read["at"], read["has_session"], renewed)
    return None


def _of_caller(column: str, field: type[models.Field[Any, Any]]) -> OnlyRow:
    return OnlyRow(f"caller.{column}", field())


@lru_cache(maxsize=16)
def _whole(pace: Pace, has_leases: bool, has_points: bool) -> tuple[Select[Worker], Sql]:
    """Put the statement together, for the pace of the settings."""
    key = _of_caller("id", models.BigIntegerField)
    now = _of_caller("at", models.DateTimeField)
    recent_for = _of_caller("recent_for", models.DurationField)
    span = presence.Recent(now - recent_for, now + recent_for)
    sessions = WorkerSession.objects.filter(presence.session_due(span), worker=key, boot_id=_BOOT)
    workers = Worker.objects.filter(presence.worker_due(span), pk=key)
    caller = select(_timed(_callers(), pace))
    parts = {
        "caller": caller.sql,
        "worker": update(workers, last_seen_at=now),
        "session": update(sessions, last_seen_at=now, ended_at=None),
    }
    text = (
        "WITH caller AS MATERIALIZED ({caller}), worker_seen AS ({worker} RETURNING 1), "
        "session_seen AS ({session} RETURNING 1)"
    )
    renewed = "NULL"
    if has_leases:
        held = Task.objects.filter(
            AnyOf("lease_id", _LEASES), before_deadline(now), state=TaskState.LEASED, worker=key
        )
        until = now + _of_caller("lease_for", models.DurationField)
        parts["held"] = select(held.order_by().values("pk")).sql
        parts["renewal"] = update(held, **renewal(until))
        # The worker's row comes before the tasks. Waiting for one task while holding others could
        # block whoever holds it.
        text += (
            ", held AS MATERIALIZED ({held} AND (SELECT count(*) FROM worker_seen) >= 0 "
            "FOR NO KEY UPDATE SKIP LOCKED), renewed AS "
            '({renewal} AND "campaigns_task"."id" IN (SELECT held.pk FROM held) '
            'RETURNING "lease_id", "campaign_id")'
        )
        renewed = '(SELECT array_agg("lease_id") FROM renewed)'
    if has_points:
        parts["points"] = _points()
        text += ", points AS ({points} ON CONFLICT DO NOTHING)"
    text += f" SELECT *, {renewed} FROM caller"  # noqa: S608 - constants
    return caller, join(text, **parts)


def _timed(callers: QuerySet[Worker], pace: Pace) -> QuerySet[Worker]:
    """Annotate the time, how long presence is recent, and how long leases last for the worker."""
    clock = Func(function="clock_timestamp", output_field=models.DateTimeField())
    # As `workers.pace.pace_of` has it.
    own = Least(Greatest(F("lease_time"), Value(pace.lease_time)), Value(longest().lease_time))
    lease_for = Coalesce(own, Value(pace.lease_time))
    share = presence.half_interval(pace) / pace.lease_time
    sessions = WorkerSession.objects.filter(worker=OuterRef("pk"), boot_id=_BOOT)
    return callers.annotate(
        at=Coalesce(_NOW, clock),
        lease_for=lease_for,
        recent_for=ExpressionWrapper(lease_for * Value(share), models.DurationField()),
        has_session=Exists(sessions),
    )


def _points() -> Sql:
    """Put the INSERT of the progress of renewed leases together."""
    types = ", ".join(f"{name} {kind}" for name, kind in POINT.items())
    values = " ".join(f"WHEN '{name}' THEN given.{name}" for name in POINT)
    source = Sql(
        f"ROWS FROM (json_to_recordset(%s::json) AS (lease_id uuid, {types})) "
        f"WITH ORDINALITY AS given(lease_id, {', '.join(POINT)}, place) "
        "JOIN renewed ON renewed.lease_id = given.lease_id "
        "JOIN campaigns_campaign AS campaign ON campaign.id = renewed.campaign_id "
        "JOIN campaigns_attempt AS attempt ON attempt.lease_id = given.lease_id "
        "ORDER BY given.place",
        (_POINTS,),
    )
    columns = {name: Sql(f"given.{name}") for name in POINT if name != VAL_BPB.name}
    # As `store_progress` has it: what the point reports under the name of the metric.
    value = Sql(f"CASE campaign.metric {values} END")
    return insert(ProgressPoint, source, attempt_id=Sql("attempt.id"), value=value, **columns)


# --- other databases ------------------------------------------------------------------------------


def _in_steps(
    token_hash: str, boot_id: uuid.UUID, told: _Told, now: dt.datetime | None
) -> _Beat | None:
    query = _caller_with_session()
    rows = run(query.sql, {"token_hash": token_hash, "boot_id": boot_id})
    for worker in query.instances(rows):
        read: dict[str, Any] = vars(worker)
        at = now or timezone.now()
        session_seen_at = read["session_seen_at"]
        renewed: frozenset[uuid.UUID] = frozenset()
        if told or seen.is_due(worker, session_seen_at, at):
            # One transaction: each commit waits for the disk.
            with transaction.atomic():
                seen.see(worker, session_seen_at, boot_id, at)
                renewed = _renew_each(worker, told, at)
        return _Beat(worker, at, read["has_session"], renewed)
    return None


@cache
def _caller_with_session() -> Select[Worker]:
    sessions = WorkerSession.objects.filter(worker=OuterRef("pk"), boot_id=_BOOT).order_by()
    is_open = sessions.filter(ended_at=None)
    seen_at = Subquery(is_open.values("last_seen_at"))
    return select(_callers().annotate(has_session=Exists(sessions), session_seen_at=seen_at))


def _renew_each(worker: Worker, told: _Told, now: dt.datetime) -> frozenset[uuid.UUID]:
    values = {"worker": worker.pk, "now": now, "until": now + worker.pace.lease_time}
    renewed = frozenset(
        lease["lease_id"]
        for lease in told
        if run(_renewal(), {**values, "lease": lease["lease_id"]})
    )
    progress = {lease["lease_id"]: lease["progress"] for lease in told if lease.get("progress")}
    reporting = Attempt.objects.filter(lease_id__in=renewed & progress.keys())
    if progress:
        for attempt in reporting.annotate(metric=F("task__campaign__metric")):
            metric: str = attempt.metric  # type: ignore[attr-defined]
            store_progress(attempt, progress[attempt.lease_id], metric)
    return renewed


@cache
def _renewal() -> Sql:
    held = Task.objects.filter(held_by(_LEASE), before_deadline(_NOW), worker=_WORKER)
    return join("{renewal} RETURNING 1", renewal=update(held, **renewal(_UNTIL)))
