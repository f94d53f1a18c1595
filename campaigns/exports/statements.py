"""The only exception from the time limit on database statements: exports of whole campaigns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection


@contextmanager
def long_statement() -> Iterator[None]:
    """Raise the time limit of the statements inside to XEENET["EXPORT_STATEMENT_SECONDS"].

    Use it for reads of whole campaigns, outside of a transaction. SQLite has no such limit.
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
