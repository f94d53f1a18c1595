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
from campaigns.lifecycle.statements.compiled import Select, run, select
from workers.models import Worker, WorkerSession
from xeenet_site.web.prepared import Slot

WORKER: Final = Slot("worker", models.BigIntegerField())
_BOOT: Final = Slot("boot_id", models.UUIDField())
_NOW: Final = Slot("now", models.DateTimeField())


class Caller(NamedTuple):
    """The worker that claims, with its fleet's token loaded, and what else was read of it."""

    worker: Worker
    is_alone: bool  # no other claim of it runs
    session_seen_at: dt.datetime | None  # of this start of its agent; None for one that is not open


def read(token_hash: str, boot_id: uuid.UUID) -> Caller | None:
    """Return the worker with this token, in any state and from `noting_work`; None if none has."""
    query = _reading()
    rows = run(query.sql, {"token_hash": token_hash, "boot_id": boot_id})
    for worker in query.instances(rows):
        read: dict[str, object] = vars(worker)
        return Caller(worker, *(read[name] for name in Caller._fields[1:]))  # type: ignore[arg-type]
    return None


@cache
def _reading() -> Select[Worker]:
    callers = Worker.objects.filter(token_hash=Slot("token_hash", models.CharField()))
    callers = callers.select_related("fleet_token").order_by()
    session = WorkerSession.objects.filter(worker=OuterRef("pk"), boot_id=_BOOT, ended_at=None)
    callers = noting_work(claiming_if_alone(callers)).annotate(
        session_seen_at=Subquery(session.order_by().values("last_seen_at")),
    )
    return select(with_clock(callers))
