"""Growing a launched campaign: more sampled tasks, tasks with given params, more tries."""

from __future__ import annotations

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.models import Campaign, CampaignState, TaskOrigin, TaskPurpose, TaskState
from tests.factories import (
    NOW,
    SMALL_SPACE,
    active_campaign,
    at,
    campaign,
    completed_task,
    failed_task,
)

pytestmark = pytest.mark.django_db

POINT = {"lr": 0.001, "d_model": 128}
TWO_POINTS = {"parameters": [{"name": "d_model", "type": "choice", "values": [64, 128]}]}


@pytest.mark.parametrize("shares_seeds", [True, False])
@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_added_tasks_go_on_as_if_they_had_been_asked_for_at_once(
    sampler: str, shares_seeds: bool
) -> None:
    fields = {"sampler": sampler, "shares_seeds": shares_seeds, "base_seed": 7}
    fields["search_space"] = TWO_POINTS if sampler == "grid" else SMALL_SPACE
    grown, whole = active_campaign(2, **fields), active_campaign(5, **fields)
    lifecycle.add_tasks(grown, 3, now=at(5))
    columns = "number", "arm__number", "seed", "seed_index", "params", "origin", "purpose"
    assert list(grown.tasks.values_list(*columns)) == list(whole.tasks.values_list(*columns))
    assert (grown.task_count, grown.state) == (5, CampaignState.ACTIVE)


def test_a_completed_campaign_runs_again_with_more_tasks() -> None:
    done = completed_task().campaign
    done.refresh_from_db()
    assert done.state == CampaignState.COMPLETED
    lifecycle.add_tasks(done, 1, now=at(5))
    assert (done.state, done.finished_at) == (CampaignState.ACTIVE, None)


def test_a_draft_and_a_cancelled_campaign_do_not_grow() -> None:
    draft, cancelled = campaign(), active_campaign()
    lifecycle.cancel(cancelled, now=NOW)
    for closed in (draft, cancelled):
        before = closed.tasks.count()
        with pytest.raises(WrongState, match="launch it first, or clone it"):
            lifecycle.add_tasks(closed, 1, now=NOW)
        with pytest.raises(WrongState):
            lifecycle.enqueue(closed, POINT, now=NOW)
        assert closed.tasks.count() == before


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_a_senseless_number_of_tasks_is_refused(count: int) -> None:
    with pytest.raises(InvalidCampaign, match="must be from 1 to"):
        lifecycle.add_tasks(active_campaign(), count, now=NOW)


def test_params_drawn_later_do_not_depend_on_tasks_that_people_add() -> None:
    grown, whole = active_campaign(2), active_campaign(4)
    lifecycle.enqueue(grown, POINT, now=at(5))
    lifecycle.enqueue(grown, grown.tasks.get(number=0).params, now=at(5))
    lifecycle.add_tasks(grown, 2, now=at(6))
    drawn = grown.tasks.filter(origin=TaskOrigin.SAMPLED).values_list("params", flat=True)
    assert list(drawn) == list(whole.tasks.values_list("params", flat=True))


def test_given_params_become_a_task_on_the_first_seed() -> None:
    running = active_campaign(2, base_seed=7)
    task = lifecycle.enqueue(running, POINT, now=at(5))
    assert (task.number, task.arm.number, task.params) == (2, 2, POINT)
    assert (task.seed, task.seed_index, task.purpose) == (7, 0, TaskPurpose.SCREEN)
    assert (task.origin, task.state) == (TaskOrigin.ENQUEUED, TaskState.PENDING)
    assert Campaign.objects.get().task_count == 3


def test_the_same_point_with_the_same_seed_is_refused_and_with_another_is_a_replicate() -> None:
    running = active_campaign(1)
    lifecycle.enqueue(running, POINT, seed=1, now=NOW)
    with pytest.raises(InvalidCampaign, match="in the campaign already"):
        lifecycle.enqueue(running, POINT, seed=1, now=NOW)
    assert lifecycle.enqueue(running, POINT, seed=2, now=NOW).seed == 2


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"lr": 0.001}, "d_model is missing"),
        ({**POINT, "d_model": 100}, "outside its range"),
        ({**POINT, "width": 1}, "width is not a parameter"),
    ],
)
def test_params_outside_the_space_are_refused(params: dict[str, object], sentence: str) -> None:
    running = active_campaign(1)
    with pytest.raises(InvalidCampaign, match=sentence):
        lifecycle.enqueue(running, params, now=NOW)  # type: ignore[arg-type]
    assert running.tasks.count() == 1


def test_raised_tries_reach_the_tasks_there_are() -> None:
    task = failed_task()
    lifecycle.raise_attempts(task.campaign, max_failed_attempts=4, max_lost_attempts=9)
    task.refresh_from_db()
    assert (task.max_failed_attempts, task.max_lost_attempts) == (4, 9)
    with pytest.raises(InvalidCampaign, match=r"must be from 4 \(today's\)"):
        lifecycle.raise_attempts(task.campaign, max_failed_attempts=3, max_lost_attempts=9)


def test_each_change_that_pages_draw_moves_the_revision() -> None:
    revisions = []

    def record(changed: Campaign) -> None:
        revisions.append(Campaign.objects.get(pk=changed.pk).revision)

    task = completed_task()
    record(task.campaign)
    lifecycle.add_tasks(task.campaign, 1, now=NOW)
    record(task.campaign)
    lifecycle.cancel_task(task.campaign.tasks.get(number=1), now=NOW)
    record(task.campaign)
    assert revisions[0] < revisions[1] < revisions[2]
