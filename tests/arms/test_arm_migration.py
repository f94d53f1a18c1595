"""Campaigns from before the arms: the migration gives them arms, and takes them away again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from campaigns.models import Campaign
from tests import invariants
from tests.factories import NOW, active_campaign, claim_one, finish, worker

BEFORE = [("campaigns", "0010_results_to_be_believed")]
SPACE = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 0.0, "high": 4.0},
        {"name": "depth", "type": "choice", "values": [2, 4]},
    ]
}

pytestmark = pytest.mark.django_db(transaction=True)


def migrate(targets: list[tuple[str, str]]) -> Any:
    """Migrate to these targets; return the models as they are there."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


@pytest.fixture
def old() -> Iterator[Any]:
    """The models of the schema before the arms; the test ends with today's schema."""
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    Campaign.objects.all().delete()
    yield lambda: migrate(BEFORE)
    migrate(newest)


def add(task: Any, number: int, **changes: Any) -> None:
    """Copy a task of the old schema."""
    task.pk, task.number = None, number
    for name, value in changes.items():
        setattr(task, name, value)
    task.save()


def add_draft(models: Any) -> int:
    """Add a campaign of the old schema that was not launched; return its id."""
    package = models.get_model("campaigns", "Package").objects.get()
    dataset = models.get_model("campaigns", "Dataset").objects.get()
    draft = models.get_model("campaigns", "Campaign").objects.create(
        name="draft",
        experiment="train_char_lm",
        package=package,
        dataset=dataset,
        search_space=SPACE,
        task_count=3,
        time_budget_seconds=10.0,
        created_at=NOW,
    )
    return int(draft.pk)


def test_each_distinct_point_becomes_an_arm_and_the_way_back_restores_the_tasks(old: Any) -> None:
    campaign = active_campaign(3, search_space=SPACE, shares_seeds=False)
    finish(claim_one(worker()))
    models = old()
    old_tasks = models.get_model("campaigns", "Task")
    first, second, third = old_tasks.objects.order_by("number")
    assert len(first.params_sha256) == 64
    # The same point on another seed, and once more as an outside program wrote it.
    add(third, 3, seed=45)
    add(
        old_tasks.objects.get(pk=second.pk),
        4,
        params={"lr": 1.0, "depth": 2},
        params_sha256="a" * 64,
    )
    add(second, 5, params={"lr": 1, "depth": 2}, params_sha256="b" * 64)
    models.get_model("campaigns", "Campaign").objects.update(task_count=6)
    draft = add_draft(models)
    columns = ("number", "params", "seed", "state", "params_sha256")
    before = list(old_tasks.objects.order_by("number").values_list(*columns))

    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())

    campaign.refresh_from_db()
    assert (campaign.shares_seeds, campaign.draws) == (False, 6)
    # A draft shares seeds as new campaigns do, and begins at the first draw.
    draft = Campaign.objects.get(pk=draft)
    assert (draft.shares_seeds, draft.draws, draft.tasks.count()) == (True, 0, 0)
    tasks = list(campaign.tasks.select_related("arm"))
    assert [task.arm.number for task in tasks] == [0, 1, 2, 2, 3, 3]
    assert [task.purpose for task in tasks] == [
        *["screen"] * 3,
        "repeat",
        "screen",
        "replay",
    ]
    assert {task.seed_index for task in tasks} == {None}
    assert (tasks[0].result.task_id, tasks[0].result.is_screening) == (tasks[0].pk, True)
    invariants.check()

    models = old()
    old_tasks = models.get_model("campaigns", "Task")
    after = list(old_tasks.objects.order_by("number").values_list(*columns))
    assert [row[:4] for row in after] == [row[:4] for row in before]
    # Each hash is that of the task's own params again, also of those that were made up above.
    assert [row[4] for row in after][:4] == [row[4] for row in before][:4]
    assert after[4][4] != after[5][4]
