"""Copies the tasks of a campaign with all their rows, by one INSERT for each table.

Drawing and running a million tasks by the verbs would take hours. The rows are those of the verbs
and the copies differ from them only in their ids, so constraints and indexes see real rows.
"""

from typing import Any


def copy_tasks(campaign_id: int, times: int) -> None:
    """Copy the campaign's arms and tasks, and all that hangs on them, so many times.

    One INSERT for each table. A copy has the id of its original plus a multiple of one number, in
    every table, so that keys need no look-up.
    """
    from django.apps import apps
    from django.db import connection

    from campaigns.models import Arm, Campaign, Task

    models: list[Any] = [Arm, Task]
    models += _hanging_on(models, list(apps.get_models()))
    stride = max(_last(model) for model in models) + 1
    old: dict[Any, str] = {}
    for model in models:
        where = f"campaign_id = {campaign_id}"
        if model not in (Arm, Task):
            key = next(field for field in _keys(model) if field.related_model in old)
            where = f"{key.column} IN ({old[key.related_model]})"
        pk = _meta(model).pk.column
        table, last = _meta(model).db_table, _last(model)
        old[model] = f"SELECT {pk} FROM {table} WHERE {where} AND {pk} <= {last}"  # noqa: S608
    own = {model: model.objects.filter(campaign=campaign_id).count() for model in (Arm, Task)}
    if times > 0:
        with connection.cursor() as cursor:
            for model in models:
                cursor.execute(_copies(model, old, own.get(model, 0), stride, times))
                if connection.vendor == "postgresql":
                    cursor.execute(_next_id(model))
    made = Task.objects.filter(campaign=campaign_id).count()
    Campaign.objects.filter(pk=campaign_id).update(task_count=made, draws=made)


def _meta(model: Any) -> Any:
    return model._meta  # noqa: SLF001 - Django's own API of models


def _keys(model: Any) -> list[Any]:
    return [field for field in _meta(model).concrete_fields if field.related_model is not None]


def _hanging_on(roots: list[Any], among: list[Any]) -> list[Any]:
    """Return the models with a key to one of the roots, or of those found, parents first."""
    found = list(roots)
    while more := [
        model
        for model in among
        if model not in found
        and any(field.related_model in found for field in _keys(model))
        # A model whose other keys lead to models that are still to come waits for them.
        and not any(
            field.related_model in among
            and field.related_model not in found
            and any(key.related_model in found for key in _keys(field.related_model))
            for field in _keys(model)
        )
    ]:
        found += more
    return found[len(roots) :]


def _last(model: Any) -> int:
    from django.db.models import Max

    return model.objects.aggregate(last=Max("pk"))["last"] or 0


def _copies(model: Any, old: dict[Any, str], rows: int, stride: int, times: int) -> str:
    """Return the INSERT of a model's copies; `rows` is how many numbers a copy moves on."""
    from django.db import connection, models

    is_sqlite = connection.vendor == "sqlite"
    values = {}
    for field in _meta(model).concrete_fields:
        value = f'old."{field.column}"'
        if field.primary_key or field.related_model in old:
            value = f"{value} + copies.k * {stride}"
        elif field.name == "number" and rows:
            value = f"{value} + copies.k * {rows}"
        elif field.name == "params_sha256":
            digits = "printf('%08x', copies.k)" if is_sqlite else "lpad(to_hex(copies.k), 8, '0')"
            value = f"{digits} || substr({value}, 9)"
        elif isinstance(field, models.UUIDField) and not is_sqlite:
            value = f"md5({value}::text || copies.k)::uuid"
        values[f'"{field.column}"'] = value
    series = f"generate_series(1, {times}) AS copies(k)"
    if is_sqlite:
        series = (
            "(WITH RECURSIVE c(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c "  # noqa: S608
            f"WHERE k < {times}) SELECT k FROM c) AS copies"
        )
    table, pk = _meta(model).db_table, _meta(model).pk.column
    return (
        f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} "  # noqa: S608
        f"FROM {series}, {table} old WHERE old.{pk} IN ({old[model]})"
    )


def _next_id(model: Any) -> str:
    table, pk = _meta(model).db_table, _meta(model).pk.column
    return (
        f"SELECT setval(s, (SELECT max({pk}) FROM {table})) "  # noqa: S608
        f"FROM pg_get_serial_sequence('{table}', '{pk}') AS s WHERE s IS NOT NULL"
    )
