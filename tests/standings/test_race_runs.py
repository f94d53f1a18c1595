"""What a race reads: the noise floor of a campaign, and the runs of a race."""

from __future__ import annotations

import pytest

from campaigns.lifecycle.arms import next_task_number
from campaigns.models import Campaign, Task, TaskPurpose
from campaigns.race.rows import Floor
from campaigns.standings.classes import default_class
from campaigns.standings.noise import noise_floor, refresh
from campaigns.standings.race_runs import race_runs
from tests import factories

pytestmark = pytest.mark.django_db


def replayed(campaign: Campaign) -> Task:
    """Run arm 0 once more on the first race seed, with a value far away."""
    task = campaign.tasks.get(arm__number=0, seed_index=1)
    task.pk, task.number, task.purpose = None, next_task_number(campaign), TaskPurpose.REPLAY
    task.state, task.finished_at = "pending", None
    task.save(force_insert=True)
    Campaign.objects.filter(pk=campaign.pk).update(state="active", finished_at=None)
    factories.finish(factories.claim_one(factories.runner(), now=factories.at(9)), 9.0)
    return task


def test_a_campaign_without_repeated_arms_has_no_floor() -> None:
    campaign = factories.active_campaign(2)
    factories.finish(factories.claim_one(factories.runner()))
    assert noise_floor(campaign) == Floor()


def test_a_replay_is_no_further_run_of_its_arm_on_that_seed() -> None:
    race = factories.decided_race()
    campaign = race.campaign
    floor, runs = noise_floor(campaign), race_runs(race)
    assert (floor.pairs, len(runs)) == (2, 6)

    assert replayed(campaign).purpose == TaskPurpose.REPLAY

    assert campaign.tasks.filter(result__value=9.0).count() == 1
    assert race_runs(race) == runs
    of_class = default_class(campaign)
    assert of_class is not None
    again = refresh(of_class)
    assert (again.sd, again.pairs) == (floor.sd, 2)
