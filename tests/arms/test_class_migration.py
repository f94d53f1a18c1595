"""Results from before the classes: the migration gives them arm and class, there and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import caches
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from campaigns.models import Campaign, Result, ResultClass
from tests import invariants
from tests.factories import active_campaign, at, claim_one, finish, run, worker

BEFORE = [("campaigns", "0021_work_of_a_task")]
GPU = {"devices": ["cuda", "cpu"], "gpu_name": "NVIDIA H200"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def newest_schema_afterwards() -> Iterator[None]:
    yield
    Campaign.objects.all().delete()
    migrate_to_newest()


def migrate_to_newest() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_old_results_get_their_arm_and_the_class_that_new_ones_of_their_worker_join() -> None:
    campaign = active_campaign(7, allow_simulated=True)
    slow, fast = worker(), worker(hardware=GPU)
    for by, device in ((slow, "cpu"), (fast, "cuda:0"), (fast, "cpu")):
        finish(claim_one(by, now=at(1)), now=at(1), device_used=device)
    run(None, seconds=2)
    run(3.0, seconds=3, simulated=True)
    stored = dict(Result.objects.values_list("pk", "result_class"))
    kinds = set(ResultClass.objects.values_list("device_kind", "band", "dtype", "budget"))
    keys = set(ResultClass.objects.values_list("key", flat=True))
    MigrationExecutor(connection).migrate(BEFORE)
    # As the older server left them.
    models = MigrationExecutor(connection).loader.project_state(BEFORE).apps
    models.get_model("campaigns", "Result").objects.update(arm=None, result_class=None)
    models.get_model("campaigns", "ResultClass").objects.all().delete()
    for cache in caches.all(initialized_only=True):
        cache.clear()  # a server starts anew with a new schema

    migrate_to_newest()

    assert set(ResultClass.objects.values_list("key", flat=True)) == keys
    assert set(ResultClass.objects.values_list("device_kind", "band", "dtype", "budget")) == kinds
    assert kinds == {
        ("cpu", slow.pk, "bfloat16", "10 s"),
        ("cuda NVIDIA H200", fast.pk, "bfloat16", "10 s"),
        ("cpu", fast.pk, "bfloat16", "10 s"),
    }
    results = dict(Result.objects.values_list("pk", "result_class"))
    assert [key is None for key in results.values()] == [key is None for key in stored.values()]
    invariants.check()
    # A new result of a worker joins the class of its old ones.
    finish(claim_one(slow, now=at(4)), now=at(4))
    assert Result.objects.get(created_at=at(4)).result_class_id in results.values()
    assert campaign.results.count() == 6

    # Back and there again, with everything as it was.
    before = list(Result.objects.order_by("pk").values_list("pk", "arm", "result_class"))
    MigrationExecutor(connection).migrate(BEFORE)
    migrate_to_newest()
    assert list(Result.objects.order_by("pk").values_list("pk", "arm", "result_class")) == before
