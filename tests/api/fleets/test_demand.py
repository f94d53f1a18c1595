"""GET fleet/demand: how many workers a fleet should have."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.fleet import demand as demands
from campaigns.models import Task
from tests.clients import agent_client, bearer, researcher_client
from tests.factories import SMALL_SPACE, active_campaign, claim, worker
from tests.fleets import fleet_token, fleet_worker
from workers import fleets
from workers import lifecycle as worker_lifecycle
from workers.models import Worker

pytestmark = pytest.mark.django_db
URL = "/api/v1/fleet/demand"
IDLE = {
    "claimable": 0,
    "leased": 0,
    "oldest_wait_seconds": None,
    "live_workers": 0,
    "wanted_workers": 0,
    "max_live": 5,
    "needs": [],
}


@pytest.fixture
def secret() -> str:
    return fleet_token(now=timezone.now(), max_live=5)[1]


def joined(secret: str, *, isolation: str = "T0", **fields: Any) -> Worker:
    machine = fleet_worker(secret, now=timezone.now(), isolation=isolation)
    Worker.objects.filter(pk=machine.pk).update(**fields)
    machine.refresh_from_db()
    return machine


def launched(tasks: int, **fields: Any) -> Any:
    return active_campaign(tasks, now=timezone.now(), **fields)


def demand(secret: str) -> Any:
    answer = bearer(secret).get(URL)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_an_idle_server_wants_nobody(secret: str) -> None:
    assert demand(secret) == IDLE


def test_what_waits_and_what_its_workers_hold_is_what_it_wants(secret: str) -> None:
    launched(6)
    claim(joined(secret), now=timezone.now())
    claim(worker(), now=timezone.now())  # of no fleet: its task is not the fleet's
    reply = demand(secret)
    assert reply.pop("oldest_wait_seconds") >= 0
    need = {"claimable": 4, "leased": 1, "live_workers": 1, "wanted_workers": 5}
    assert reply == {
        **need,
        "max_live": 5,
        "needs": [{"device": "any", "tier": "T0", **need}],
    }


def test_it_never_wants_more_than_the_token_allows_and_counts_slots(secret: str) -> None:
    launched(12)
    assert demand(secret)["wanted_workers"] == 5
    joined(secret, slots=3)
    joined(secret, slots=5)
    assert demand(secret)["wanted_workers"] == 3


def test_the_oldest_wait_is_that_of_the_task_that_was_due_first(secret: str) -> None:
    launched(2)
    first = Task.objects.order_by("pk")[:1].get()
    Task.objects.filter(pk=first.pk).update(available_at=timezone.now() - dt.timedelta(hours=1))
    assert 3600 <= demand(secret)["oldest_wait_seconds"] < 3700


def test_tasks_that_are_not_due_or_paused_or_too_strict_are_not_its(secret: str) -> None:
    joined(secret, isolation="T0")
    launched(1, required_isolation="T1")
    lifecycle.pause(launched(1), now=timezone.now())
    launched(1).tasks.update(available_at=timezone.now() + dt.timedelta(hours=1))
    assert demand(secret) == IDLE | {"live_workers": 1}
    # A stronger machine makes the tier's tasks the fleet's.
    joined(secret, isolation="T1")
    assert [need["tier"] for need in demand(secret)["needs"]] == ["T1"]


def test_needs_are_told_apart_by_tier_and_device(secret: str) -> None:
    device = {"name": "device", "type": "choice", "values": ["cuda"]}
    on_gpus = SMALL_SPACE | {"parameters": [*SMALL_SPACE["parameters"], device]}
    launched(1)
    launched(2, required_isolation="T1", search_space=on_gpus)
    joined(secret, isolation="T1", hardware={"devices": ["cpu"]})
    joined(secret, isolation="T1", hardware={"devices": ["cuda", "cpu"]})
    needs = [
        (need["device"], need["tier"], need["claimable"], need["live_workers"])
        for need in demand(secret)["needs"]
    ]
    assert needs == [("any", "T0", 1, 2), ("cuda", "T1", 2, 1)]


def test_retired_and_silent_workers_are_not_live(secret: str) -> None:
    gone, silent = joined(secret), joined(secret)
    assert demand(secret)["live_workers"] == 2
    worker_lifecycle.leave(gone, now=timezone.now())
    limit = dt.timedelta(seconds=settings.XEENET["LEASE_SECONDS"] + 5)
    Worker.objects.filter(pk=silent.pk).update(last_seen_at=timezone.now() - limit)
    assert demand(secret)["live_workers"] == 0


def test_the_cost_does_not_grow_with_the_tasks(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(1)
    claim(joined(secret, isolation="T1"), now=timezone.now())
    launched(1)
    demand(secret)  # the first one of a minute writes when the token was used

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            demand(secret)
        return len(captured)

    before = queries()
    for _ in range(3):
        launched(20)
    assert queries() == before <= 9
    monkeypatch.setattr(demands, "MOST_COUNTED", 7)
    assert demand(secret)["claimable"] == 7


def test_only_a_fleet_token_that_is_open_is_answered(secret: str) -> None:
    revoked, revoked_secret = fleet_token(now=timezone.now())
    fleets.revoke(revoked, now=timezone.now())
    _, expired_secret = fleet_token(now=timezone.now(), expires_at=timezone.now())
    clients = [
        APIClient(),
        agent_client()[0],
        researcher_client()[0],
        bearer("xf_unknown"),
        bearer(revoked_secret),
        bearer(expired_secret),
    ]
    assert [client.get(URL).status_code for client in clients] == [401] * 6
    # And it opens nothing else.
    for address in ("/api/v1/workers/me", "/api/v1/campaigns"):
        assert bearer(secret).get(address).status_code == 401


def test_it_is_throttled_by_token(secret: str, settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"FLEET_DEMANDS_PER_MINUTE": 1}
    _, other = fleet_token(now=timezone.now())
    assert [bearer(each).get(URL).status_code for each in (secret, secret, other)] == [
        200,
        429,
        200,
    ]
