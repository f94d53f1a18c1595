"""`lifecycle.release` of a lease that still holds its task."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import NamedTuple

from campaigns.clock import read_at
from campaigns.lifecycle import journal
from campaigns.lifecycle.leases import end_changes, end_columns, released
from campaigns.lifecycle.statements.ends import Ended, write_ends
from campaigns.lifecycle.statements.running import read_running
from campaigns.lifecycle.transitions import return_to_queue
from workers import lifecycle as worker_lifecycle
from workers import presence
from workers.models import Worker


class Released(NamedTuple):
    """A lease that was given back: by whom, and when."""

    worker: Worker
    now: dt.datetime


def release(
    token_hash: str, lease_id: uuid.UUID, *, reason: str = "", now: dt.datetime | None = None
) -> Released | None:
    """Give a task back, as `lifecycle.release` does.

    None, with nothing changed, for a token that opens nothing, and for a lease that has ended: the
    caller then authenticates and calls the verb.
    """
    attempts = read_running(token_hash, [lease_id])
    if not attempts:
        return None
    (attempt,) = attempts
    worker, now = attempt.worker, now or read_at(attempt)
    if presence.is_due(worker, now):
        # Before a task is locked, because a claim locks the worker first.
        worker_lifecycle.see(worker, now=now)
    outcome, change = released(attempt)
    changes = end_changes(attempt, outcome, change)
    rows = journal.rows(journal.agent(worker), *changes, now=now, reason=reason)
    columns = end_columns(attempt, outcome, now=now, message=reason)
    if not write_ends(return_to_queue, [Ended(attempt, columns, rows)], now=now):
        return None
    return Released(worker, now)
