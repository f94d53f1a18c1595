"""overview, campaigns/<id>/workers and campaigns/<id>/log."""

from __future__ import annotations

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from tests import factories
from tests.clients import researcher_client

pytestmark = pytest.mark.django_db


def test_the_overview_tells_figures_concerns_and_champions() -> None:
    task = factories.completed_task(2.75, now=timezone.now(), name="Depth")
    factories.active_campaign(2, now=timezone.now())

    reply = APIClient().get("/api/v1/overview").json()

    assert reply["figures"]["waiting"] == 2
    assert any(
        "2 tasks wait and no worker is online" in concern["text"] for concern in reply["concerns"]
    )
    (champion,) = reply["champions"]
    assert (champion["campaign"], champion["val_bpb"]) == ("Depth", 2.75)
    assert champion["params"] == task.params


def test_an_empty_installation_has_an_overview_too() -> None:
    reply = APIClient().get("/api/v1/overview").json()

    assert (reply["live_campaigns"], reply["champions"]) == ([], [])


def test_the_overview_costs_the_same_however_many_campaigns_there_are(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(4):
        factories.completed_task(3.0)

    with django_assert_max_num_queries(12):
        APIClient().get("/api/v1/overview")


def test_each_workers_share_of_a_campaign_is_told() -> None:
    worker = factories.worker("lab-7")
    campaign = factories.active_campaign(3)
    factories.finish(factories.claim_one(worker), 3.0)
    factories.fail(factories.claim_one(worker, now=factories.at(60)), now=factories.at(60))

    (row,) = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/workers").json()["results"]

    assert (row["worker"], row["completed"], row["best_val_bpb"]) == ("lab-7", 1, 3.0)
    assert row["failures"] == {"script_error": 1}


def test_the_log_tells_who_did_what_and_goes_on_where_a_page_ends() -> None:
    client, owner = researcher_client()
    spec = {"experiment": "train_char_lm", "task_count": 2, "time_budget_seconds": 9, "name": "x"}
    campaign = client.post("/api/v1/campaigns", spec).json()["id"]
    client.post(f"/api/v1/campaigns/{campaign}/launch")
    tasks = client.get(f"/api/v1/campaigns/{campaign}/tasks").json()["results"]
    for number in range(110):
        verb = "pause" if number % 2 == 0 else "resume"
        assert client.post(f"/api/v1/campaigns/{campaign}/{verb}", {}).status_code == 200
    client.post(f"/api/v1/tasks/{tasks[1]['id']}/cancel")
    address = f"/api/v1/campaigns/{campaign}/log"

    first = client.get(address).json()
    second = client.get(first["next"]).json()

    newest, oldest = first["results"][0], second["results"][-1]
    assert len(first["results"]) == 100
    assert (newest["who"], newest["what"], newest["task_number"]) == (
        owner.username,
        "cancelled a task",
        1,
    )
    assert oldest["what"] == "created the campaign"
    assert second["next"] is None
    assert client.get(address, {"before": "yesterday"}).status_code == 400
