"""Reads the attempts that a worker runs, with all that ending them needs, by the worker's token."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from django.db import connection, models

from campaigns.clock import with_clock
from campaigns.lifecycle.leases import attempts_to_end
from campaigns.lifecycle.statements.compiled import AnyOf, Select, Slot, run, select
from campaigns.models import Attempt, AttemptOutcome
from workers.models import SHUT_OUT

# What judging a result, answering its worker and writing its presence need of the worker.
_OF_WORKER: Final = (
    *("worker__name", "worker__hardware", "worker__is_program", "worker__state"),
    *("worker__last_seen_at", "worker__lease_time", "worker__consecutive_env_errors"),
)


def read_running(token_hash: str, leases: Sequence[uuid.UUID]) -> list[Attempt]:
    """Return the attempts of these leases that the worker with this token runs, in no order.

    None of a worker that is shut out. They have the same worker, and the database's time
    (`campaigns.clock.read_at`).
    """
    query = _running()
    if connection.vendor == "postgresql":
        rows = run(query.sql, {"token_hash": token_hash, "leases": list(leases)})
    else:
        each = [run(query.sql, {"token_hash": token_hash, "leases": lease}) for lease in leases]
        rows = [row for found in each for row in found]
    attempts = list(query.instances(rows))
    for attempt in attempts:
        attempt.worker = attempts[0].worker
    return attempts


@cache
def _running() -> Select[Attempt]:
    leases = Slot("leases", models.UUIDField())
    of_leases: Any = AnyOf("lease_id", leases)
    if connection.vendor != "postgresql":
        of_leases = models.Q(lease_id=leases)
    running = attempts_to_end(*_OF_WORKER).filter(
        of_leases,
        worker__token_hash=Slot("token_hash", models.CharField()),
        outcome=AttemptOutcome.RUNNING,
    )
    callers = running.exclude(worker__state__in=SHUT_OUT).select_related("worker")
    return select(with_clock(callers))
