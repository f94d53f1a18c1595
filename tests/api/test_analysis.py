"""campaigns/<id>/analysis: the data of each panel of the analysis tab."""

from __future__ import annotations

import math
from typing import Any

import pytest
from rest_framework.test import APIClient

from campaigns.models import Campaign
from campaigns.panels import PANELS
from tests import factories

pytestmark = pytest.mark.django_db


def campaign_with(results: int) -> Campaign:
    campaign = factories.active_campaign(results)
    worker = factories.worker("lab-7")
    for number in range(results):
        attempt = factories.claim_one(worker)
        value = 3 + abs(math.log10(attempt.task.params["lr"] / 2e-3))
        factories.finish(attempt, value, device_used="cuda" if number % 2 else "cpu")
    return campaign


def get(campaign: Campaign, panel: str = "", status: int = 200, **query: Any) -> Any:
    path = f"/api/v1/campaigns/{campaign.pk}/analysis{f'/{panel}' if panel else ''}"
    answer = APIClient().get(path, query)
    assert answer.status_code == status, answer.json()
    return answer.json()


def test_the_analysis_names_its_panels_devices_and_parameters() -> None:
    reply = get(campaign_with(2))

    assert [panel["key"] for panel in reply["panels"]] == list(PANELS)
    assert (reply["devices"], reply["parameters"]) == (["cpu", "cuda"], ["lr", "d_model"])
    for panel in reply["panels"]:
        assert APIClient().get(panel["url"]).json()["key"] == panel["key"]


def test_each_panel_tells_its_finding_and_the_rows_behind_it() -> None:
    campaign = campaign_with(24)
    replies = {panel: get(campaign, panel) for panel in PANELS}

    for panel, reply in replies.items():
        assert reply["title"], panel
        assert all(len(row) == len(reply["columns"]) for row in reply["rows"]), panel
        assert bool(reply["rows"]) != bool(reply["empty"]), panel
    # Each level of a parameter with its runs, mean and error.
    assert replies["effects"]["columns"][:4] == ["parameter", "level or bin", "runs", "mean"]
    levels = [row for row in replies["effects"]["rows"] if row[0] == "d_model"]
    assert [row[1] for row in levels] == ["64", "128", "256"]
    assert sum(row[2] for row in levels) == 24
    # A panel covers the requested device and parameters only.
    assert len(get(campaign, "slice", x="d_model")["rows"]) == 24
    assert len(get(campaign, "slice", x="d_model", device="cuda")["rows"]) == 12
    contour = get(campaign, "contour", x="d_model", y="lr")
    assert [choice["chosen"] for choice in contour["choices"]] == ["d_model", "lr"]


def test_the_timeline_has_each_attempt_with_its_worker_and_times() -> None:
    (row,) = get(factories.leased_task(factories.worker("lab-7")).task.campaign, "timeline")["rows"]

    assert row[:4] == ["lab-7", 0, 1, "2026-01-05 12:00:00"]
    assert row[5] == "running"


def test_an_empty_panel_says_what_to_do() -> None:
    reply = get(factories.active_campaign(1), "effects")

    assert (reply["rows"], reply["empty"]) == (
        [],
        "No measured result yet. Charts appear as tasks complete.",
    )


@pytest.mark.parametrize(
    ("query", "field"), [({"device": "abacus"}, "device"), ({"x": "luck"}, "x"), ({"y": "?"}, "y")]
)
def test_what_the_campaign_does_not_have_is_refused(query: dict[str, str], field: str) -> None:
    reply = get(campaign_with(1), "slice", 400, **query)

    assert list(reply["fields"]) == [field]


def test_a_panel_that_does_not_exist_is_not_found() -> None:
    get(factories.campaign(), "horoscope", 404)
