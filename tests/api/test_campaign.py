"""campaigns/<id>: a campaign and its verbs."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign, CampaignState, TaskState
from tests import factories
from tests.clients import researcher_client

pytestmark = pytest.mark.django_db


def url(campaign: Campaign, verb: str = "") -> str:
    return f"/api/v1/campaigns/{campaign.pk}" + (f"/{verb}" if verb else "")


def test_a_campaign_shows_its_search_space_and_how_far_it_is() -> None:
    campaign = factories.active_campaign(4)
    factories.finish(factories.claim_one(factories.worker()), 2.5)
    factories.claim_one(factories.worker())

    reply = APIClient().get(url(campaign)).json()

    assert reply["search_space"] == campaign.search_space
    assert reply["best_val_bpb"] == 2.5
    progress = reply["progress"]
    assert (progress["pending"], progress["leased"], progress["completed"]) == (2, 1, 1)
    assert (progress["total"], progress["done"], progress["fraction"]) == (4, 1, 0.25)
    assert progress["failure_classes"] == {}


@pytest.mark.parametrize("pk", ["0", "999", "9" * 30, "9" * 5000])
def test_a_campaign_that_is_not_there_is_not_found(pk: str) -> None:
    answer = APIClient().get(f"/api/v1/campaigns/{pk}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_an_owner_takes_a_campaign_through_its_life() -> None:
    client, owner = researcher_client()
    campaign = factories.campaign(owner=owner, task_count=2)

    launched = client.post(url(campaign, "launch"))
    paused = client.post(url(campaign, "pause"), {"reason": "the lab is warm"})
    resumed = client.post(url(campaign, "resume"))
    cancelled = client.post(url(campaign, "cancel"), {"reason": "answered"})

    answers = [launched, paused, resumed, cancelled]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.json()["state"] for answer in answers] == [
        "active",
        "paused",
        "active",
        "cancelled",
    ]
    assert launched.json()["progress"]["pending"] == 2
    assert paused.json()["state_reason"] == "the lab is warm"
    assert cancelled.json()["state_reason"] == "answered"
    assert {task.state for task in campaign.tasks.all()} == {TaskState.CANCELLED}


@pytest.mark.parametrize("verb", ["launch", "pause", "resume", "cancel"])
def test_a_verb_in_the_wrong_state_is_a_conflict_that_names_the_state(verb: str) -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    lifecycle.cancel(campaign, now=factories.at(1))

    answer = client.post(url(campaign, verb))

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert "cancelled" in answer.json()["message"]


@pytest.mark.parametrize("verb", ["launch", "pause", "resume", "cancel"])
def test_only_the_owner_and_staff_change_a_campaign(verb: str) -> None:
    stranger, _ = researcher_client()
    staff, _ = researcher_client(factories.user(is_staff=True))
    campaign = factories.campaign(owner=factories.user())
    start = {"launch": CampaignState.DRAFT, "resume": CampaignState.PAUSED}
    Campaign.objects.filter(pk=campaign.pk).update(state=start.get(verb, CampaignState.ACTIVE))

    assert APIClient().post(url(campaign, verb)).status_code == 401
    refused = stranger.post(url(campaign, verb))
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert staff.post(url(campaign, verb)).status_code == 200


def test_a_campaign_without_an_owner_belongs_to_staff_alone() -> None:
    client, _ = researcher_client()
    campaign = factories.campaign(owner=None)

    assert client.post(url(campaign, "launch")).status_code == 403


def test_a_reason_that_is_no_text_is_refused() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)

    answer = client.post(url(campaign, "pause"), {"reason": 5})

    assert answer.status_code == 400
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.ACTIVE
