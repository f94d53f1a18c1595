"""The hero chart of a campaign's page: its data, its tables, its card, and what is appended."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.charts.hero import MOST_NEW, OVERLAP, hero_label, hero_points
from campaigns.models import Campaign, NoiseFloor
from campaigns.standings.raced import ArmRow
from tests import factories
from tests.pages.charts import hero_data
from workers.models import WorkerSession
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def page_of(client: Client, campaign: Campaign, **query: Any) -> str:
    return client.get(campaign.get_absolute_url(), query).text


def data_of(client: Client, campaign: Campaign, **query: Any) -> dict[str, Any]:
    campaign.refresh_from_db()
    return hero_data(page_of(client, campaign, **query))


def run_all(*values: float | None) -> None:
    for second, value in enumerate(values, start=1):
        factories.run(value, seconds=second)


def rows_of(page: str, table: str) -> list[list[str]]:
    """Return the cells of a table below the chart, row by row."""
    body = re.search(rf'id="{table}".*?<tbody[^>]*>(.*?)</tbody>', page, re.DOTALL)
    assert body
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body[1].split("<tr")[1:]]
    return [[re.sub(r"<[^>]*>", "", cell) for cell in row] for row in cells]


def test_the_page_has_every_ended_task_and_no_plotly(client: Client) -> None:
    campaign = factories.active_campaign(5, max_failed_attempts=1)
    run_all(3.3, 3.1, None)
    now = factories.at(9)
    factories.fail(factories.claim_one(factories.runner(), now=now), FailureClass.OOM, now=now)
    data = data_of(client, campaign)
    points = data["points"]
    assert points["value"] == [33000, 31000, None, None]
    assert (points["kind"], points["device"], points["devices"]) == ("oonx", "aaa-", ["cpu"])
    assert (points["order"], points["at"], data["step"]) == (1, [10, 10, 10, 60], 0.1)
    assert (data["total"], data["since"]) == (4, round(factories.NOW.timestamp()))
    assert list(data["changes"]) == ["1"]
    page = page_of(client, campaign)
    assert "plotly" not in page
    assert "Lowest single run so far: 3.1000 bits/byte, task 1, of 4 ended tasks." in page


def test_without_a_value_that_counts_the_page_says_so(client: Client) -> None:
    campaign = factories.active_campaign(1)
    run_all(None)
    assert "None of 1 ended task has a value that counts." in page_of(client, campaign)
    assert data_of(client, campaign)["band"] is None


def test_before_the_first_result_there_is_no_chart(client: Client) -> None:
    campaign = factories.active_campaign(1)
    assert 'id="hero' not in page_of(client, campaign)
    answer = client.get(reverse("campaign-hero", args=[campaign.pk]))
    assert (answer.status_code, answer.json()) == (200, None)


def test_each_new_best_and_the_latest_tasks_stand_in_tables(client: Client) -> None:
    campaign = factories.active_campaign(4)
    run_all(3.3, 3.1, 3.2, None)
    page = page_of(client, campaign)
    assert rows_of(page, "records-table") == [
        ["1", "3.1000", "2 s", "2", "counts", "cpu"],
        ["0", "3.3000", "1 s", "1", "counts", "cpu"],
    ]
    latest = rows_of(page, "latest-table")
    assert [row[0] for row in latest] == ["3", "2", "1", "0"]
    assert latest[0][4] == "no value: the loss diverged, or the budget was too small"
    assert "came before" not in page
    long = factories.active_campaign(23)
    run_all(*(3.0 - 0.01 * n for n in range(23)))
    page = page_of(client, long)
    assert [row[1] for row in rows_of(page, "records-table")][::19] == ["2.7800", "2.9700"]
    assert "These are the last 20; 3 more came before them." in page


def test_the_class_of_the_address_is_the_one_that_counts(client: Client) -> None:
    campaign = factories.active_campaign(3)
    run_all(3.0, 2.0, 2.5)
    other = factories.in_another_class(campaign.results.filter(value=2.0))
    NoiseFloor.objects.create(result_class=other, sd=0.02, pairs=3, as_of=factories.NOW)
    usual = data_of(client, campaign)
    assert (usual["points"]["kind"], usual["band"], usual["ordered"]) == ("oco", None, True)
    chosen = data_of(client, campaign, **{"class": str(other.pk)})
    assert (chosen["points"]["kind"], chosen["band"]) == ("coc", 0.02)
    both = data_of(client, campaign, **{"class": "all"})
    assert (both["points"]["kind"], both["ordered"]) == ("ooo", False)


def test_the_label_is_the_value_of_the_boards_first_arm(client: Client) -> None:
    campaign = factories.active_campaign(2)
    run_all(3.3)
    page = page_of(client, campaign)
    label = json.loads(
        page.split('<script id="hero-label" type="application/json">')[1].split("<")[0]
    )
    assert label == {
        "arm": 0,
        "value": 3.3,
        "half": None,
        "text": "3.3000",
        "half_text": None,
        "who": "arm 0, one seed",
    }
    race = factories.decided_race()
    label = hero_points(race.campaign, after=0)["label"]
    assert (label["who"], label["value"]) == ("arm 0, 3 seeds", 3.0)


def test_the_label_has_the_interval_of_what_raced(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = factories.active_campaign(1)
    row = ArmRow(1, "champion", 17, {}, 2.44704, 0.00612, 12, False, "", None)
    monkeypatch.setattr("campaigns.charts.hero.arms.rows", lambda *_, **__: [row])
    assert hero_label(campaign) == {
        "arm": 17,
        "value": 2.447,
        "half": 0.0061,
        "text": "2.4470",
        "half_text": "± 0.0061",
        "who": "arm 17, 12 seeds",
    }


def test_pauses_and_workers_are_told_with_their_time(client: Client) -> None:
    campaign = factories.active_campaign(4)
    runner = factories.runner()
    day = factories.NOW
    for since, until in ((-60, 300), (900, None)):
        WorkerSession.objects.create(
            worker=runner,
            boot_id=uuid.uuid4(),
            started_at=factories.at(since),
            last_seen_at=day,
            ended_at=None if until is None else factories.at(until),
        )
    factories.run(3.3, seconds=10)
    lifecycle.pause(campaign, now=factories.at(20))
    campaign.refresh_from_db()
    lifecycle.resume(campaign, now=factories.at(50))
    factories.run(3.2, seconds=1000)
    # After the last point nothing is drawn.
    campaign.refresh_from_db()
    lifecycle.pause(campaign, now=day + dt.timedelta(hours=1))
    data = data_of(client, campaign)
    assert data["events"] == [[20, "paused", 30], [300, "runner gone", 600]]
    assert data["idle"] == [[300, 900]]


def test_an_append_tells_of_a_worker_that_has_gone_without_a_new_point() -> None:
    campaign = factories.active_campaign(9)
    gone = factories.worker("attic")
    factories.finish(factories.claim_one(gone, now=factories.at(0)), 3.0, now=factories.at(1))
    run_all(*(3.0 + n / 100 for n in range(1, 8)))
    for worker, until in ((gone, factories.at(3)), (factories.runner(), None)):
        WorkerSession.objects.create(
            worker=worker,
            boot_id=uuid.uuid4(),
            started_at=factories.at(-60),
            last_seen_at=factories.NOW,
            ended_at=until,
        )
    chunk = hero_points(campaign, after=7)
    assert len(chunk["points"]["value"]) == 1 + OVERLAP
    assert chunk["events"] == [[3, "attic gone", None]]
    # The other worker was there all the time.
    assert chunk["idle"] == []


def test_what_is_new_is_sent_with_a_few_points_before_it(client: Client) -> None:
    campaign = factories.active_campaign(12)
    run_all(*(3.0 + n / 100 for n in range(8)), 2.9, 2.8)
    chunk = hero_points(campaign, after=8)
    assert (chunk["from"], chunk["total"]) == (11 - 2 - OVERLAP, 10)
    assert chunk["points"]["value"][-2:] == [29000, 28000]
    assert chunk["points"]["spent"] == [95] * (2 + OVERLAP)
    assert list(chunk["changes"]) == [8, 9]
    assert len(json.dumps(chunk)) < 2_000
    address = reverse("campaign-hero", args=[campaign.pk])
    assert client.get(address, {"after": "8"}).json()["points"] == chunk["points"]
    nothing = client.get(address, {"after": "10"}).json()
    assert nothing == {"from": 11, "total": 10, "points": None}
    # Anything else is a request for all.
    assert client.get(address, {"after": "-1"}).json() == data_of(client, campaign)
    assert len(client.get(address, {"after": "0"}).json()["points"]["value"]) == 10


def test_very_much_at_once_is_cut_so_that_the_page_reads_all_again() -> None:
    campaign = factories.active_campaign(3)
    run_all(3.0, 3.1, 3.2)
    chunk = hero_points(campaign, after=0, total=MOST_NEW + 100)
    assert chunk["from"] > 1


def test_few_queries_however_many_points(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    campaign = factories.active_campaign(9)
    run_all(*(3.0 - n / 100 for n in range(6)))
    campaign.refresh_from_db()
    with django_assert_max_num_queries(14):
        hero_points(campaign, after=3)
    page_of(client, campaign)
    campaign.refresh_from_db()
    with django_assert_max_num_queries(9):
        hero_points(campaign, after=5)


def test_the_card_has_params_seed_steps_worker_and_curve(client: Client) -> None:
    campaign = factories.active_campaign(2)
    attempt = factories.claim_one(factories.worker("attic <b>"), now=factories.NOW)
    factories.curve(attempt, [{"value": 5.0 - n} for n in range(3)])
    factories.finish(attempt, 3.0, now=factories.at(60))
    address = reverse("task-card", args=[campaign.pk, 0])
    card = client.get(address).text
    assert f'href="{attempt.task.get_absolute_url()}"' in card
    assert f'<span class="mono">{attempt.task.seed}</span>' in card
    for part in ("<dt>lr</dt>", "<dt>d_model</dt>", "100 steps", "attic &lt;b&gt;", '<path d="M'):
        assert part in card
    # A task that has not run has neither.
    waiting = client.get(reverse("task-card", args=[campaign.pk, 1])).text
    assert "steps" not in waiting
    assert "<svg" not in waiting
    assert client.get(reverse("task-card", args=[campaign.pk, 2])).status_code == 404


def test_the_card_of_a_failed_task_says_why(client: Client) -> None:
    task = factories.failed_task(FailureClass.OOM)
    card = client.get(reverse("task-card", args=[task.campaign_id, task.number])).text
    assert "out of memory" in card
