"""Arms: the same params are the same arm, and each task of an arm has a seed of its own."""

from __future__ import annotations

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import InvalidCampaign
from campaigns.lifecycle.arms import TaskMaker
from campaigns.models import Campaign, TaskOrigin, TaskPurpose
from campaigns.search.seeds import seed_at
from tests import invariants
from tests.factories import NOW, active_campaign, at, campaign

pytestmark = pytest.mark.django_db

POINT = {"lr": 0.001, "d_model": 128}
TWO_POINTS = {"parameters": [{"name": "d_model", "type": "choice", "values": [64, 128]}]}


def rows(of: Campaign) -> list[tuple[int, int | None, int]]:
    """Return arm, seed index and seed of each task, by its number."""
    return list(of.tasks.values_list("arm__number", "seed_index", "seed"))


def test_a_grid_that_starts_again_gives_each_arm_its_next_seed() -> None:
    grid = active_campaign(5, sampler="grid", search_space=TWO_POINTS)
    first, second, third = (seed_at(42, index) for index in range(3))
    assert rows(grid) == [
        (0, 0, first),
        (1, 0, first),
        (0, 1, second),
        (1, 1, second),
        (0, 2, third),
    ]
    assert grid.arms.count() == 2
    purposes = list(grid.tasks.values_list("purpose", flat=True))
    assert purposes == [TaskPurpose.SCREEN] * 2 + [TaskPurpose.REPEAT] * 3
    invariants.check()


def test_a_point_that_the_random_sampler_draws_twice_is_another_seed_of_its_arm() -> None:
    small = active_campaign(40, search_space=TWO_POINTS)
    assert small.arms.count() == 2
    assert sorted(small.tasks.values_list("arm__number", flat=True)) == sorted(
        arm for arm, _, _ in rows(small)
    )
    for arm in small.arms.all():
        indices = list(arm.tasks.order_by("number").values_list("seed_index", flat=True))
        assert indices == list(range(len(indices)))
    lifecycle.add_tasks(small, 10, now=at(5))
    assert (small.arms.count(), small.tasks.count()) == (2, 50)
    invariants.check()


def test_params_that_differ_only_in_how_they_are_written_are_one_arm() -> None:
    space = {
        "parameters": [
            {"name": "lr", "type": "float", "low": -1.0, "high": 4.0},
            {"name": "depth", "type": "int", "low": 1, "high": 4},
        ]
    }
    running = active_campaign(1, search_space=space)
    spellings = [{"lr": 1, "depth": 2}, {"depth": 2, "lr": 1.0}]
    tasks = [lifecycle.enqueue(running, params, now=NOW) for params in spellings]
    assert {task.arm_id for task in tasks} == {tasks[0].arm_id}
    assert [task.seed_index for task in tasks] == [0, 1]
    assert str(tasks[0].params["lr"]) == "1.0"
    zeros = [lifecycle.enqueue(running, {"lr": zero, "depth": 2}, now=NOW) for zero in (0.0, -0.0)]
    assert zeros[0].arm_id == zeros[1].arm_id
    invariants.check()


def test_choices_of_different_types_are_different_arms() -> None:
    space = {"parameters": [{"name": "norm", "type": "choice", "values": [1, True, "1", 1.5]}]}
    running = active_campaign(1, search_space=space)
    for value in (1, True, "1", 1.5):
        lifecycle.enqueue(running, {"norm": value}, now=NOW)
    assert running.arms.count() == 4


def test_a_seed_outside_the_list_has_no_index_and_takes_none() -> None:
    running = active_campaign(1)
    outside = lifecycle.enqueue(running, POINT, seed=7, now=NOW)
    assert (outside.seed, outside.seed_index, outside.purpose) == (7, None, TaskPurpose.SCREEN)
    first, second = (lifecycle.enqueue(running, POINT, now=NOW) for _ in range(2))
    assert [(task.seed, task.seed_index) for task in (first, second)] == [
        (42, 0),
        (seed_at(42, 1), 1),
    ]
    assert {first.purpose, second.purpose} == {TaskPurpose.REPEAT}
    assert first.arm_id == second.arm_id == outside.arm_id


def test_a_given_seed_of_the_list_takes_its_place_there() -> None:
    running = active_campaign(1)
    given = lifecycle.enqueue(running, POINT, seed=seed_at(42, 1), now=NOW)
    assert given.seed_index == 1
    later = [lifecycle.enqueue(running, POINT, now=NOW).seed_index for _ in range(3)]
    assert later == [0, 2, 3]


def test_old_campaigns_go_on_with_a_seed_for_each_task() -> None:
    old = active_campaign(2, shares_seeds=False, search_space=TWO_POINTS)
    assert [(index, seed) for _, index, seed in rows(old)] == [(None, 42), (None, 43)]
    lifecycle.enqueue(old, {"d_model": 64}, seed=45, now=NOW)
    lifecycle.add_tasks(old, 3, now=at(5))
    assert [seed for _, _, seed in rows(old)][:3] == [42, 43, 45]
    assert all(index is None for _, index, _ in rows(old))
    assert {task.purpose for task in old.tasks.all()} == {TaskPurpose.SCREEN, TaskPurpose.REPEAT}
    invariants.check()


def test_arms_and_their_seeds_are_those_of_the_clone() -> None:
    campaigns = [active_campaign(6, search_space=TWO_POINTS) for _ in range(2)]
    assert rows(campaigns[0]) == rows(campaigns[1])


def test_a_task_with_a_seed_that_its_arm_has_is_refused_before_anything_is_stored() -> None:
    draft = campaign()
    maker = TaskMaker(draft, now=NOW)
    maker.task(POINT, TaskOrigin.ENQUEUED)
    with pytest.raises(InvalidCampaign, match="in the campaign already"):
        maker.task(POINT, TaskOrigin.ENQUEUED, seed=42)
    assert draft.arms.count() == 0
