"""The first statement of a claim: the worker of a token, what its claim asks of it, its lock."""

from __future__ import annotations

import datetime as dt
import uuid
from functools import cache
from typing import Final, NamedTuple

from django.db import models
from django.db.models import OuterRef, Subquery

from campaigns.clock import with_clock
from campaigns.lifecycle.calibrating import noting_work
from campaigns.lifecycle.claim_lock import claiming_if_alone
from campaigns.lifecycle.statements.compiled import Select, Slot, Sql, run, select, update
from workers import presence
from workers.models import SHUT_OUT, Worker, WorkerSession

WORKER: Final = Slot("worker", models.BigIntegerField())
_BOOT: Final = Slot("boot_id", models.UUIDField())
_NOW: Final = Slot("now", models.DateTimeField())


class Caller(NamedTuple):
    """The worker that claims, with its fleet's token loaded, and what else was read of it."""

    worker: Worker
    is_alone: bool  # no other claim of it runs
    session_seen_at: dt.datetime | None  # of this start of its agent; None for one that is not open


def read(token_hash: str, boot_id: uuid.UUID) -> Caller | None:
    """Return the worker with this token, from `noting_work`; None if it opens nothing."""
    query = _reading()
    rows = run(query.sql, {"token_hash": token_hash, "boot_id": boot_id})
    for worker in query.instances(rows):
        read: dict[str, object] = vars(worker)
        return Caller(worker, *(read[name] for name in Caller._fields[1:]))  # type: ignore[arg-type]
    return None


@cache
def _reading() -> Select[Worker]:
    callers = Worker.objects.filter(token_hash=Slot("token_hash", models.CharField()))
    callers = callers.exclude(state__in=SHUT_OUT).select_related("fleet_token").order_by()
    session = WorkerSession.objects.filter(worker=OuterRef("pk"), boot_id=_BOOT, ended_at=None)
    callers = noting_work(claiming_if_alone(callers)).annotate(
        session_seen_at=Subquery(session.order_by().values("last_seen_at")),
    )
    return select(with_clock(callers))


def see(caller: Caller, boot_id: uuid.UUID, now: dt.datetime) -> None:
    """Record that the worker called, and its session, where due, as `workers.lifecycle.see` does.

    Before tasks are locked: the worker comes first.
    """
    values = {"worker": caller.worker.pk, "boot_id": boot_id, "now": now}
    if presence.is_due(caller.worker, now):
        run(_seen().worker, values)
    if presence.is_stale(caller.session_seen_at, caller.worker.pace, now):
        run(_seen().session, values)


class _Seen(NamedTuple):
    worker: Sql
    session: Sql


@cache
def _seen() -> _Seen:
    return _Seen(
        worker=update(Worker.objects.filter(pk=WORKER), last_seen_at=_NOW),
        session=update(
            WorkerSession.objects.filter(worker=WORKER, boot_id=_BOOT),
            last_seen_at=_NOW,
            ended_at=None,
        ),
    )
