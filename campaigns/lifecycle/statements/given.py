"""Rows of a model that a statement is given as one JSON value, however many they are.

The statement stays the same for one row and for sixty, and has one parameter for all columns.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django.db import connection, models

from campaigns.lifecycle.statements.compiled import Slot, Sql, insert


def rows_given(model: type[models.Model], slot: str) -> Sql:
    """Return what follows FROM: the rows that the slot gives, with the table's column names.

    Their order is `ordinality`. A column that a row does not name is null. For PostgreSQL.
    """
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001 - documented as _meta
    return Sql(
        f"json_populate_recordset(NULL::{table}, %s::json)", (Slot(slot, models.TextField()),)
    )


def as_given(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows, by column names, as the value of a slot of `rows_given`.

    Raises ValueError and TypeError for what JSON cannot hold.
    """
    return json.dumps(list(rows), allow_nan=False, separators=(",", ":"), default=_plain)


def columns_of(row: models.Model) -> dict[str, Any]:
    """Return what an INSERT of the row would set, by column names."""
    fields = row._meta.concrete_fields  # noqa: SLF001 - documented as _meta
    return {
        str(field.column): getattr(row, field.attname) for field in fields if not field.primary_key
    }


def _plain(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def insert_given(model: type[models.Model], source: Sql, part: str) -> Sql:
    """Put an INSERT of all rows of `source` together, whose `part` has the table's columns."""
    columns: dict[str, Any] = {
        name: Sql(f"{part}.{connection.ops.quote_name(column)}") for name, column in _columns(model)
    }
    return insert(model, source, **columns)


@cache
def _columns(model: type[models.Model]) -> list[tuple[str, str]]:
    """Return the names of a model's columns, in Python and in the table, without its key."""
    fields = model._meta.concrete_fields  # noqa: SLF001 - documented as _meta
    return [(field.attname, str(field.column)) for field in fields if not field.primary_key]
