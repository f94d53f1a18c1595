"""POST workers/enrol and GET workers/me: from an invitation to a worker with a token."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests import factories
from tests.clients import agent_client, bearer
from workers import lifecycle
from workers.features import ALL_FEATURES
from workers.models import EnrolmentToken, Worker
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db
URL = "/api/v1/workers/enrol"
ME = "/api/v1/workers/me"


def invitation(**fields: Any) -> str:
    token, secret = lifecycle.invite(now=timezone.now())
    EnrolmentToken.objects.filter(pk=token.pk).update(**fields)
    return secret


def test_an_invitation_becomes_a_worker_whose_token_is_shown_once_and_stored_as_hash() -> None:
    answer = APIClient().post(
        URL,
        {
            "enrolment_token": invitation(),
            "name": "lab-7",
            "hardware": {"cpu_model": "Zuse Z3", "devices": ["cpu"]},
            "agent_version": "0.1.0",
        },
    )

    assert answer.status_code == 201, answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    worker = Worker.objects.get()
    reply = answer.json()
    assert (reply["worker_id"], reply["name"]) == (worker.pk, "lab-7")
    assert reply["token"].startswith("xw_")
    assert worker.token_hash == hash_token(reply["token"])
    assert worker.hardware == {"cpu_model": "Zuse Z3", "devices": ["cpu"]}

    me = bearer(reply["token"]).get(ME)
    assert me.status_code == 200
    assert me.json() == {
        "worker_id": worker.pk,
        "name": "lab-7",
        "state": "active",
        "pause_reason": "",
        "simulates": False,
        "agent_version": "0.1.0",
        "hardware": {"cpu_model": "Zuse Z3", "devices": ["cpu"]},
        # Agents report their isolation with their first claim.
        "isolation": "",
        "accepts_uploaded_scripts": False,
        "outdated": "",
        "features": sorted(ALL_FEATURES),
    }


def test_a_worker_without_a_name_is_given_one() -> None:
    reply = APIClient().post(URL, {"enrolment_token": invitation()}).json()

    assert reply["name"] == Worker.objects.get().name != ""


@pytest.mark.parametrize(
    "fields",
    [
        {"used_at": timezone.now()},
        {"expires_at": timezone.now() - dt.timedelta(seconds=1)},
        {"token_hash": "0" * 64},
    ],
    ids=["used", "expired", "unknown"],
)
def test_an_invitation_that_is_used_expired_or_unknown_is_refused(fields: dict[str, Any]) -> None:
    answer = APIClient().post(URL, {"enrolment_token": invitation(**fields)})

    assert answer.status_code == 403
    assert answer.json()["code"] == "enrolment_refused"
    assert "ask the operator" in answer.json()["message"]
    assert not Worker.objects.exists()


def test_an_invitation_lets_in_once() -> None:
    secret = invitation()

    statuses = [APIClient().post(URL, {"enrolment_token": secret}).status_code for _ in range(2)]

    assert statuses == [201, 403]
    assert Worker.objects.count() == 1


def test_a_name_that_is_taken_is_refused_and_the_invitation_stays_good() -> None:
    factories.worker("lab-7")
    secret = invitation()

    refused = APIClient().post(URL, {"enrolment_token": secret, "name": "lab-7"})
    taken = APIClient().post(URL, {"enrolment_token": secret, "name": "lab-8"})

    assert refused.status_code == 400
    assert list(refused.json()["fields"]) == ["name"]
    assert taken.status_code == 201


@pytest.mark.parametrize("name", ["ask:ada", "Ask:ada", "ask:", " ask:ada"])
def test_a_machine_cannot_enrol_under_the_name_of_a_persons_program(name: str) -> None:
    secret = invitation()

    refused = APIClient().post(URL, {"enrolment_token": secret, "name": name})

    assert refused.status_code == 400
    assert refused.json()["fields"] == {"name": [refused.json()["message"]]}
    assert "kept for people's own programs" in refused.json()["message"]
    assert not Worker.objects.exists()
    renamed = APIClient().post(URL, {"enrolment_token": secret, "name": "asks-much"})
    assert renamed.status_code == 201


def test_a_worker_that_enrols_anew_need_not_have_a_good_token() -> None:
    client = bearer("xw_long-forgotten")

    assert client.post(URL, {"enrolment_token": invitation()}).status_code == 201


def test_asking_who_one_is_notes_that_the_worker_was_here() -> None:
    client, worker = agent_client()

    client.get(ME)

    worker.refresh_from_db()
    assert worker.last_seen_at is not None


def test_a_disabled_worker_is_told_so_and_what_to_do() -> None:
    client, worker = agent_client("lab-7")
    lifecycle.disable(worker)

    answer = client.get(ME)

    assert answer.status_code == 403
    assert answer.json() == {
        "code": "permission_denied",
        "message": "The worker lab-7 is disabled. Ask the operator of this server to resume it.",
    }
    worker.refresh_from_db()
    assert worker.last_seen_at is None


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer xw_unknown", "not_authenticated"),
        ("Bearer of-no-kind", "not_authenticated"),
        ("Bearer \xff", "not_authenticated"),
        ("Bearer", "no_credentials"),
        ("Bearer a b", "no_credentials"),
        ("Basic eDp5", "no_credentials"),
    ],
)
def test_a_token_that_opens_nothing_is_not_authenticated(header: str, code: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)

    answer = client.get(ME)

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
