"""Prepared statements of PostgreSQL, under Django's connection and with its errors and log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection
from psycopg.types.numeric import Int8


def run(text: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run the statement and return its rows; it is parsed and planned once per connection.

    Its parameters are $1, $2, … in the text, which the driver leaves as it is.
    """
    connection.ensure_connection()
    raw = connection.connection
    # Not Django's cursor: it writes the values into the text, so every text would be a new one.
    # `databases.with_limits` sets the connection's `prepare_threshold` to 0.
    server_side: Any = psycopg.RawCursor(raw)
    wrap = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    with wrap(server_side) as cursor:
        cursor.execute(text, [_typed(parameter) for parameter in parameters])
        # Not `description`, which makes an object of each column.
        has_rows = cursor.pgresult is not None and cursor.pgresult.nfields > 0
        return list(cursor.fetchall()) if has_rows else []


def _typed(value: Any) -> Any:
    """Return whole numbers as one type: the driver prepares a text anew for other types."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Int8(value)
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return value
