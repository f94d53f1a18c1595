"""One claim of a worker at a time: a lock by the worker's id, which writes nothing.

A lock of its row is a write, for which the commit waits for the disk; most claims of idle workers
write nothing else. PostgreSQL alone needs it: a transaction of SQLite is the only one.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connection
from django.db.models import BooleanField, Func, Value

from workers.models import WorkerQuerySet

# The number tells these locks from others in the same database. An id has more digits than a key;
# two workers with one key only wait for each other.
_LOCK: Final = "%(function)s(471001, (%(expressions)s & 2147483647)::int)"


def claiming_alone(workers: WorkerQuerySet) -> WorkerQuerySet:
    """Let the query wait until no claim of its workers runs; until the transaction ends none will.

    What is to be read afterwards must be read by a later query: this one may see what was before.
    """
    if connection.vendor != "postgresql":
        return workers
    return workers.annotate(claim_lock=_lock("pg_advisory_xact_lock"))


def claiming_if_alone(workers: WorkerQuerySet) -> WorkerQuerySet:
    """Do the same without waiting: `is_alone` is false for a worker of which a claim runs."""
    if connection.vendor != "postgresql":
        return workers.annotate(is_alone=Value(True))
    return workers.annotate(is_alone=_lock("pg_try_advisory_xact_lock"))


def _lock(function: str) -> Any:
    return Func("pk", function=function, template=_LOCK, output_field=BooleanField())
