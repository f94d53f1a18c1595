"""Migrations 0015 to 0017: rows of before get value, sort key and metric, and lose them again."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from campaigns.models import Campaign, ProgressPoint, Result
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = "0014_races"


def migrate(name: str | None = None) -> None:
    executor = MigrationExecutor(connection)
    newest = [key for key in executor.loader.graph.leaf_nodes() if key[0] == "campaigns"]
    executor.migrate([("campaigns", name)] if name else newest)


def rows(columns: str, table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY id")
        return list(cursor.fetchall())


def test_rows_are_carried_over_there_and_back() -> None:
    launched = factories.active_campaign(2)
    factories.run(2.5, seconds=1)
    factories.run(None, seconds=2)
    factories.curve(launched.tasks.get(number=0).attempts.get(), [{"value": 3.5}])
    draft = factories.campaign()

    migrate(BEFORE)
    try:
        assert rows("val_bpb", "campaigns_result") == [(2.5,), (None,)]
        assert rows("val_bpb", "campaigns_progresspoint") == [(3.5,)]
    finally:
        migrate()

    assert [(result.value, result.sort_key) for result in Result.objects.order_by("pk")] == [
        (2.5, 2.5),
        (None, None),
    ]
    assert ProgressPoint.objects.get().value == 3.5
    pinned = dict(Campaign.objects.values_list("pk", "metric"))
    assert pinned == {launched.pk: "val_bpb", draft.pk: ""}
    assert Campaign.objects.get(pk=launched.pk).metric_version == 1
    assert Campaign.objects.get(pk=draft.pk).metric_version is None
