"""The tab with a campaign's races, and its CSV."""

from __future__ import annotations

import csv
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import jobs, lifecycle
from campaigns.models import Campaign, FailureClass, Race
from tests import factories
from tests.arms.test_races import run_all, screened

pytestmark = pytest.mark.django_db


def url_of(campaign: Campaign, number: int | None = None) -> str:
    if number is None:
        return reverse("campaign-races", args=[campaign.pk])
    return reverse("campaign-race-page", args=[campaign.pk, number])


def page_of(client: Client, campaign: Campaign, number: int | None = None) -> str:
    """Return what the page shows, with its spaces made single."""
    response = client.get(url_of(campaign, number))
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.text)


def raced(arms: int = 3, seeds: int = 12, **fields: Any) -> Race:
    campaign = screened(arms, **fields)
    race = lifecycle.start_race(campaign, range(arms), seeds=seeds, now=factories.at(100))
    run_all(campaign)
    race.refresh_from_db()
    return race


def test_a_race_is_a_strip_for_each_arm_with_the_leader_first(client: Client) -> None:
    race = raced()
    page = page_of(client, race.campaign)
    assert "Arm 0 is ahead of the 2 arms it raced" in page
    assert page.index('id="strip-0"') < page.index('id="strip-1"') < page.index('id="strip-2"')
    assert "proven behind arm 0 at look 1" in page
    # The leader has run all its seeds, the others only those of the first look. One more is in
    # the key; the second rival lies beyond the scale.
    assert page.count('class="dot"') == 12 + 3 + 1
    assert page.count('<svg class="far"') == 3
    assert "<title>s1: +0.2000 (3.2100 less 3.0100)</title>" in page
    assert "Look 1: median +0.2000 of 3 seeds, bound ± 0.0" in page
    assert 'aria-label="Arm 1, proven behind arm 0 at look 1: 3 differences, median +0.2000' in page


def test_an_earlier_race_has_an_own_address_and_is_in_the_list(client: Client) -> None:
    race = raced()
    campaign = race.campaign
    lifecycle.start_race(campaign, [1, 2], seeds=3, now=factories.at(5_000))
    latest = page_of(client, campaign)
    assert "Race 2 " in latest
    assert f'href="{url_of(campaign, 1)}"' in latest
    assert "champion, 3 arms" in latest
    assert "Arm 0 is ahead" in page_of(client, campaign, 1)
    assert client.get(url_of(campaign, 3)).status_code == 404
    assert client.get(url_of(campaign, 10**12)).status_code == 404


def test_arms_newer_than_a_race_are_ticked_with_its_champion(client: Client) -> None:
    race = factories.decided_race(owner=(owner := factories.user()))
    lifecycle.add_tasks(race.campaign, 1, now=factories.at(100))
    factories.run(3.01, seconds=110)
    client.force_login(owner)
    page = page_of(client, race.campaign)
    assert "Arm 2 is newer than the last race: ticked with its champion, arm 0." in page
    ticked = re.findall(r'name="arms" value="(\d+)" checked', page)
    assert ticked == ["0", "2"]
    # The button of the campaign's page lets the same arms race.
    first_page = client.get(race.campaign.get_absolute_url()).text
    assert "Race the newer arm against the champion" in first_page


def test_a_race_says_when_it_began_and_ended(client: Client) -> None:
    race = raced()
    assert race.ended_at is not None
    ended = f'ended <time class="nowrap" datetime="{race.ended_at.isoformat()}"'
    assert ended in page_of(client, race.campaign)
    lifecycle.start_race(race.campaign, [1, 2], seeds=3, now=factories.at(5_000))
    began = f'began <time class="nowrap" datetime="{factories.at(5_000).isoformat()}"'
    assert began in page_of(client, race.campaign)


def test_a_running_race_says_what_its_next_look_waits_for(client: Client) -> None:
    campaign = screened()
    lifecycle.start_race(campaign, [0, 1], seeds=3, now=factories.at(100))
    run_all(campaign, most=2)
    factories.claim_one(factories.runner(), now=factories.at(900))
    page = page_of(client, campaign)
    assert "Look 1 comes when its last run has ended: 2 of 6 runs are in, 1 run now, 3 wait" in page
    assert "no look has decided yet who leads" in page
    assert page.count('class="waiting runs"') == 1
    assert "data-live=" in page
    lifecycle.pause(campaign, now=factories.at(901))
    assert "no look is decided" in page_of(client, campaign)


