"""Metrics for Prometheus: read from the database, counted per route, and protected."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import Schedule
from prometheus_client.parser import text_string_to_metric_families

from campaigns.clock import database_now
from tests import factories
from tests.fleets import fleet_token, fleet_worker
from workers import fleets, lifecycle

pytestmark = pytest.mark.django_db
TOKEN = "scrape-me-with-this-token"


def scrape(client: Client | None = None, **headers: str) -> dict[tuple[str, ...], float]:
    """Return every sample: (name, label value, …) -> value."""
    answer = (client or Client()).get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_an_empty_installation_tells_zeros_for_every_state() -> None:
    # The jobs were scheduled when the tables were made, maybe minutes ago.
    Schedule.objects.update(next_run=timezone.now())
    samples = scrape()
    for state in ("pending", "leased", "completed", "failed", "cancelled"):
        assert samples["xeenet_tasks", state] == 0
    assert samples["xeenet_results", "measured"] == 0
    assert samples["xeenet_oldest_pending_seconds",] == 0
    assert samples["xeenet_jobs_overdue_seconds",] < 180


def test_the_figures_are_those_of_the_database() -> None:
    now = database_now()
    worker = factories.worker(last_seen_at=now)
    factories.active_campaign(5, now=now, max_failed_attempts=1)
    factories.finish(factories.claim_one(worker, now=now), now=now)
    factories.fail(factories.claim_one(worker, now=now), now=now)
    factories.claim_one(worker, now=now)
    overdue = factories.claim_one(worker, now=now)
    type(overdue.task).objects.filter(pk=overdue.task_id).update(lease_expires_at=factories.NOW)
    samples = scrape()
    assert samples["xeenet_tasks", "completed"] == samples["xeenet_tasks", "failed"] == 1
    assert (samples["xeenet_tasks", "leased"], samples["xeenet_tasks", "pending"]) == (2, 1)
    assert (samples["xeenet_leases", "live"], samples["xeenet_leases", "overdue"]) == (1, 1)
    assert (samples["xeenet_attempts", "running"], samples["xeenet_attempts", "failed"]) == (2, 1)
    assert samples["xeenet_results", "measured"] == 1
    assert (samples["xeenet_workers", "active"], samples["xeenet_workers_online",]) == (1, 1)
    assert 0 <= samples["xeenet_oldest_pending_seconds",] < 60
    assert (samples["xeenet_slots_online",], samples["xeenet_campaigns_stopped",]) == (1, 0)
    assert samples["xeenet_eta_seconds",] > 0


def test_the_demand_of_each_open_fleet_is_a_figure() -> None:
    now = database_now()
    token, secret = fleet_token(now=now, label="cluster", max_live=3)
    revoked, _ = fleet_token(now=now)
    fleets.revoke(revoked, now=now)
    factories.active_campaign(5, now=now)
    factories.claim_one(fleet_worker(secret, now=now), now=now)
    figures = {
        name: value
        for (name, *labels), value in scrape().items()
        if labels == [str(token.pk), "cluster"] and name.startswith("xeenet_fleet_")
    }
    waited = figures.pop("xeenet_fleet_oldest_wait_seconds")
    assert 0 <= waited < 60
    assert figures == {
        "xeenet_fleet_claimable": 4,
        "xeenet_fleet_leased": 1,
        "xeenet_fleet_live_workers": 1,
        "xeenet_fleet_wanted_workers": 3,
        "xeenet_fleet_max_live": 3,
    }
    assert not [key for key in scrape() if str(revoked.pk) in key[1:] and "fleet" in key[0]]


def test_a_retired_worker_is_in_no_figure() -> None:
    now = database_now()
    machine = fleet_worker(now=now)
    lifecycle.leave(machine, now=now)
    samples = scrape()
    assert samples["xeenet_workers_online",] == 0
    assert ("xeenet_workers", "retired") not in samples


def test_a_campaign_that_nobody_runs_is_a_figure_to_alert_on() -> None:
    now = database_now()
    factories.active_campaign(2, now=now)
    worker = factories.worker(last_seen_at=now, slots=3)
    assert scrape()["xeenet_campaigns_stopped",] == 0
    assert scrape()["xeenet_slots_online",] == 3
    type(worker).objects.update(last_seen_at=factories.NOW)
    samples = scrape()
    assert (samples["xeenet_campaigns_stopped",], samples["xeenet_slots_online",]) == (1, 0)
    assert samples["xeenet_eta_seconds",] == 0


def test_requests_are_counted_by_route_never_by_what_a_caller_invents() -> None:
    client = Client()
    route = ("GET", "campaigns/<int:pk>/")
    before = scrape()
    client.get("/campaigns/987654321/")
    client.get("/nothing/here-987654321")
    client.generic("INVENTED", "/healthz")
    after = scrape()
    key = ("xeenet_requests_total", *route, "404")
    assert after[key] == before.get(key, 0) + 1
    assert after["xeenet_request_seconds_count", route[1]] >= 1
    assert ("xeenet_requests_total", "GET", "(none)", "404") in after
    assert ("xeenet_requests_total", "(other)", "healthz", "405") in after
    assert not any("987654321" in label for name in after for label in name)


def test_with_a_token_only_who_has_it_may_look(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"METRICS_TOKEN": TOKEN}
    assert Client().get("/metrics").status_code == 403
    wrong = {"Authorization": "Bearer wrong"}
    assert Client().get("/metrics", headers=wrong).status_code == 403
    assert scrape(Client(REMOTE_ADDR="203.0.113.5"), Authorization=f"Bearer {TOKEN}")


def test_without_a_token_only_this_machine_may_look_and_in_production_nobody(
    settings: Any,
) -> None:
    assert Client(REMOTE_ADDR="203.0.113.5").get("/metrics").status_code == 403
    assert scrape(Client(REMOTE_ADDR="::1"))
    settings.PRODUCTION = True
    answer = Client(REMOTE_ADDR="127.0.0.1").get("/metrics")
    assert answer.status_code == 403
    assert "XEENET_METRICS_TOKEN" in answer.text


def test_a_scrape_asks_a_bounded_number_of_queries(
    django_assert_max_num_queries: Any,
) -> None:
    factories.active_campaign(5)
    with django_assert_max_num_queries(20):
        scrape()
