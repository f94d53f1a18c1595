"""workers/<id>: a worker with its speed, its sessions and its attempts."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests import factories
from workers import lifecycle
from workers.models import Worker

pytestmark = pytest.mark.django_db


def busy_worker() -> Worker:
    """A worker with two results and a failed run that holds a fourth task."""
    worker = factories.worker("lab-7")
    factories.active_campaign(4)
    for minute, value in enumerate((3.0, 3.5)):
        now = factories.at(60 * minute)
        factories.finish(factories.claim_one(worker, now=now), value, now=now)
    now = factories.at(180)
    factories.fail(factories.claim_one(worker, now=now), now=now)
    factories.claim_one(worker, now=factories.at(240))
    lifecycle.see(worker, now=timezone.now(), boot_id=uuid.uuid4())
    return worker


def test_a_worker_tells_what_it_holds_did_and_how_fast_it_is() -> None:
    worker = busy_worker()

    reply = APIClient().get(f"/api/v1/workers/{worker.pk}").json()

    assert (reply["name"], reply["state"], reply["is_online"]) == ("lab-7", "active", True)
    assert (reply["attempts"], reply["completed"], reply["failed"]) == (4, 2, 1)
    [held] = worker.leased_tasks.all()
    assert (reply["tasks"], reply["task_ids"]) == ([str(held.name)], [held.pk])
    assert reply["speeds"][0]["tokens_per_second"] == pytest.approx(409_600 / 7.5)
    assert len(reply["sessions"]) == 1
    assert APIClient().get("/api/v1/workers/999").status_code == 404


def test_its_attempts_are_narrowed_by_outcome_and_campaign() -> None:
    worker = busy_worker()
    address = f"/api/v1/workers/{worker.pk}/attempts"

    def outcomes(**query: object) -> list[str]:
        return [attempt["outcome"] for attempt in APIClient().get(address, query).json()["results"]]

    assert outcomes() == ["running", "failed", "completed", "completed"]
    assert outcomes(outcome="completed") == ["completed"] * 2
    assert outcomes(failure_class="script_error") == ["failed"]
    assert outcomes(campaign=999) == []


def test_its_attempts_cost_two_queries_however_many_they_are() -> None:
    worker = busy_worker()

    with CaptureQueriesContext(connection) as captured:
        APIClient().get(f"/api/v1/workers/{worker.pk}/attempts")

    assert len(captured) == 2  # the worker, the page
