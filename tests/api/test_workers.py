"""workers: the list of the fleet, and how operators drain, resume and disable workers."""

from __future__ import annotations

import uuid

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from tests import factories
from tests.clients import agent_client, researcher_client
from workers import lifecycle
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db


def test_the_fleet_comes_by_name_with_who_is_online_and_who_is_a_person() -> None:
    now = timezone.now()
    lifecycle.see(factories.worker("lab-7"), now=now, boot_id=uuid.uuid4())
    lifecycle.identity_of(factories.user("ada"), now=now)

    reply = APIClient().get("/api/v1/workers").json()

    rows = [
        (worker["name"], worker["state"], worker["is_online"], worker["is_person"])
        for worker in reply["results"]
    ]
    assert rows == [("ask:ada", "active", False, True), ("lab-7", "active", True, False)]
    assert "token_hash" not in reply["results"][0]


def test_the_fleet_is_narrowed_by_state_and_name() -> None:
    lifecycle.drain(factories.worker("lab-7"))
    factories.worker("home")

    def names(**query: str) -> list[str]:
        reply = APIClient().get("/api/v1/workers", query).json()
        return [worker["name"] for worker in reply["results"]]

    assert names(state="draining") == names(search="LAB") == ["lab-7"]
    assert APIClient().get("/api/v1/workers", {"state": "asleep"}).status_code == 400


def test_an_operator_drains_resumes_and_disables_and_each_act_is_in_the_log() -> None:
    client, operator = researcher_client(factories.user(role=roles.OPERATOR))
    agent, worker = agent_client()

    states = [
        client.post(f"/api/v1/workers/{worker.pk}/{verb}").json()["state"]
        for verb in ("drain", "resume", "disable")
    ]

    assert states == ["draining", "active", "disabled"]
    assert agent.get("/api/v1/workers/me").status_code == 403
    again = client.post(f"/api/v1/workers/{worker.pk}/disable")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    acts = AuditEntry.objects.order_by("pk").values_list("verb", "actor", "target_id")
    assert list(acts) == [(verb, operator.pk, worker.pk) for verb in ("drain", "resume", "disable")]


def test_the_fleet_costs_three_queries_however_large_it_is(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(4):
        factories.worker()

    with django_assert_max_num_queries(3):  # count, page, and the database's clock on PostgreSQL
        APIClient().get("/api/v1/workers")
