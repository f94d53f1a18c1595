"""workers/me/token: a worker replaces its token, and a revoked token stops working at once."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests import factories
from tests.clients import agent_client, bearer, researcher_client
from workers import lifecycle
from workers.models import Worker
from workers.tokens import hash_token
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
TOKEN = "/api/v1/workers/me/token"


def every_call(client: APIClient, held: Any) -> set[int]:
    """The statuses of the answers to every call that an agent makes."""
    lease = f"/api/v1/leases/{held.lease_id}"
    ids = {"claim_id": str(uuid.uuid4()), "boot_id": str(uuid.uuid4())}
    boot, leases = {"boot_id": ids["boot_id"]}, {"leases": [{"lease_id": str(held.lease_id)}]}
    return {
        client.get("/api/v1/workers/me").status_code,
        client.post("/api/v1/leases/claim", ids | {"count": 1, "simulate": False}).status_code,
        client.post("/api/v1/heartbeat", boot | leases).status_code,
        client.put(f"{lease}/result", dict(factories.completed(held.task))).status_code,
        client.post(f"{lease}/release", {}).status_code,
        client.get(f"/api/v1/packages/{held.task.campaign.package_id}").status_code,
        client.get(f"/api/v1/datasets/{held.task.campaign.dataset_id}").status_code,
        client.post(TOKEN, {}).status_code,
    }


def test_the_new_token_works_at_once_and_the_old_one_opens_nothing() -> None:
    client, worker = agent_client()
    held = factories.leased_task(worker, now=timezone.now())

    reply = client.post(TOKEN, {})
    renewed = bearer(reply.json()["token"])

    assert (reply.status_code, list(reply.json())) == (200, ["token"])
    assert reply.headers["Cache-Control"] == "no-store"
    assert every_call(client, held) == {401}
    # Leases belong to the worker, so they survive the change of its token.
    submitted = renewed.put(
        f"/api/v1/leases/{held.lease_id}/result", dict(factories.completed(held.task))
    )
    assert submitted.json()["verdict"] == "accepted"


def test_the_server_keeps_the_hash_of_the_new_token_alone() -> None:
    client, worker = agent_client()

    secret = client.post(TOKEN, {}).json()["token"]

    stored = Worker.objects.values().get(pk=worker.pk)
    assert stored["token_hash"] == hash_token(secret)
    assert secret not in map(str, stored.values())


def test_revoking_shuts_a_worker_out_from_its_next_request_on() -> None:
    client, worker = agent_client()
    held = factories.leased_task(worker, now=timezone.now())
    assert client.get("/api/v1/workers/me").status_code == 200

    operator = researcher_client(factories.user(role=roles.OPERATOR))[0]
    assert operator.post(f"/api/v1/workers/{worker.pk}/disable").status_code == 200

    assert every_call(client, held) == {403}


def test_an_operators_new_token_kills_the_old_one_on_the_next_request() -> None:
    client, worker = agent_client()
    held = factories.leased_task(worker, now=timezone.now())

    lifecycle.rotate_token(worker)

    assert every_call(client, held) == {401}


def test_a_disabled_worker_gets_no_new_token() -> None:
    client, worker = agent_client()
    lifecycle.disable(worker)

    assert client.post(TOKEN, {}).status_code == 403


def test_a_person_is_no_worker_and_a_stranger_is_nobody() -> None:
    assert researcher_client()[0].post(TOKEN, {}).status_code == 401
    assert APIClient().post(TOKEN, {}).status_code == 401
