"""campaigns/<id>/importance: how much each parameter matters."""

from __future__ import annotations

import math
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from campaigns.models import Campaign
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


def campaign_with(results: int) -> Campaign:
    campaign = factories.active_campaign(results)
    worker = factories.worker()
    for number in range(results):
        attempt = factories.claim_one(worker)
        value = 3 + abs(math.log10(attempt.task.params["lr"] / 2e-3))
        factories.finish(attempt, value, device_used="cuda" if number % 2 else "cpu")
    return campaign


def get(campaign: Campaign, status: int = 200, **query: Any) -> Any:
    answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/importance", query)
    assert answer.status_code == status, answer.json()
    return answer.json()


def test_parameters_come_most_important_first_with_their_uncertainty() -> None:
    reply = get(campaign_with(40))
    assert reply["results"] == reply["used"] == 40
    assert reply["target_quantile"] == 5 / 40
    lr, d_model = reply["parameters"]
    assert lr["name"] == "lr"
    assert lr["stands_out"]
    assert lr["low"] <= lr["high"]
    assert lr["share"] + d_model["share"] == pytest.approx(1)


def test_too_few_results_give_no_estimates() -> None:
    reply = get(campaign_with(5))
    assert reply["parameters"] == []
    assert (reply["results"], reply["needed"]) == (5, 20)


def test_results_of_one_device_are_analysed_alone() -> None:
    assert get(campaign_with(6), device="cuda")["results"] == 3


def test_a_device_too_long_is_refused() -> None:
    assert "device" in get(campaign_with(1), 400, device="x" * 101)["fields"]
