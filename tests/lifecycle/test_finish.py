"""When a campaign of an outside program completes: by `finish`, or an hour after its last ask."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import WrongState
from campaigns.models import Attempt, Campaign, CampaignState, Race, Webhook, WebhookDelivery
from tests import factories, invariants
from tests.factories import at, finish, worker

pytestmark = pytest.mark.django_db

HOUR = 3600.0


def ask(campaign: Campaign, d_model: int, *, now: float) -> Attempt:
    """Ask for one point in the name of an outside program."""
    params = {"lr": 0.001, "d_model": d_model}
    claim = lifecycle.ask(worker(), campaign, claim_id=uuid.uuid4(), params=params, now=at(now))
    return claim.attempts[0]


def asked(**fields: Any) -> Campaign:
    """A campaign whose outside program has told the result of its last ask, at 10 s."""
    campaign = factories.active_campaign(1, **fields)
    factories.run(seconds=1)
    finish(ask(campaign, 128, now=5), 3.1, now=at(10))
    campaign.refresh_from_db()
    return campaign


def test_between_two_asks_a_campaign_stays_active() -> None:
    campaign = asked()
    assert (campaign.state, campaign.asked_at) == (CampaignState.ACTIVE, at(5))
    assert lifecycle.finish_done_campaigns(now=at(5 + HOUR - 1)) == 0


def test_an_hour_after_the_last_ask_the_sweep_completes_it() -> None:
    campaign = asked()
    assert lifecycle.finish_done_campaigns(now=at(5 + HOUR)) == 1
    campaign.refresh_from_db()
    assert (campaign.state, campaign.asked_at) == (CampaignState.COMPLETED, None)


def test_a_result_that_comes_after_that_hour_completes_it_at_once() -> None:
    campaign = factories.active_campaign(1)
    factories.run(seconds=1)
    attempt = ask(campaign, 128, now=5)
    Campaign.objects.update(asked_at=at(10 - HOUR))
    finish(attempt, 3.1, now=at(10))
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED


def test_who_only_takes_what_waits_keeps_no_campaign_waiting() -> None:
    campaign = factories.active_campaign(1)
    claim = lifecycle.ask(worker(), campaign, claim_id=uuid.uuid4(), now=at(1))
    finish(claim.attempts[0], now=at(2))
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED


def test_finish_completes_it_at_once_and_the_journal_names_the_person() -> None:
    owner = factories.user("ada")
    campaign = asked(owner=owner)
    lifecycle.finish(campaign, now=at(20), actor=lifecycle.person(owner))
    assert campaign.state == CampaignState.COMPLETED
    change = campaign.changes.filter(subject="campaign").latest("pk")
    assert (change.actor_name, change.reason) == ("ada", "Nobody will ask again.")
    invariants.check()


def test_finish_lets_open_tasks_end_first() -> None:
    campaign = asked()
    attempt = ask(campaign, 256, now=11)
    lifecycle.finish(campaign, now=at(12))
    assert (campaign.state, campaign.asked_at) == (CampaignState.ACTIVE, None)
    finish(attempt, now=at(13))
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED


def test_a_later_ask_makes_it_active_again_and_it_waits_again() -> None:
    campaign = asked()
    lifecycle.finish(campaign, now=at(20))
    finish(ask(campaign, 256, now=30), now=at(31))
    campaign.refresh_from_db()
    assert (campaign.state, campaign.asked_at) == (CampaignState.ACTIVE, at(30))


def test_a_race_begins_only_when_nobody_will_ask_again_and_the_end_is_told_once() -> None:
    space = {"parameters": [{"name": "d_model", "type": "int", "low": 1, "high": 500}]}
    campaign = factories.active_campaign(30, search_space=space, races_automatically=True)
    Webhook.objects.create(
        owner=factories.user(),
        url="https://example.org/",
        secret="for-tests",
        events=["campaign_finished"],
    )
    claim = lifecycle.ask(
        factories.runner(), campaign, claim_id=uuid.uuid4(), params={"d_model": 499}, now=at(1)
    )
    finish(claim.attempts[0], 2.9, now=at(2))
    for number in range(campaign.tasks.filter(state="pending").count()):
        factories.run(3.0 + number, seconds=3)
    assert not Race.objects.exists()
    lifecycle.finish(campaign, now=at(4))
    race = Race.objects.get()
    assert (campaign.state, race.arms[0]) == (
        CampaignState.ACTIVE,
        claim.attempts[0].task.arm.number,
    )
    assert not WebhookDelivery.objects.exists()
    while attempt := factories.claim(factories.runner(), now=at(5)).attempts:
        finish(attempt[0], 3.0 + attempt[0].task.arm.number)
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED
    assert WebhookDelivery.objects.count() == 1


def test_a_campaign_that_no_program_asks_cannot_be_finished() -> None:
    campaign = factories.active_campaign(1)
    with pytest.raises(WrongState, match="No outside program adds tasks"):
        lifecycle.finish(campaign, now=at(1))


@pytest.mark.parametrize("state", ["draft", "completed", "cancelled"])
def test_only_a_running_campaign_can_be_finished(state: str) -> None:
    campaign = asked()
    Campaign.objects.filter(pk=campaign.pk).update(state=state)
    with pytest.raises(WrongState, match=f"The campaign is {state}"):
        lifecycle.finish(campaign, now=at(20))
