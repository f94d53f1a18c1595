"""The one clock that decides leases, deadlines and order: the database's."""

import datetime as dt

from django.db import connection
from django.utils import timezone


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
