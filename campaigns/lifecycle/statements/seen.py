"""Presence where it is due, as `workers.lifecycle.see` records it, for a session that is known."""

from __future__ import annotations

import datetime as dt
import uuid
from functools import cache
from typing import Final, NamedTuple

from django.db import models

from campaigns.lifecycle.statements.compiled import Sql, run, update
from workers import presence
from workers.models import Worker, WorkerSession
from xeenet_site.web.prepared import Slot

_WORKER: Final = Slot("worker", models.BigIntegerField())
_BOOT: Final = Slot("boot_id", models.UUIDField())
_NOW: Final = Slot("now", models.DateTimeField())


def is_due(worker: Worker, session_seen_at: dt.datetime | None, now: dt.datetime) -> bool:
    """Return whether `see` writes anything; `session_seen_at` is None for one that is closed."""
    is_stale = presence.is_stale(session_seen_at, worker.pace, now)
    return is_stale or presence.is_due(worker, now)


def see(
    worker: Worker, session_seen_at: dt.datetime | None, boot_id: uuid.UUID, now: dt.datetime
) -> None:
    """Record that the worker called, and its session, where due.

    Before tasks are locked: the worker comes first.
    """
    values = {"worker": worker.pk, "boot_id": boot_id, "now": now}
    if presence.is_due(worker, now):
        run(_seen().worker, values)
    if presence.is_stale(session_seen_at, worker.pace, now):
        run(_seen().session, values)


class _Seen(NamedTuple):
    worker: Sql
    session: Sql


@cache
def _seen() -> _Seen:
    return _Seen(
        worker=update(Worker.objects.filter(pk=_WORKER), last_seen_at=_NOW),
        session=update(
            WorkerSession.objects.filter(worker=_WORKER, boot_id=_BOOT),
            last_seen_at=_NOW,
            ended_at=None,
        ),
    )