def test_runs_without_a_value_are_drawn_as_what_they_say(client: Client) -> None:
    campaign = screened(max_failed_attempts=1)
    lifecycle.start_race(campaign, [0, 1], seeds=12, now=factories.at(100))
    for task in campaign.tasks.filter(state="pending").order_by("number"):
        attempt = factories.claim_one(factories.runner(), now=factories.at(200 + task.number))
        index, arm = attempt.task.seed_index, attempt.task.arm.number
        if (arm, index) == (1, 1):
            factories.fail(attempt, FailureClass.OOM, now=factories.at(300))
        elif (arm, index) == (1, 2):
            lifecycle.cancel_task(attempt.task, now=factories.at(300))
        else:
            factories.finish(attempt, 3.0 + arm / 100, now=factories.at(300))
    page = page_of(client, campaign)
    assert "it failed here for reasons of its params: infinitely far behind" in page
    assert "missing: a run of the pair ended without a value" in page
    assert page.count('<svg class="infeasible"') == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "None begins by itself here"),
        ({"shares_seeds": False}, "share no seeds, so no two of them can be compared"),
        ({"races_automatically": True}, "in campaigns of 30 tasks or more; this one has 3"),
    ],
)
def test_without_a_race_the_page_says_what_one_is_and_what_would_start_it(
    client: Client, fields: dict[str, Any], sentence: str
) -> None:
    page = page_of(client, factories.active_campaign(3, **fields))
    assert "In a race a few arms run on the same fresh seeds" in page
    assert sentence in page


def test_runs_that_are_kept_for_a_race_are_named(client: Client) -> None:
    campaign = factories.active_campaign(30, races_automatically=True)
    assert "9 runs are kept for it" in page_of(client, campaign)


def test_what_nobody_measured_never_races(client: Client) -> None:
    campaign = factories.active_campaign(2, allow_simulated=True)
    factories.run(3.0, simulated=True)
    assert "what nobody measured never races" in page_of(client, campaign)


def test_the_owner_starts_a_race_of_the_first_arms_and_stays_on_the_page(client: Client) -> None:
    owner = factories.user()
    campaign = screened(4, owner=owner)
    assert "new-race" not in page_of(client, campaign)
    client.force_login(owner)
    page = page_of(client, campaign)
    assert page.count('name="arms"') == 4
    assert page.count(" checked>") == 3
    form = {"arms": ["0", "1"], "seeds": "3", "from_races": "1"}
    response = client.post(reverse("campaign-race", args=[campaign.pk]), form, follow=True)
    assert response.redirect_chain == [(url_of(campaign), 302)]
    assert "Race 1 began" in response.text
    assert "0 of 6 runs are in" in response.text


def test_after_a_tie_the_form_offers_its_arms_and_the_seeds_that_would_tell(
    client: Client,
) -> None:
    owner = factories.user()
    campaign = screened(4, owner=owner)
    values = iter([0.0, 0.3, 0.6, 0.35, 0.05, 0.3] + [0.1] * 100)
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=factories.at(100))
    run_all(campaign, lambda _: 3.0 + next(values))
    race.refresh_from_db()
    assert race.outcome == "tie"
    client.force_login(owner)
    page = page_of(client, campaign)
    assert page.count(" checked>") == 2
    decision = race.decisions.get()
    seeds = min(max(12, decision.seeds_to_separate or 0), 1_000)
    assert f'value="{seeds}" required' in page


def test_the_csv_has_every_difference_of_the_race(client: Client) -> None:
    race = raced()
    url = reverse("campaign-race-csv", args=[race.campaign_id, 1])
    assert f'href="{url}"' in page_of(client, race.campaign)
    rows = list(csv.DictReader(client.get(url).getvalue().decode().splitlines()))
    assert len(rows) == 12 + 3 + 3
    (row,) = [row for row in rows if (row["arm"], row["seed_index"]) == ("1", "2")]
    assert float(row["difference"]) == pytest.approx(0.2)
    assert (row["compared_with"], row["look"], row["state"]) == ("0", "1", "value")
    assert float(row["value"]) - float(row["reference_value"]) == pytest.approx(0.2)
    assert client.get(reverse("campaign-race-csv", args=[race.campaign_id, 9])).status_code == 404


def test_of_very_many_seeds_a_mark_stands_for_several(client: Client) -> None:
    campaign = screened(2)
    lifecycle.start_race(campaign, [0, 1], seeds=200, now=factories.at(100))
    run_all(campaign, lambda task: 3.0 + task.arm.number + (task.seed_index or 0) / 1_000, most=60)
    page = page_of(client, campaign)
    assert "are too many for a table" in page
    assert page.count('class="bundle"') <= 2 * 50


def test_the_tab_costs_few_queries_however_many_arms(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    owner = factories.user()
    campaign = screened(12, owner=owner)
    lifecycle.start_race(campaign, range(12), seeds=3, now=factories.at(100))
    run_all(campaign, most=20)
    client.force_login(owner)
    page_of(client, campaign)
    with django_assert_max_num_queries(12):
        page_of(client, campaign)


def test_the_page_plans_the_seeds_that_a_difference_takes(client: Client) -> None:
    owner = factories.user()
    race = raced(owner=owner)
    client.force_login(owner)
    jobs.keep_noise_floors()
    Campaign.objects.filter(pk=race.campaign_id).update(revision=1_000)
    url = url_of(race.campaign)
    page = client.get(url, {"delta": "0.02"}).text
    sentence = re.search(r"To see 0.02 bits/byte here you need (\d+) seeds of each", page)
    assert sentence is not None
    assert f'value="{sentence[1]}" required' in page
    for nonsense in ("", "much", "-1", "nan", "1e999", "0"):
        assert "To see 0.01 bits/byte here" in client.get(url, {"delta": nonsense}).text
