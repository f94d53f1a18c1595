"""The one exception from the limit on statements: reads that are meant to be long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection


@contextmanager
def long_statement() -> Iterator[None]:
    """Give the statements inside XEENET["EXPORT_STATEMENT_SECONDS"] instead of the usual limit.

    For reads of whole campaigns outside of a transaction. SQLite has no such limit.
    """
    if connection.vendor != "postgresql":
        yield
        return
    milliseconds = round(1000 * settings.XEENET["EXPORT_STATEMENT_SECONDS"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("RESET statement_timeout")
