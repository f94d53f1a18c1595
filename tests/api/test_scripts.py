"""scripts: upload, list, read, approve, decline and delete; which workers get an upload."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns.models import Package
from campaigns.scripts import steering as script_steering
from tests import factories
from tests.clients import agent_client, researcher_client
from tests.factories import uploaded
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
VARIATION = factories.VARIATION.decode()
BODY = {"name": "wider", "experiment": "train_char_lm", "source": VARIATION}
CLAIM = {"simulate": False, "count": 1}


def operator_client() -> APIClient:
    return researcher_client(factories.user(role=roles.OPERATOR))[0]


def claim(agent: APIClient, **changes: Any) -> dict[str, Any]:
    ids = {"claim_id": str(uuid.uuid4()), "boot_id": str(uuid.uuid4())}
    reply: dict[str, Any] = agent.post("/api/v1/leases/claim", ids | CLAIM | changes).json()
    return reply


def test_an_upload_waits_is_listed_and_read_back_with_what_it_changes() -> None:
    client, ada = researcher_client()

    created = client.post("/api/v1/scripts", BODY)
    again = client.post("/api/v1/scripts", BODY)

    assert (created.status_code, again.status_code) == (201, 200)
    assert created.json() == again.json()
    assert created.json()["uploaded_by"] == ada.username
    assert (created.json()["origin"], created.json()["may_run"]) == ("uploaded", False)
    (listed,) = client.get("/api/v1/scripts", {"approved": "false"}).json()["results"]
    assert listed == created.json()
    assert client.get("/api/v1/scripts", {"approved": "true"}).json()["results"] == []
    read = client.get(f"/api/v1/scripts/{listed['sha256']}").json()
    assert read["source"] == VARIATION
    assert read["difference"][-1] == "+# a variation"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"source": ""}, "source"),
        ({"source": "import numpy\n"}, "source"),
        ({"source": "x = 1 # \u202e\n"}, "source"),
        ({"source": "PK\u0003\u0004"}, "source"),
        ({"source": "# \u00e9" * 90_000}, "source"),
        ({"source": 7}, "source"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"name": "a\u202eyp"}, "name"),
        ({"name": " "}, "name"),
        ({"experiment": "nothing"}, "experiment"),
        ({"approved_at": "2026-01-01"}, "approved_at"),
        ({"origin": "builtin"}, "origin"),
    ],
)
def test_what_is_no_plain_script_is_refused_at_its_field(
    changes: dict[str, Any], field: str
) -> None:
    answer = researcher_client()[0].post("/api/v1/scripts", BODY | changes)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]
    assert not Package.objects.exists()


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/zip", 415), ("multipart/form-data; boundary=x", 415), ("text/x-python", 415)],
)
def test_an_archive_or_another_kind_of_body_is_refused(content_type: str, status: int) -> None:
    client, _ = researcher_client()

    answer = client.generic("POST", "/api/v1/scripts", "PK\x03\x04", content_type=content_type)

    assert (answer.status_code, answer.json()["code"]) == (status, "unsupported_media_type")


def test_a_body_beyond_the_limit_of_the_server_is_too_large() -> None:
    answer = researcher_client()[0].post("/api/v1/scripts", BODY | {"source": "#" * 1_100_000})

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_an_operator_approves_by_hash_and_withdraws_and_twice_is_told() -> None:
    client, sha256 = operator_client(), uploaded().sha256

    def answers(verb: str) -> list[tuple[int, Any]]:
        replies = [client.post(f"/api/v1/scripts/{sha256}/{verb}") for _ in range(2)]
        return [(reply.status_code, reply.json().get("may_run")) for reply in replies]

    assert answers("approve") == [(200, True), (409, None)]
    assert answers("withdraw") == [(200, False), (409, None)]
    assert client.post(f"/api/v1/scripts/{'0' * 64}/approve").status_code == 404


def test_an_operator_declines_with_a_reason_that_the_list_shows() -> None:
    client, sha256 = operator_client(), uploaded().sha256
    address = f"/api/v1/scripts/{sha256}/decline"

    for body in ({}, {"reason": " "}, {"reason": "x" * 501}):
        refused = client.post(address, body)
        assert (refused.status_code, list(refused.json()["fields"])) == (400, ["reason"])
    declined = client.post(address, {"reason": "It reads /etc."})

    assert (declined.status_code, declined.json()["may_run"]) == (200, False)
    assert declined.json()["declined_reason"] == "It reads /etc."
    assert client.post(address, {"reason": "again"}).status_code == 409
    listed = client.get("/api/v1/scripts", {"declined": "true"}).json()["results"]
    assert listed == [declined.json()]
    assert client.get("/api/v1/scripts", {"declined": "false"}).json()["results"] == []


def test_a_script_is_deleted_by_its_uploader_once_no_campaign_uses_it() -> None:
    client, _ = researcher_client()
    sha256 = client.post("/api/v1/scripts", BODY).json()["sha256"]
    address = f"/api/v1/scripts/{sha256}"
    campaign = factories.campaign(script=sha256)

    assert researcher_client()[0].delete(address).status_code == 403
    assert client.delete(address).status_code == 409
    campaign.delete()
    assert client.delete(address).status_code == 204
    assert client.delete(address).status_code == 404
    assert not Package.objects.filter(pk=sha256).exists()


def test_an_approved_upload_reaches_only_workers_that_accept_uploads_and_isolate_them() -> None:
    researcher, _ = researcher_client()
    sha256 = researcher.post("/api/v1/scripts", BODY).json()["sha256"]
    spec = {
        "name": "wide",
        "experiment": "train_char_lm",
        "task_count": 1,
        "time_budget_seconds": 5,
        "script": sha256,
        "required_isolation": "T1",
    }
    campaign = researcher.post("/api/v1/campaigns", spec).json()
    assert (campaign["script_origin"], campaign["script_may_run"]) == ("uploaded", False)
    assert (campaign["code_sha256"], campaign["required_isolation"]) == (sha256, "T1")
    researcher.post(f"/api/v1/campaigns/{campaign['id']}/launch")
    agent, worker = agent_client()

    unapproved = claim(agent, isolation="T1", accepts_uploaded_scripts=True)
    hidden = agent.get(f"/api/v1/packages/{sha256}")
    operator_client().post(f"/api/v1/scripts/{sha256}/approve")
    not_accepting = claim(agent, isolation="T1")
    not_isolated = claim(agent, isolation="T0", accepts_uploaded_scripts=True)
    reply = claim(agent, isolation="T1", accepts_uploaded_scripts=True)

    assert (unapproved["leases"], not_accepting["leases"], not_isolated["leases"]) == ([], [], [])
    assert "no operator has approved" in unapproved["reason"]
    assert "--allow-uploaded-scripts" in not_accepting["reason"]
    assert "need isolation T1" in not_isolated["reason"]
    assert hidden.status_code == 409
    (lease,) = reply["leases"]
    assert (lease["code_package_ref"], lease["code_sha256"]) == ("train_char_lm", sha256)
    assert (lease["script_origin"], lease["required_isolation"]) == ("uploaded", "T1")
    assert agent.get(f"/api/v1/packages/{sha256}").content.decode() == VARIATION
    worker.refresh_from_db()
    assert (worker.isolation, worker.accepts_uploaded_scripts) == ("T1", True)
    reported = agent.get("/api/v1/workers/me").json()
    assert (reported["isolation"], reported["accepts_uploaded_scripts"]) == ("T1", True)


def test_a_script_whose_approval_was_withdrawn_is_not_handed_to_the_worker_that_claimed_it() -> (
    None
):
    package = uploaded(approved=True, now=timezone.now())
    sha256 = package.sha256
    factories.active_campaign(1, script=sha256, now=timezone.now())
    agent, _ = agent_client()
    claim(agent, accepts_uploaded_scripts=True)

    script_steering.withdraw(None, package, now=timezone.now())
    answer = agent.get(f"/api/v1/packages/{sha256}")

    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert "withdrawn" in answer.json()["message"]


def test_an_agent_that_stops_saying_what_it_does_counts_as_the_least() -> None:
    agent, worker = agent_client()
    claim(agent, isolation="T1", accepts_uploaded_scripts=True)

    claim(agent)

    worker.refresh_from_db()
    assert (worker.isolation, worker.tier, worker.accepts_uploaded_scripts) == ("", "T0", False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"isolation": "T2"}, "isolation"),
        ({"isolation": 1}, "isolation"),
        ({"isolation": ""}, "isolation"),
        ({"accepts_uploaded_scripts": "yes"}, "accepts_uploaded_scripts"),
        ({"accepts_uploaded_scripts": 1}, "accepts_uploaded_scripts"),
    ],
)
def test_a_claim_with_an_unknown_tier_is_refused(changes: dict[str, Any], field: str) -> None:
    reply = claim(agent_client()[0], **changes)

    assert (reply["code"], list(reply["fields"])) == ("invalid", [field])


def test_the_list_costs_the_same_however_long_it_is_and_reads_no_text(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(4):
        uploaded(f"{VARIATION}# {number}\n".encode())

    with django_assert_num_queries(1) as captured:
        APIClient().get("/api/v1/scripts")

    assert '"source"' not in captured.captured_queries[0]["sql"]
