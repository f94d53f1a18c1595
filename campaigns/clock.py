"""The one clock that decides leases, deadlines and order: the database's."""

import datetime as dt

from django.db import connection
from django.utils import timezone


def database_now() -> dt.datetime:
    """Return the database's current time (aware, UTC).

    Read once at the edge (view, command, job) and passed down, so that one request has one now.
    Several web servers may share a PostgreSQL, and their clocks differ; SQLite lives in this
    process, whose clock is the database's.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        # Not now(): inside a transaction that is the time the transaction began.
        cursor.execute("SELECT clock_timestamp()")
        instant: dt.datetime = cursor.fetchone()[0]
    return instant.astimezone(dt.UTC)
