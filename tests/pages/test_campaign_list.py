"""The list of campaigns: search, filters, order, pages and polling."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from campaigns.standings.pace import FEW
from campaigns.views.campaigns import CAMPAIGNS_PER_PAGE
from tests import factories

pytestmark = pytest.mark.django_db


def listed(client: Client, **query: object) -> str:
    return client.get(reverse("campaigns"), query).text


def test_an_empty_list_says_what_a_campaign_is_and_how_to_make_one(client: Client) -> None:
    page = listed(client)
    assert "There is no campaign yet" in page
    assert reverse("campaign-new") in page


def test_each_campaign_shows_state_progress_and_best_value(client: Client) -> None:
    worker = factories.worker()
    factories.active_campaign(2, name="lr and width")
    factories.finish(factories.claim_one(worker), 3.4567)
    page = listed(client)
    assert "lr and width" in page
    assert "3.4567" in page
    assert "1 / 2" in page
    assert "active" in page


def test_it_is_searched_by_a_part_of_the_name(client: Client) -> None:
    factories.campaign(name="width study")
    factories.campaign(name="depth study")
    page = listed(client, q="WIDTH")
    assert "width study" in page
    assert "depth study" not in page


def test_it_is_filtered_by_state(client: Client) -> None:
    factories.campaign(name="still a draft")
    factories.active_campaign(name="runs already")
    page = listed(client, state="active")
    assert "runs already" in page
    assert "still a draft" not in page


@pytest.mark.parametrize("query", ["nothing like it", "\0"])
def test_a_search_without_a_hit_offers_the_way_back(client: Client, query: str) -> None:
    factories.campaign(name="a" if query == "\0" else "something")
    page = listed(client, q=query, state="paused")
    assert "No campaign matches" in page


def test_htmx_gets_the_table_alone(client: Client) -> None:
    response = client.get(reverse("campaigns"), headers={"HX-Request": "true"})
    assert response.text.strip().startswith("<section")


def test_many_campaigns_come_in_pages_that_keep_the_filter(client: Client) -> None:
    for number in range(CAMPAIGNS_PER_PAGE + 1):
        factories.campaign(name=f"study {number:03}", now=factories.at(number))
    first, second = listed(client, q="study"), listed(client, q="study", page=2)
    assert "study 020" in first
    assert "study 000" not in first
    assert "?q=study&amp;page=2" in first
    assert "study 000" in second


@pytest.mark.parametrize("page", ["0", "-3", "999", "many"])
def test_a_page_number_that_makes_no_sense_still_shows_campaigns(client: Client, page: str) -> None:
    factories.campaign(name="the only one")
    assert "the only one" in listed(client, page=page)


def test_its_queries_do_not_grow_with_the_campaigns(
    client: Client, django_assert_max_num_queries
) -> None:
    client.force_login(factories.user())
    # The pace of a few campaigns is one query, of more it is two, however many they are.
    for _ in range(FEW + 1):
        factories.active_campaign(owner=factories.user())
    with django_assert_max_num_queries(12) as few:
        client.get(reverse("campaigns"))
    for _ in range(7):
        factories.completed_task(owner=factories.user())
    with django_assert_max_num_queries(len(few)):
        client.get(reverse("campaigns"))


def test_it_is_filtered_by_owner_and_experiment(client: Client) -> None:
    factories.campaign(name="hers", owner=factories.user("ada"))
    factories.campaign(name="his", owner=factories.user("bob"))
    page = listed(client, owner="ada")
    assert "hers" in page
    assert "<bdi>his<" not in page
    assert '<option value="ada" selected>' in page
    assert "hers" in listed(client, experiment="train_char_lm")
    assert "No campaign matches" in listed(client, experiment="another")


def names(page: str) -> list[str]:
    return re.findall(r'id="campaign-\d+"[^>]*><bdi>(.*?)</bdi>', page)


def test_it_is_sorted_by_any_column_and_what_is_unknown_comes_last(client: Client) -> None:
    worker = factories.worker()
    for number, value in enumerate((3.2, None, 3.1)):
        factories.active_campaign(1, name=f"study {number}", now=factories.at(number))
        attempt = factories.claim_one(worker, now=factories.at(number))
        if value:
            factories.finish(attempt, value)
    assert names(listed(client)) == ["study 2", "study 1", "study 0"]
    assert names(listed(client, sort="name")) == ["study 0", "study 1", "study 2"]
    assert names(listed(client, sort="best")) == ["study 2", "study 0", "study 1"]
    assert names(listed(client, sort="-best")) == ["study 0", "study 2", "study 1"]
    assert 'aria-sort="descending"' in listed(client, sort="-best")
    assert names(listed(client, sort="owner__password")) == names(listed(client))


def test_a_list_without_running_campaigns_does_not_poll(client: Client) -> None:
    factories.campaign()
    assert "data-live=" not in listed(client)
    factories.active_campaign()
    assert "data-live=" in listed(client)
