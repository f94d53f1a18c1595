"""POST workers/enrol with a fleet's token: ephemeral workers, and what keeps a job out."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests.clients import bearer
from tests.fleets import fleet_token
from workers import lifecycle
from workers.models import Worker
from workers.protocol import ERROR_STATUS

pytestmark = pytest.mark.django_db
URL = "/api/v1/workers/enrol"
KEY = "node-0001"


def enrol(secret: str, **body: Any) -> Any:
    return APIClient().post(URL, {"enrolment_token": secret, **body})


def fleet(**scope: Any) -> str:
    return fleet_token(now=timezone.now(), **scope)[1]


def test_a_job_becomes_an_ephemeral_worker_that_the_server_names() -> None:
    answer = enrol(fleet(name_prefix="lab"), machine_key=KEY, name="mine", agent_version="0.2.0")
    assert answer.status_code == 201, answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    worker = Worker.objects.get()
    reply = answer.json()
    assert reply.pop("token").startswith("xw_")
    assert reply == {"worker_id": worker.pk, "name": worker.name, "ephemeral": True}
    assert worker.name.startswith("lab-")
    assert worker.agent_version == "0.2.0"


def test_a_good_bye_retires_it_and_kills_its_token() -> None:
    client = bearer(enrol(fleet(), machine_key=KEY).json()["token"])
    assert client.post("/api/v1/workers/me/leave").status_code == 200
    assert Worker.objects.get().state == "retired"
    refused = client.get("/api/v1/workers/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")


def test_a_full_fleet_answers_409_with_the_time_of_the_next_try() -> None:
    secret = fleet(max_live=1)
    enrol(secret, machine_key=KEY)
    answer = enrol(secret, machine_key="node-0002")
    code = answer.json()["code"]
    assert (answer.status_code, code) == (409, "fleet_full")
    assert ERROR_STATUS[code] == 409
    assert 20 <= int(answer.headers["Retry-After"]) < 40


def test_an_unknown_token_and_a_disabled_worker_answer_403() -> None:
    secret = fleet()
    enrol(secret, machine_key=KEY)
    lifecycle.disable(Worker.objects.get())
    for answer in (enrol("xf_unknown", machine_key=KEY), enrol(secret, machine_key=KEY)):
        assert (answer.status_code, answer.json()["code"]) == (403, "enrolment_refused")


@pytest.mark.parametrize("key", ["short", "x" * 65, "with space", "new\nline-here", "käferbohne"])
def test_a_key_that_no_machine_has_is_refused(key: str) -> None:
    answer = enrol(fleet(), machine_key=key)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["machine_key"]


def test_a_fleet_token_needs_a_key_and_an_invitation_takes_none() -> None:
    _, invitation = lifecycle.invite(now=timezone.now())
    for answer in (enrol(fleet()), enrol(invitation, machine_key=KEY)):
        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == ["machine_key"]
    assert not Worker.objects.exists()


def test_retired_workers_are_listed_only_when_they_are_wanted() -> None:
    enrol(fleet(), machine_key=KEY)
    lifecycle.leave(Worker.objects.get(), now=timezone.now())
    assert APIClient().get("/api/v1/workers").json()["results"] == []
    retired = APIClient().get("/api/v1/workers?state=retired").json()["results"]
    assert [row["state"] for row in retired] == ["retired"]
