"""The tab that says what counts, and how far the values can be believed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import jobs, lifecycle
from campaigns.models import Campaign, Result
from tests import factories
from tests.standings.test_noise import repeated

pytestmark = pytest.mark.django_db


def page_of(client: Client, campaign: Campaign, query: str = "") -> str:
    """Return what the page shows, without tags, its spaces made single."""
    response = client.get(reverse("campaign-honesty", args=[campaign.pk]) + query)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))


def mixed() -> Campaign:
    campaign = factories.active_campaign(6, max_failed_attempts=1)
    for second in range(3):
        factories.run(3.0 + second / 8, seconds=second)
    factories.run(None, seconds=4)
    factories.fail(factories.claim_one(factories.runner(), now=factories.at(60)))
    return campaign


def test_the_numbers_add_up_and_each_reason_has_its_list(client: Client) -> None:
    campaign = mixed()
    page = page_of(client, campaign)
    assert "5 runs: 3 counted + 2 not counted." in page
    assert "1 more is open" in page
    assert "Of the failures: 1 × script error" in page
    listed = page_of(client, campaign, "?rows=diverged")
    assert "1 run: diverged" in listed
    assert "The loss became NaN or infinite" in listed
    assert "3 runs: counted" in page_of(client, campaign, "?rows=counted")
    assert "Close this list" not in page_of(client, campaign, "?rows=nonsense")


def test_a_count_links_to_its_runs(client: Client) -> None:
    campaign = mixed()
    url = reverse("campaign-honesty", args=[campaign.pk])
    html = client.get(url).text
    for name in ("counted", "diverged", "failed"):
        assert f'href="{url}?rows={name}#rows"' in html
        assert 'id="rows-frame"' in client.get(f"{url}?rows={name}").text


def test_a_list_has_pages(client: Client) -> None:
    campaign = factories.active_campaign(53)
    for number in range(52):
        factories.run(3.0 + number / 100, seconds=number)
    assert "Page 1 of 2" in page_of(client, campaign, "?rows=counted")
    second = page_of(client, campaign, "?rows=counted&page=2")
    assert "3.5100" in second
    assert "3.0100" not in second


def test_the_noise_of_a_class_is_drawn_with_its_pairs(client: Client) -> None:
    campaign = repeated(arms=6, seeds=6)
    assert "Unknown: no arm of this class has two seeds" in page_of(client, campaign)
    jobs.keep_noise_floors()
    page = page_of(client, campaign)
    assert "(s.d.) from 18 replicate pairs" in page
    html = client.get(reverse("campaign-honesty", args=[campaign.pk])).text
    picture = html[html.index('class="pair-dots"') : html.index("</svg>", html.index("pair-dots"))]
    assert picture.count("<circle") == 18


def test_first_seeds_stand_beside_the_races(client: Client) -> None:
    race = factories.decided_race()
    page = page_of(client, race.campaign)
    assert "arms that raced" in page
    html = client.get(reverse("campaign-honesty", args=[race.campaign_id])).text
    assert html.count('class="slope"') == 2
    assert "No arm has raced yet" in page_of(client, factories.active_campaign(3))


def test_disturbed_runs_and_foreign_load_are_told(client: Client) -> None:
    campaign = mixed()
    Result.objects.filter(value=3.0).update(
        disturbed=True, step_seconds=0.3, expected_step_seconds=0.1, foreign_load=1.5
    )
    page = page_of(client, campaign)
    assert "1 of 4 measured runs was disturbed" in page
    assert "3.0 ×" in page
    assert "1 to 2 1 2 to 4 0" in page
    assert "No arm was too slow" in page
    assert "1 run: disturbed" in page_of(client, campaign, "?rows=disturbed")


def test_an_empty_campaign_says_so(client: Client) -> None:
    page = page_of(client, factories.active_campaign(3))
    assert "0 runs: 0 counted + 0 not counted." in page
    assert "Nothing is measured yet." in page
    draft = factories.campaign()
    assert "0 runs: 0 counted" in page_of(client, draft)


def test_the_tab_costs_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(8, owner=owner)
    for second in range(6):
        factories.run(3.0 + second / 8, seconds=second)
    lifecycle.start_race(campaign, [0, 1], seeds=3, now=factories.at(90))
    client.force_login(owner)
    page_of(client, campaign, "?rows=counted")
    with django_assert_max_num_queries(12):
        page_of(client, campaign, "?rows=counted")
