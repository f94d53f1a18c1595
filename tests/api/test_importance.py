"""campaigns/<id>/importance: how much each parameter matters."""

from __future__ import annotations

import math
from typing import Any

import pytest
from django.db.models import F
from django_q.models import OrmQ
from rest_framework.test import APIClient

from campaigns import jobs
from campaigns.models import Campaign
from tests import factories

pytestmark = pytest.mark.django_db


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
    campaign = campaign_with(40)
    assert jobs.keep_importance() == 1
    reply = get(campaign)
    assert reply["status"] == "current"
    assert reply["computed_at"]
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


def test_what_no_job_has_computed_yet_is_pending_and_asked_for_once() -> None:
    campaign = campaign_with(20)
    path = f"/api/v1/campaigns/{campaign.pk}/importance"
    answers = [APIClient().get(path) for _ in range(3)]
    assert {answer.json()["status"] for answer in answers} == {"pending"}
    assert answers[0].json()["parameters"] == []
    assert answers[0].json()["computed_at"] is None
    assert int(answers[0]["Retry-After"]) > 0
    (queued,) = OrmQ.objects.all()
    assert queued.task["func"] == "campaigns.jobs.compute_importance"
    assert queued.task["args"] == (campaign.pk, "")
    jobs.compute_importance(*queued.task["args"])
    assert get(campaign)["status"] == "current"


def test_an_older_estimate_is_shown_as_such_while_a_newer_one_is_asked_for() -> None:
    campaign = campaign_with(20)
    jobs.keep_importance()
    Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
    reply = get(campaign)
    assert reply["status"] == "behind"
    assert len(reply["parameters"]) == 2
    assert OrmQ.objects.count() == 1
