"""Fixtures of the tests of a second metric: it is known, and a campaign is ranked by it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from campaigns.models import Campaign
from tests import factories, second_metric
from tests.clients import agent_client
from tests.second_metric import EXPERIMENT, SPEEDS


@pytest.fixture(autouse=True)
def _second_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the metric and its experiment during a test.

    The test's own patches must end before this one, so both are undone by one fixture.
    """
    second_metric.register(monkeypatch)


@pytest.fixture
def campaign() -> Campaign:
    """Launched with one task more than there are results, which an agent sent over the API."""
    launched = factories.active_campaign(
        len(SPEEDS) + 1, now=timezone.now(), experiment=EXPERIMENT, name="speed study"
    )
    # One worker: under a time budget the results of two stand in no common order.
    client, worker = agent_client()
    for speed in SPEEDS:
        attempt = factories.claim_one(worker, now=timezone.now())
        body = second_metric.completed(attempt.task, speed)
        answer = client.put(f"/api/v1/leases/{attempt.lease_id}/result", body)
        assert answer.json()["verdict"] == "accepted", answer.json()
    launched.refresh_from_db()
    return launched
