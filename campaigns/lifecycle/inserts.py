"""Insert many rows at the speed of the database: an instance of a model costs more than its row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Field, JSONField, Model

# A column's value is one and the same in all rows, or differs by row.
_Fields = list["Field[Any, Any]"]


def insert_rows(
    model: type[Model], names: Sequence[str], rows: Sequence[Sequence[Any]], **constants: Any
) -> None:
    """Insert rows, each with a value for each of `names`: all of them or none.

    `names` are fields (keys by their ids, such as "arm_id"). Their values are None, numbers, texts,
    or of a JSON field what JSON can hold. `constants` are fields that all rows share; the fields
    that neither names get their defaults.
    """
    if not rows:
        return
    fields = {field.attname: field for field in model._meta.concrete_fields}  # noqa: SLF001 - public by its docs
    varying = [fields[name] for name in names]
    shared = {
        field: field.get_db_prep_save(constants.get(name, field.get_default()), connection)
        for name, field in fields.items()
        if name not in names and not field.primary_key
    }
    columns = ", ".join(_quoted(field) for field in (*varying, *shared))
    into = f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({columns})"  # noqa: SLF001
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            values = [*(f"row.{_quoted(field)}" for field in varying), *map(_typed, shared)]
            types = ", ".join(f"{_quoted(field)} {field.db_type(connection)}" for field in varying)
            source = f"FROM json_to_recordset(%s::json) AS row ({types})"
            keys = [field.column for field in varying]
            text = json.dumps([dict(zip(keys, row, strict=True)) for row in rows])
            select = f"SELECT {', '.join(values)} {source}"
            cursor.execute(f"{into} {select}", (*shared.values(), text))
        else:
            marks = ", ".join(["%s"] * (len(varying) + len(shared)))
            ends = tuple(shared.values())
            cursor.executemany(
                f"{into} VALUES ({marks})", [(*_written(varying, row), *ends) for row in rows]
            )


def _quoted(field: Field[Any, Any]) -> str:
    return connection.ops.quote_name(field.column or "")


def _typed(field: Field[Any, Any]) -> str:
    return f"%s::{field.db_type(connection)}"


def _written(fields: _Fields, row: Sequence[Any]) -> list[Any]:
    """Return the row's values as SQLite stores them."""
    return [
        json.dumps(value) if isinstance(field, JSONField) else value
        for field, value in zip(fields, row, strict=True)
    ]
