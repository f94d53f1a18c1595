"""campaigns/<id>/plan: what a race must be to find a difference, and who may ask."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign
from campaigns.race.plan import chance_to_find, seeds_needed
from campaigns.race.rows import MIN_SIGMA
from campaigns.standings.noise import noise_floor
from experiments import catalog
from tests import factories
from tests.clients import researcher_client
from tests.factories import NOW
from workers.models import AuditEntry, Worker
from xeenet_site.web.formats import HOUR, duration

pytestmark = pytest.mark.django_db
URL = "/api/v1/campaigns"


def raced_campaign() -> Campaign:
    """A campaign of two equal arms with twelve race seeds each."""
    campaign = factories.active_campaign(2)
    lifecycle.start_race(campaign, [0, 1], seeds=12, now=NOW)
    while campaign.tasks.filter(state="pending").exists():
        attempt = factories.claim_one(factories.runner())
        task = attempt.task
        is_even = (task.arm.number + (task.seed_index or 0)) % 2 == 0
        factories.finish(attempt, 3.02 if is_even else 2.98)
    return campaign


def test_without_two_race_seeds_a_plan_assumes_what_the_catalog_records_and_says_so() -> None:
    campaign = factories.active_campaign(2)
    factories.run(3.0)
    factories.run(3.1)
    reply = APIClient().post(f"{URL}/{campaign.pk}/plan", {"delta": 0.02})
    assert reply.status_code == 200, reply.json()
    plan = reply.json()
    noise = catalog.get("train_char_lm").seed_noise
    assert noise is not None
    assert (plan["sigma"], plan["pairs"], plan["df"]) == (noise.sd, noise.pairs, 12.0)
    assert plan["seeds"] == seeds_needed(0.02, noise.sd, 12.0)
    assert plan["assumed"] == (
        "the noise that the catalog records (65 runs of five configs, 80 steps): s.d. 0.0126"
    )
    assert plan["sentence"] == (
        f"To see 0.02 bits/byte here you need {plan['seeds']} seeds of each: {plan['runs']} runs. "
        f"That assumes {plan['assumed']}."
    )


def test_the_noise_of_the_same_class_elsewhere_comes_before_the_catalogs() -> None:
    # The job has computed the floor.
    noise_floor(raced_campaign())
    young = factories.active_campaign(2)
    other = APIClient().post(f"{URL}/{young.pk}/plan", {"delta": 0.1}).json()
    assert other["pairs"] == 12
    assert other["assumed"].startswith("the noise of the class “10 s, cpu, bfloat16, runner” in ")
    longer = factories.active_campaign(2, time_budget_seconds=20.0)
    assert (
        "catalog" in APIClient().post(f"{URL}/{longer.pk}/plan", {"delta": 0.1}).json()["assumed"]
    )


def test_an_experiment_without_any_record_says_why_it_knows_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = factories.active_campaign(2)
    known = replace(catalog.get("train_char_lm"), seed_noise=None)
    monkeypatch.setitem(catalog._EXPERIMENTS, "train_char_lm", known)
    plan = APIClient().post(f"{URL}/{campaign.pk}/plan", {"delta": 0.02}).json()
    assert (plan["seeds"], plan["sigma"], plan["pairs"]) == (None, None, 0)
    assert plan["why"] == (
        "No arm has results on two race seeds yet, so nothing is known of the noise."
    )
    assert plan["sentence"].startswith("How many seeds a difference takes is known once")


def test_a_plan_counts_the_slots_of_an_agent() -> None:
    url, now = f"{URL}/{raced_campaign().pk}/plan", timezone.now()
    Worker.objects.update(last_seen_at=now - dt.timedelta(days=1))
    agent = factories.worker(last_seen_at=now)
    alone = APIClient().post(url, {"delta": 0.1}).json()
    Worker.objects.filter(pk=agent.pk).update(slots=2)
    together = APIClient().post(url, {"delta": 0.1}).json()
    assert together["hours"] == pytest.approx(alone["hours"] / 2)
    assert f" runs, {duration(alone['hours'] * HOUR)} on today's fleet." in alone["sentence"]


def test_a_plan_takes_its_noise_from_the_campaign_and_its_hours_from_the_fleet() -> None:
    campaign = raced_campaign()
    url, now = f"{URL}/{campaign.pk}/plan", timezone.now()
    without = APIClient().post(url, {"delta": 0.1}).json()
    Worker.objects.update(last_seen_at=now - dt.timedelta(days=1))
    factories.worker(last_seen_at=now)
    alone = APIClient().post(url, {"delta": 0.1}).json()
    factories.worker(last_seen_at=now)
    together = APIClient().post(url, {"delta": 0.1}).json()

    floor = noise_floor(campaign)
    assert floor.sd is not None
    assert (alone["pairs"], alone["sigma"], alone["df"]) == (12, floor.sd, floor.weight)
    assert alone["seeds"] == seeds_needed(0.1, floor.sd, floor.weight)
    assert alone["runs"] == 2 * alone["seeds"]
    assert alone["chance"] == chance_to_find(0.1, floor.sd, floor.weight, 12)
    assert (without["seeds"], without["hours"]) == (alone["seeds"], None)
    assert "No worker" in without["why"]
    assert alone["hours"] == pytest.approx(2 * together["hours"])
    assert alone["why"] == together["why"] == ""


def test_workers_without_torch_do_not_shorten_a_plan() -> None:
    campaign = raced_campaign()
    now = timezone.now()
    Worker.objects.update(last_seen_at=now - dt.timedelta(days=1))
    factories.worker(last_seen_at=now, simulates=True)
    reply = APIClient().post(f"{URL}/{campaign.pk}/plan", {"delta": 0.1}).json()
    assert (reply["seeds"] is None, reply["hours"]) == (False, None)


def test_equal_values_leave_the_least_noise_of_a_race() -> None:
    race = factories.decided_race()
    reply = APIClient().post(f"{URL}/{race.campaign_id}/plan", {"delta": 0.1}).json()
    assert noise_floor(race.campaign).sd == 0.0
    assert reply["sigma"] == MIN_SIGMA


def test_more_power_takes_more_seeds_and_a_tiny_gap_more_than_there_are() -> None:
    url = f"{URL}/{raced_campaign().pk}/plan"
    usual = APIClient().post(url, {"delta": 0.1}).json()
    sure = APIClient().post(url, {"delta": 0.1, "power": 0.99}).json()
    tiny = APIClient().post(url, {"delta": 1e-9}).json()
    assert sure["seeds"] > usual["seeds"]
    assert (sure["chance"], sure["power"]) == (usual["chance"], 0.99)
    assert (tiny["seeds"], tiny["runs"], tiny["hours"]) == (None, None, None)
    assert "more than 100,000 seeds" in tiny["why"]
    assert 0 < tiny["chance"] < 0.1


def test_a_plan_says_when_a_race_may_not_have_so_many_seeds() -> None:
    url = f"{URL}/{raced_campaign().pk}/plan"
    reply = APIClient().post(url, {"delta": 0.005}).json()
    assert 1_000 < reply["seeds"] < 100_000
    assert reply["why"] == (
        "A race has at most 1,000 seeds. "
        "No worker that could take the runs is online, so the hours are not known."
    )


def test_who_may_read_may_plan_and_nobody_else(settings: Any) -> None:
    campaign = factories.campaign()
    url = f"{URL}/{campaign.pk}/plan"
    assert APIClient().post(url, {"delta": 1}).status_code == 200
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    assert APIClient().post(url, {"delta": 1}).status_code == 401
    viewer, _ = researcher_client(factories.user(role="viewer"))
    assert viewer.post(url, {"delta": 1}).status_code == 200
    assert viewer.get(url).status_code == 405
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "delta"),
        ({"delta": 0}, "delta"),
        ({"delta": -0.1}, "delta"),
        ({"delta": 1e308}, "delta"),
        ({"delta": "0.1"}, "delta"),
        ({"delta": True}, "delta"),
        ({"delta": None}, "delta"),
        ({"delta": 1, "power": 0}, "power"),
        ({"delta": 1, "power": 1}, "power"),
        ({"delta": 1, "power": 80}, "power"),
        ({"delta": 1, "power": True}, "power"),
        ({"delta": 1, "powr": 0.8}, "powr"),
    ],
)
def test_a_question_without_an_answer_is_refused_at_its_field(
    body: dict[str, Any], field: str
) -> None:
    campaign = factories.campaign()
    answer = APIClient().post(f"{URL}/{campaign.pk}/plan", body)
    assert answer.status_code == 400, answer.json()
    assert list(answer.json()["fields"]) == [field]
