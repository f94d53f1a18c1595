"""Whether a race begins by itself, and the smallest difference that it looks for."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.lifecycle.campaigns import cancel_open_tasks
from campaigns.models import Campaign, CampaignState, Race, RaceOutcome, TaskPurpose
from tests import factories, invariants
from tests.arms.test_automatic_races import (
    ARMS,
    KEPT,
    TASKS,
    best_of_all,
    done,
    equal,
    leave_three,
    progress,
    raced,
    racing,
    value,
)
from tests.arms.test_races import SECONDS, run_all
from tests.factories import active_campaign, at, claim_one, fail, worker

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"task_count": 29}, False),
        ({"task_count": 30}, True),
        ({"task_count": 30, "allow_simulated": True}, False),
        ({"task_count": 30, "races_automatically": False}, False),
        ({"task_count": 10, "races_automatically": True}, True),
    ],
)
def test_a_campaign_races_by_itself_from_thirty_tasks_on_unless_told(
    fields: dict[str, Any], expected: bool
) -> None:
    campaign = factories.campaign(**({"races_automatically": None} | fields))
    assert campaign.races_automatically is expected


def test_switched_off_a_campaign_gives_up_its_kept_runs_and_completes_without_a_race() -> None:
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value, most=2)
    lifecycle.set_race_options(campaign, races_automatically=False, now=at(next(SECONDS)))
    assert (campaign.task_count, campaign.kept_runs) == (ARMS, 0)
    run_all(campaign, value)
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED


def by_hand() -> Campaign:
    """A campaign of 30 arms that does not race by itself; the screening of three is left."""
    campaign = racing(races_automatically=False)
    leave_three(campaign)
    rest = campaign.tasks.filter(arm__number__gte=ARMS)
    cancel_open_tasks(rest, now=at(1), actor=lifecycle.SERVER)
    return campaign


def test_a_campaign_in_which_the_race_is_switched_off_completes_without() -> None:
    campaign = by_hand()
    run_all(campaign, value)
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED


def test_switched_on_late_the_runs_of_the_race_come_on_top() -> None:
    campaign = by_hand()
    run_all(campaign, value, most=2)
    lifecycle.set_race_options(
        campaign, races_automatically=True, min_effect=0.5, now=at(next(SECONDS))
    )
    assert campaign.kept_runs == 0
    run_all(campaign, value, most=1)
    race = Race.objects.get()
    assert (race.min_effect, race.runs_allowed) == (0.5, KEPT)
    assert done(campaign).task_count == TASKS + 9


def test_switched_off_while_its_race_runs_the_race_goes_on_with_its_kept_runs() -> None:
    campaign = racing(40)  # 12 runs are kept, of which a race of three takes 9 at first
    cancel_open_tasks(campaign.tasks.filter(number__gt=2), now=at(1), actor=lifecycle.SERVER)
    run_all(campaign, value, most=3)
    lifecycle.set_race_options(campaign, races_automatically=False, now=at(next(SECONDS)))
    assert campaign.kept_runs == 3
    run_all(campaign, value)
    assert Race.objects.get().outcome == RaceOutcome.CHAMPION


def test_a_race_that_ends_early_gives_up_its_runs_at_once() -> None:
    campaign = racing(40, min_effect=9.0)
    cancel_open_tasks(campaign.tasks.filter(number__gt=2), now=at(1), actor=lifecycle.SERVER)
    run_all(campaign, equal, most=3)
    lifecycle.add_tasks(campaign, 1, now=at(next(SECONDS)))
    assert progress(campaign) == (28, 28 + 9 + 1 + 3)
    run_all(campaign, equal, most=9)
    assert Race.objects.get().outcome == RaceOutcome.TIE
    assert progress(campaign) == (28 + 9, 28 + 9 + 1)


def test_a_campaign_without_room_for_a_race_completes_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = by_hand()
    lifecycle.set_race_options(campaign, races_automatically=True, now=at(1))
    monkeypatch.setattr("campaigns.lifecycle.race_due.MAX_TASKS", TASKS + KEPT - 1)
    run_all(campaign, value)
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED


def test_a_race_by_hand_among_others_does_not_change_whom_added_arms_race() -> None:
    campaign = raced()
    lifecycle.start_race(campaign, [18, 19], seeds=3, now=at(next(SECONDS)))
    run_all(campaign, value)
    lifecycle.add_tasks(campaign, 1, now=at(next(SECONDS)))
    run_all(campaign, best_of_all, most=1)
    assert Race.objects.latest("number").arms == [20, 21]


def test_a_paused_campaign_that_waits_for_its_race_completes_when_that_is_switched_off() -> None:
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value, most=2)
    last = claim_one(worker(), now=at(next(SECONDS)))
    lifecycle.pause(campaign, now=at(next(SECONDS)))
    factories.finish(last, value(last.task), now=at(next(SECONDS)))
    lifecycle.set_race_options(campaign, races_automatically=False, now=at(next(SECONDS)))
    assert campaign.state == CampaignState.COMPLETED


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "races_automatically"),
        ({"min_effect": -0.1}, "min_effect"),
        ({"min_effect": float("nan")}, "min_effect"),
        ({"min_effect": 1_001.0}, "min_effect"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], field: str) -> None:
    campaign = active_campaign(1)
    with pytest.raises(InvalidCampaign) as refused:
        lifecycle.set_race_options(campaign, now=at(1), **options)
    assert list(refused.value.errors) == [field]
    if options:
        with pytest.raises(InvalidCampaign):
            factories.campaign(**options)


def test_the_options_of_a_campaign_that_has_ended_stay() -> None:
    campaign = active_campaign(1)
    run_all(campaign)
    with pytest.raises(WrongState, match="Let arms race by hand, or add tasks first"):
        lifecycle.set_race_options(campaign, races_automatically=True, now=at(next(SECONDS)))


def test_a_race_by_hand_looks_for_the_smallest_difference_of_its_campaign() -> None:
    campaign = active_campaign(2, min_effect=0.3)
    assert lifecycle.start_race(campaign, [0, 1], now=at(1)).min_effect == 0.3


def test_the_purpose_of_its_runs_is_the_race() -> None:
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value, most=3)
    assert campaign.tasks.filter(purpose=TaskPurpose.RACE).count() == KEPT
    fail(claim_one(worker(), now=at(next(SECONDS))), now=at(next(SECONDS)))
    invariants.check()
