"""invitations and workers/<id>/token: how operators admit machines over the API."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from tests import factories
from tests.clients import agent_client, bearer, researcher_client
from workers import lifecycle
from workers.models import AuditEntry, EnrolmentToken
from xeenet_site.web import addresses, roles

pytestmark = pytest.mark.django_db
URL = "/api/v1/invitations"


@pytest.fixture
def operator() -> APIClient:
    return researcher_client(factories.user("olga", role=roles.OPERATOR))[0]


def test_an_invitation_is_shown_once_with_the_command_and_lets_one_machine_in(
    operator: APIClient,
) -> None:
    answer = operator.post(URL, {"label": "attic"})

    reply = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    secret = reply["enrolment_token"]
    assert reply["command"].endswith(
        f"/bin/xeenet-worker --server http://testserver --enrol {secret}"
    )
    assert "http://testserver/workers/program/xeenet_worker-" in reply["install"]
    assert reply["problem"] == ""
    assert reply["link"] == f"http://testserver/workers/join/#{secret}"
    enrol = {"enrolment_token": secret, "name": "attic-1"}
    assert APIClient().post("/api/v1/workers/enrol", enrol).status_code == 201
    assert APIClient().post("/api/v1/workers/enrol", enrol).status_code == 403
    (listed,) = operator.get(URL).json()["results"]
    assert (listed["label"], listed["created_by"], listed["worker"]) == ("attic", "olga", "attic-1")
    assert secret not in operator.get(URL).content.decode()


def test_the_command_names_an_address_that_other_machines_reach(
    operator: APIClient, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    monkeypatch.setattr(addresses, "lan_addresses", lambda: ["192.168.7.20"])
    monkeypatch.setattr(addresses, "listening_host", lambda port: "127.0.0.1")
    reply = operator.post(URL, {}, SERVER_NAME="127.0.0.1", SERVER_PORT="8000").json()
    assert "--server http://192.168.7.20:8000 " in reply["command"]
    assert "127.0.0.1" not in reply["command"] + reply["install"] + reply["link"]
    assert "listens to its own machine only" in reply["problem"]
    monkeypatch.setattr(addresses, "lan_addresses", list)  # there is no network
    reply = operator.post(URL, {}, SERVER_NAME="127.0.0.1", SERVER_PORT="8000").json()
    assert "--server http://127.0.0.1:8000 " in reply["command"]
    assert "no other machine can reach it" in reply["problem"]


def test_a_withdrawn_invitation_lets_nobody_in(operator: APIClient) -> None:
    created = operator.post(URL, {}).json()

    assert operator.delete(f"{URL}/{created['id']}").status_code == 204

    enrol = {"enrolment_token": created["enrolment_token"]}
    assert APIClient().post("/api/v1/workers/enrol", enrol).status_code == 403
    assert operator.delete(f"{URL}/{created['id']}").status_code == 404
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True)) == [
        "invite",
        "withdraw",
    ]


def test_a_used_invitation_stays(operator: APIClient) -> None:
    created = operator.post(URL, {}).json()
    lifecycle.enrol(created["enrolment_token"], now=EnrolmentToken.objects.get().created_at)

    answer = operator.delete(f"{URL}/{created['id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert "disable the worker instead" in answer.json()["message"]
    assert EnrolmentToken.objects.count() == 1


def test_the_list_is_narrowed_to_open_invitations(operator: APIClient) -> None:
    factories.worker("joined")
    operator.post(URL, {"label": "open"})

    def labels(used: str) -> list[str]:
        return [row["label"] for row in operator.get(URL, {"used": used}).json()["results"]]

    assert labels("false") == ["open"]
    assert labels("true") == ["joined"]


def test_a_new_token_replaces_the_workers_old_one(operator: APIClient) -> None:
    old, worker = agent_client()

    answer = operator.post(f"/api/v1/workers/{worker.pk}/token")

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert old.get("/api/v1/workers/me").status_code == 401
    assert bearer(answer.json()["token"]).get("/api/v1/workers/me").status_code == 200
    lifecycle.disable(worker)
    assert operator.post(f"/api/v1/workers/{worker.pk}/token").status_code == 409


def test_the_list_costs_the_same_however_long_it_is(
    operator: APIClient, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        factories.worker()

    with django_assert_max_num_queries(5):  # the token and its use, the role, the page, the time
        assert len(operator.get(URL).json()["results"]) == 5
