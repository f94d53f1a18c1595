"""Campaigns and tasks from before the shares: the migrations give them row and rank."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from campaigns import lifecycle
from campaigns.models import Campaign, QueueRank, Share, Task
from tests.factories import active_campaign, at, campaign, claim_one, finish, worker

BEFORE = [("campaigns", "0032_undrawn_tasks")]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def newest_schema_afterwards() -> Iterator[None]:
    yield
    Campaign.objects.all().delete()
    migrate_to_newest()


def migrate_to_newest() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_old_campaigns_begin_as_equals_and_open_tasks_get_their_rank() -> None:
    draft, running = campaign(), active_campaign(4)
    for value in (3.0, 3.1):
        finish(claim_one(worker(), now=at(1)), value, now=at(2))
    lifecycle.enqueue(running, {"lr": 0.001, "d_model": 64}, now=at(3))
    lifecycle.start_race(running, [0, 1], seeds=3, now=at(4))
    claim_one(worker(), now=at(5))
    ranks = dict(Task.objects.values_list("pk", "queue_rank"))
    assert set(ranks.values()) == set(QueueRank)
    leased = Task.objects.get(state="leased")

    MigrationExecutor(connection).migrate(BEFORE)
    cache.clear()  # a server starts anew with a new schema
    migrate_to_newest()

    assert dict(Task.objects.values_list("pk", "queue_rank")) == ranks
    assert Task.objects.get(pk=leased.pk).queue_rank == QueueRank.RACE
    assert list(Share.objects.order_by("pk").values_list("pk", "account", "weight", "place")) == [
        (draft.pk, 0.0, 1.0, None),
        (running.pk, 0.0, 1.0, None),
    ]
    ranked = [claim_one(worker(), now=at(6)).task.queue_rank for _ in range(len(ranks) - 3)]
    assert ranked == sorted(ranked)
