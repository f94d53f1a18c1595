"""Differences to a baseline arm on the board of all classes: rows, page, API, CSV and command."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign, TaskState
from campaigns.race.paired import SEEDS_NOT_SHARED
from campaigns.standings import arms
from campaigns.standings.classes import EVERY_CLASS, classes_of
from campaigns.standings.paired import NOT_PAIRED, Paired, PairedRows, paired_rows
from tests.factories import active_campaign, at, claim_one, finish, worker

pytestmark = pytest.mark.django_db

# Arm → for each of its seeds the worker and the value. The workers are of two classes.
RUNS = {
    0: [("slow", 5.0), ("quick", 3.0)],
    1: [("slow", 4.5), ("quick", 3.25)],
    2: [("quick", 2.0), ("quick", 2.5)],
    3: [("quick", 2.25), ("slow", 4.0)],
}


@pytest.fixture
def campaign() -> Campaign:
    return of_two_classes()


def of_two_classes(**fields: Any) -> Campaign:
    campaign = active_campaign(len(RUNS), **fields)
    for arm in list(campaign.arms.order_by("number")):
        lifecycle.enqueue(campaign, arm.params, now=at(0))
    by = {name: worker(name) for name in ("slow", "quick")}
    left = {arm: list(runs) for arm, runs in RUNS.items()}
    pending = campaign.tasks.filter(state=TaskState.PENDING).select_related("arm")
    for seconds, task in enumerate(
        list(pending.order_by("queue_rank", "available_at", "pk")), start=1
    ):
        name, value = left[task.arm.number].pop(0)
        attempt = claim_one(by[name], now=at(seconds))
        assert attempt.task_id == task.pk
        finish(attempt, value)
    campaign.refresh_from_db()
    return campaign


def paired(campaign: Campaign, of_class: str = EVERY_CLASS, **changes: Any) -> PairedRows:
    rows = arms.rows(campaign, limit=9, of_class=of_class)
    return paired_rows(campaign, rows, of_class=of_class, **changes)


def differences(campaign: Campaign, **changes: Any) -> dict[int, Paired]:
    rows = paired(campaign, **changes)
    return {arm: rows.of(arm) for arm in RUNS}


def test_each_arm_has_the_median_of_its_pairs_with_the_arm_of_most_classes(
    campaign: Campaign,
) -> None:
    rows = paired(campaign)
    assert rows.baseline == 0
    assert rows.words.startswith("Differences are medians paired with arm 0 on the same worker")
    assert differences(campaign) == {
        0: Paired(None, None),
        1: Paired(-0.125, 2),
        2: Paired(-0.5, 1),
        3: Paired(None, None),
    }
    assert differences(campaign, baseline=2) == {
        0: Paired(0.5, 1),
        1: Paired(0.75, 1),
        2: Paired(None, None),
        3: Paired(0.25, 1),
    }


@pytest.mark.parametrize("hindrance", ["disturbed", "slow_setup"])
def test_a_hindered_run_makes_no_pair(campaign: Campaign, hindrance: str) -> None:
    hindered = campaign.results.filter(value=4.5)
    hindered.update(**{hindrance: True, "expected_step_seconds": 0.01})
    Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
    campaign.refresh_from_db()
    assert differences(campaign)[1] == Paired(0.25, 1)


def test_a_run_that_counts_for_nothing_makes_no_pair(campaign: Campaign) -> None:
    campaign.tasks.filter(result__value=4.5).update(purpose="replay")
    assert differences(campaign)[1] == Paired(0.25, 1)


def test_one_class_alone_has_no_differences(campaign: Campaign) -> None:
    assert paired(campaign, classes_of(campaign)[0].slug) is NOT_PAIRED
    assert paired(campaign, "") is NOT_PAIRED
    single = active_campaign(1)
    finish(claim_one(worker(), now=at(99)))
    assert paired(single) is NOT_PAIRED


def test_without_shared_seeds_it_says_so() -> None:
    campaign = of_two_classes(shares_seeds=False)
    assert paired(campaign) == PairedRows(SEEDS_NOT_SHARED)


def test_page_after_page_only_the_runs_of_its_rows_are_read_and_once(campaign: Campaign) -> None:
    rows = arms.rows(campaign, limit=1, of_class=EVERY_CLASS)
    with CaptureQueriesContext(connection) as queries:
        paired_rows(campaign, rows, of_class=EVERY_CLASS, baseline=0)
        paired_rows(campaign, rows, of_class=EVERY_CLASS, baseline=0)
    assert len(queries) == 1
    assert '"number" IN (0, 2)' in queries[0]["sql"]


def test_the_page_of_all_classes_stays_within_the_queries_of_a_page(
    campaign: Campaign, client: Client
) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get(campaign.get_absolute_url() + "?class=all")
    assert len(queries) <= 13


def test_page_csv_api_and_command_show_them(campaign: Campaign, client: Client) -> None:
    page = client.get(campaign.get_absolute_url() + "?class=all").text
    assert "Difference to arm 0, same worker" in page
    assert "paired with arm 0 on the same worker" in page
    assert "-0.1250 (n 2)" in page
    assert "no pair" in page
    address = campaign.get_absolute_url() + "?class=all&baseline=2"
    assert "+0.7500 (n 1)" in client.get(address).text
    for unknown in ("77", "-1", "x", "9" * 30):
        address = campaign.get_absolute_url() + f"?class=all&baseline={unknown}"
        assert "Difference to arm 0" in client.get(address).text
    assert "Difference to arm" not in client.get(campaign.get_absolute_url()).text

    url = f"/api/v1/campaigns/{campaign.pk}/leaderboard"
    reply = APIClient().get(url, {"result_class": "all", "baseline": 2}).json()
    assert (reply["baseline"], reply["paired"][:19]) == (2, "Differences are med")
    rows = {row["arm"]: (row["difference"], row["pairs"]) for row in reply["rows"]}
    assert rows == {0: (0.5, 1), 1: (0.75, 1), 2: (None, None), 3: (0.25, 1)}
    plain = APIClient().get(url).json()
    assert (plain["baseline"], plain["paired"], plain["rows"][0]["pairs"]) == (None, "", None)
    for unknown in ("77", "-1", "x", "9" * 30):
        answer = APIClient().get(url, {"result_class": "all", "baseline": unknown})
        assert answer.status_code == 400, unknown
        assert APIClient().get(f"{url}.csv", {"baseline": unknown}).status_code == 400

    output = StringIO()
    call_command("leaderboard", campaign.pk, "--class", "all", "--baseline", "2", stdout=output)
    assert "Differences are medians paired with arm 2" in output.getvalue()
    assert "to arm 2" in output.getvalue()
    assert "+0.7500 (n 1)" in output.getvalue()
    with pytest.raises(CommandError, match="has no arm 77"):
        call_command("leaderboard", campaign.pk, "--baseline", "77")


def test_the_files_agree_with_the_api(campaign: Campaign, client: Client) -> None:
    query = {"class": "all", "result_class": "all"}
    output = StringIO()
    call_command("leaderboard", campaign.pk, "--class", "all", "--csv", stdout=output)
    address = f"/api/v1/campaigns/{campaign.pk}/leaderboard.csv"
    by_api: Any = APIClient().get(address, {"result_class": query["result_class"]})
    page = reverse("campaign-leaderboard-csv", args=[campaign.pk])
    by_page: Any = client.get(page, {"class": query["class"]})
    text = b"".join(by_api.streaming_content).decode()
    assert b"".join(by_page.streaming_content).decode() == text
    assert output.getvalue() == text
    rows = {row["arm"]: row for row in csv.DictReader(StringIO(text))}
    assert [rows["1"][name] for name in ("difference", "pairs", "baseline")] == ["-0.125", "2", "0"]
    assert [rows["3"][name] for name in ("difference", "pairs", "baseline")] == ["", "", "0"]
    output = StringIO()
    call_command("leaderboard", campaign.pk, "--class", "all", "--json", stdout=output)
    assert json.loads(output.getvalue())["baseline"] == 0
