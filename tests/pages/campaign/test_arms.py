"""The board of arms on a campaign's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories

pytestmark = pytest.mark.django_db


def page_of(client: Client, campaign: Any, query: str = "") -> str:
    return client.get(campaign.get_absolute_url() + query).text


def test_the_address_that_the_board_had_leads_to_it(client: Client) -> None:
    campaign = factories.active_campaign(1)
    response = client.get(reverse("campaign-arms", args=[campaign.pk]))
    assert response["Location"] == campaign.get_absolute_url()


def test_arms_that_never_raced_have_no_rank_and_nothing_is_claimed_of_them(client: Client) -> None:
    campaign = factories.active_campaign(2)
    factories.run(3.25, seconds=1)
    factories.run(3.125, seconds=2)
    page = page_of(client, campaign)
    assert (
        "Nothing has raced</strong>: each of the 2 arms with a value has it from its first seed"
        in page
    )
    assert page.index("3.1250") < page.index("3.2500")
    assert "one seed only, which proves nothing" in page
    assert "ahead" not in page


def test_a_champion_stands_first_with_its_value_its_uncertainty_and_its_seeds(
    client: Client,
) -> None:
    race = factories.decided_race()
    page = page_of(client, race.campaign)
    assert "Arm 0 is ahead of the arm it raced</strong>, of 2 in the campaign" in page
    assert page.index("champion") < page.index("behind")
    assert "± " in page
    first = race.campaign.tasks.get(number=0)
    assert f'href="{first.get_absolute_url()}"' in page


def test_the_board_has_pages_and_a_fragment_that_refreshes(client: Client) -> None:
    campaign = factories.active_campaign(60)
    for number in range(55):
        factories.run(3.0 + number / 100, seconds=number)
    assert "Page 1 of 2" in page_of(client, campaign)
    assert "3.5400" in page_of(client, campaign, "?page=2")
    response = client.get(campaign.get_absolute_url(), headers={"HX-Request": "true"})
    assert "data-live=" in response.text
    assert "<html" not in response.text


def test_the_tab_costs_few_queries_however_many_arms(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    campaign = factories.active_campaign(30)
    for number in range(30):
        factories.run(3.0 + number / 100, seconds=number)
    page_of(client, campaign)
    with django_assert_max_num_queries(9):
        page_of(client, campaign)


def test_the_owner_lets_ticked_arms_race_and_sees_them_in_the_race(client: Client) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(3, owner=owner)
    for number in range(3):
        factories.run(3.0 + number, seconds=number)
    client.force_login(owner)
    assert 'id="pick-2"' in page_of(client, campaign)
    url = reverse("campaign-race", args=[campaign.pk])
    page = client.post(url, {"arms": ["0", "2"], "seeds": "3"}, follow=True).text
    assert "Race 1 began: 2 arms on the same fresh seeds." in page
    assert "A race runs. Its first look comes when every arm has run on 3 seeds." in page
    assert campaign.tasks.filter(purpose="race").count() == 6


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"arms": ["0"], "seeds": "3"}, "must be 2 to 100 different arms"),
        ({"arms": ["0", "x"], "seeds": "3"}, "must be a whole number"),
        ({"arms": ["0", "9" * 40], "seeds": "3"}, "is no arm of this campaign"),
        ({"arms": ["0", "1"], "seeds": "2"}, "must be from 3 to 1000"),
        ({"arms": ["0", "1"]}, "must be a whole number"),
        ({"seeds": "3"}, "must be 2 to 100 different arms"),
    ],
)
def test_a_race_that_cannot_be_is_refused_with_the_reason(
    client: Client, form: dict[str, Any], sentence: str
) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(2, owner=owner)
    client.force_login(owner)
    url = reverse("campaign-race", args=[campaign.pk])
    page = client.post(url, form, follow=True).text
    assert "No race began." in page
    assert sentence in page
    assert campaign.tasks.count() == 2


def test_others_see_no_button_and_may_not_start_a_race(client: Client) -> None:
    campaign = factories.active_campaign(2, owner=factories.user())
    factories.run(3.0, seconds=1)
    client.force_login(factories.user())
    assert "race-button" not in page_of(client, campaign)
    url = reverse("campaign-race", args=[campaign.pk])
    assert client.post(url, {"arms": ["0", "1"], "seeds": "3"}).status_code == 403


def test_the_owner_chooses_how_the_arms_race(client: Client) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(30, owner=owner, races_automatically=True)
    plan = "21 runs, and 9 kept for the race of the best"
    assert plan in page_of(client, campaign)
    assert "race-options-dialog" not in page_of(client, campaign)
    client.force_login(owner)
    assert 'id="races-automatically" checked' in page_of(client, campaign)
    url = reverse("campaign-race-options", args=[campaign.pk])
    page = client.post(url, {"min_effect": "0.05"}, follow=True).text
    assert "The race options are saved." in page
    assert 'value="0.05"' in page
    assert plan not in page
    campaign.refresh_from_db()
    assert (campaign.races_automatically, campaign.task_count) == (False, 21)


@pytest.mark.parametrize("text", ["", "much", "nan", "-1", "1e999"])
def test_a_smallest_difference_that_makes_no_sense_is_refused(client: Client, text: str) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(1, owner=owner)
    client.force_login(owner)
    url = reverse("campaign-race-options", args=[campaign.pk])
    page = client.post(url, {"min_effect": text}, follow=True).text
    assert (
        "The race options stay as they were. The smallest difference that matters must be" in page
    )


def test_ticked_arms_run_again_all_or_none(client: Client) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(3, owner=owner)
    client.force_login(owner)
    url = reverse("campaign-again", args=[campaign.pk])
    page = client.post(url, {"arms": ["0", "2"], "times": "2"}, follow=True).text
    assert "Added 4 runs." in page
    assert sorted(
        campaign.tasks.filter(seed_index__gte=1).values_list("arm__number", "seed_index")
    ) == [
        (0, 1),
        (0, 2),
        (2, 1),
        (2, 2),
    ]
    for form, sentence in (
        ({"arms": ["0", "77"], "times": "1"}, "must be arms of this campaign"),
        ({"arms": ["0", "9" * 40], "times": "1"}, "must be arms of this campaign"),
        ({"arms": ["x"], "times": "1"}, "must be a whole number"),
        ({"arms": ["0"], "times": "0"}, "No run was added."),
        ({"arms": ["0"]}, "must be a whole number"),
        ({"times": "1"}, "must be 1 to 50 arms"),
    ):
        page = client.post(url, form, follow=True).text
        assert "No run was added." in page
        assert sentence in page
    assert campaign.tasks.count() == 7
    client.force_login(factories.user())
    assert client.post(url, {"arms": ["0"], "times": "1"}).status_code == 403
