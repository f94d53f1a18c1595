"""The one clock that decides leases, deadlines and order: the database's."""

import datetime as dt
from typing import Final, TypeVar

from django.db import connection
from django.db.models import DateTimeField, Func, Model, QuerySet
from django.utils import timezone

M = TypeVar("M", bound=Model)
_READ_AT: Final = "database_read_at"


def database_now() -> dt.datetime:
    """Return the database's current time (aware, UTC).

    Read it once at the edge (view, command, job) and pass it down, so that a request has one `now`.
    Several web servers may share a PostgreSQL while their clocks differ. SQLite runs in this
    process, so the process's clock is the database's.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        # Not now(), which is the time at which the transaction began.
        cursor.execute("SELECT clock_timestamp()")
        instant: dt.datetime = cursor.fetchone()[0]
    return instant.astimezone(dt.UTC)


def with_clock(rows: QuerySet[M]) -> QuerySet[M]:
    """Let the query that reads these rows read the clock too; see `read_at`."""
    if connection.vendor != "postgresql":
        return rows
    clock = Func(
        function="clock_timestamp", template="%(function)s()", output_field=DateTimeField()
    )
    annotated: QuerySet[M] = rows.annotate(**{_READ_AT: clock})
    return annotated


def read_at(row: Model) -> dt.datetime:
    """Return the database's time when it read this row of `with_clock`, without a query."""
    instant: dt.datetime | None = getattr(row, _READ_AT, None)
    return timezone.now() if instant is None else instant.astimezone(dt.UTC)
