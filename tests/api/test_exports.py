"""campaigns/<id>/results.csv and results.jsonl: every result as a file, streamed."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from campaigns.exports import rows as export_rows
from campaigns.models import Campaign
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign() -> Campaign:
    """Two measured results, a simulated and an implausible one."""
    exported = factories.active_campaign(4, allow_simulated=True)
    factories.run(3.0, seconds=0)
    factories.run(2.5, seconds=0)
    factories.run(1.0, seconds=0, simulated=True)
    factories.run(0.5, seconds=0)
    return exported


def fetch(client: Client, campaign: Campaign, path: str) -> tuple[Any, str]:
    answer: Any = client.get(f"/api/v1/campaigns/{campaign.pk}/{path}")
    assert answer.streaming
    return answer, answer.getvalue().decode()


def test_the_csv_file_is_that_of_the_command_and_leaves_out_what_nobody_measured(
    client: Client, campaign: Campaign
) -> None:
    answer, text = fetch(client, campaign, "results.csv")

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert f"campaign-{campaign.pk}-results.csv" in answer["Content-Disposition"]
    assert text == "".join(export_rows.csv_lines(campaign))
    assert [row["val_bpb"] for row in csv.DictReader(StringIO(text))] == ["3.0", "2.5"]


def test_the_leaderboard_is_a_file_of_arms_for_page_api_and_command(
    client: Client, campaign: Campaign
) -> None:
    answer, text = fetch(client, campaign, "leaderboard.csv")
    assert f"campaign-{campaign.pk}-leaderboard.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(StringIO(text)))
    assert [(row["rank"], row["arm"], row["val_bpb"]) for row in rows] == [
        ("", "1", "2.5"),
        ("", "0", "3.0"),
    ]
    assert rows[0]["standing"] == "screened"
    assert float(rows[0]["param.lr"]) > 0
    page: Any = client.get(f"/campaigns/{campaign.pk}/leaderboard.csv")
    out = StringIO()
    call_command("leaderboard", campaign.pk, csv=True, stdout=out)
    assert page.getvalue().decode() == text == out.getvalue()
    unknown = client.get(f"/api/v1/campaigns/{campaign.pk}/leaderboard.csv?result_class=no")
    assert unknown.status_code == 400


def test_the_lines_of_json_hold_the_simulated_result_when_asked_for(
    client: Client, campaign: Campaign
) -> None:
    answer, text = fetch(client, campaign, "results.jsonl?simulated=true")

    assert answer["Content-Type"] == "application/jsonl; charset=utf-8"
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["val_bpb"], row["simulated"]) for row in rows] == [
        (3.0, False),
        (2.5, False),
        (1.0, True),
    ]
    assert rows[0]["params"] == campaign.tasks.get(number=0).params


def test_a_file_costs_the_same_queries_however_long_it_is(
    client: Client, campaign: Campaign, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # Campaign and results; on PostgreSQL the statement timeout is raised and reset around them.
    with django_assert_num_queries(4 if connection.vendor == "postgresql" else 2):
        fetch(client, campaign, "results.csv?simulated=true")


def test_a_flag_that_is_neither_true_nor_false_is_refused(
    client: Client, campaign: Campaign
) -> None:
    answer = client.get(f"/api/v1/campaigns/{campaign.pk}/results.csv?simulated=perhaps")

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["simulated"]
    assert client.get("/api/v1/campaigns/999/results.csv").status_code == 404
