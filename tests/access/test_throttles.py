"""Request limits per worker, person or address; a refusal says how long to wait."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from rest_framework.test import APIClient

from tests import factories
from tests.clients import agent_client, researcher_client
from workers.agent.connection.client import Client as AgentClient
from workers.agent.connection.client import ServerUnavailable

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(factories.NOW, tick=False) as coordinates:
        yield coordinates


def limit(settings: Any, **limits: int) -> None:
    settings.XEENET = settings.XEENET | limits


def claim(client: APIClient) -> Any:
    body = {
        "claim_id": str(uuid.uuid4()),
        "boot_id": str(uuid.uuid4()),
        "count": 1,
        "simulate": False,
    }
    return client.post("/api/v1/leases/claim", body)


def heartbeat(client: APIClient) -> Any:
    return client.post("/api/v1/heartbeat", {"boot_id": str(uuid.uuid4()), "leases": []})


def test_a_worker_that_claims_too_often_is_told_how_long_to_wait(settings: Any) -> None:
    limit(settings, CLAIMS_PER_MINUTE=3)
    client, _ = agent_client()
    assert [claim(client).status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = claim(client)
    wait = int(answer.headers["Retry-After"])
    assert 0 < wait <= 60
    assert answer.json() == {
        "code": "throttled",
        "message": f"You ask too often; the next such request is answered in {wait} s.",
    }


def test_after_the_wait_the_worker_is_answered_again(
    settings: Any, clock: time_machine.Coordinates
) -> None:
    limit(settings, CLAIMS_PER_MINUTE=1)
    client, _ = agent_client()
    assert claim(client).status_code == 200
    wait = int(claim(client).headers["Retry-After"])
    clock.shift(wait - 1.5)
    assert claim(client).status_code == 429
    clock.shift(2)
    assert claim(client).status_code == 200


def test_a_wild_worker_holds_up_neither_others_nor_its_own_heartbeats(settings: Any) -> None:
    limit(settings, CLAIMS_PER_MINUTE=1)
    wild, other_worker = agent_client()[0], agent_client()[0]
    assert [claim(wild).status_code for _ in range(3)] == [200, 429, 429]
    assert claim(other_worker).status_code == 200
    assert heartbeat(wild).status_code == 200


def test_each_kind_of_request_has_its_limit(settings: Any) -> None:
    limit(
        settings,
        HEARTBEATS_PER_MINUTE=1,
        SUBMITS_PER_MINUTE=1,
        CALIBRATIONS_PER_MINUTE=1,
        ENROLMENTS_PER_MINUTE=1,
        ANONYMOUS_REQUESTS_PER_MINUTE=1,
    )
    client, _ = agent_client()
    lease = f"/api/v1/leases/{uuid.uuid4()}"
    assert [heartbeat(client).status_code for _ in range(2)] == [200, 429]
    body = {"outcome": "failed", "failure_class": "script_error"}
    assert client.put(f"{lease}/result", body).status_code == 404
    assert client.post(f"{lease}/release", {}).status_code == 429
    measured = [client.post("/api/v1/workers/me/calibration", {}) for _ in range(2)]
    assert [answer.status_code for answer in measured] == [400, 429]
    enrol = {"enrolment_token": "xe_unknown"}
    answers = [APIClient().post("/api/v1/workers/enrol", enrol) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [403, 429]
    assert [APIClient().get("/api/v1/campaigns").status_code for _ in range(2)] == [200, 429]


def test_strangers_are_told_apart_by_address_and_people_signed_in_are_free(settings: Any) -> None:
    limit(settings, ANONYMOUS_REQUESTS_PER_MINUTE=1)

    def read(address: str) -> int:
        return APIClient(REMOTE_ADDR=address).get("/api/v1/campaigns").status_code

    assert [read("192.0.2.1"), read("192.0.2.1"), read("192.0.2.2")] == [200, 429, 200]
    person, _ = researcher_client()
    assert [person.get("/api/v1/campaigns").status_code for _ in range(3)] == [200, 200, 200]


def test_an_ask_of_a_person_counts_for_the_person(settings: Any) -> None:
    limit(settings, CLAIMS_PER_MINUTE=1)
    person, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    path = f"/api/v1/campaigns/{campaign.pk}/ask"
    assert [person.post(path, {}).status_code for _ in range(2)] == [200, 429]


def test_zero_switches_a_limit_off(settings: Any) -> None:
    limit(settings, CLAIMS_PER_MINUTE=0)
    client, _ = agent_client()
    assert {claim(client).status_code for _ in range(20)} == {200}


def test_minutes_of_different_callers_begin_at_different_seconds(settings: Any) -> None:
    limit(settings, CLAIMS_PER_MINUTE=1)
    waits = set()
    for _ in range(6):
        client, _worker = agent_client()
        claim(client)
        waits.add(claim(client).headers["Retry-After"])
    assert len(waits) > 1


@pytest.mark.django_db(transaction=True)
def test_the_agent_waits_as_long_as_it_is_told(
    settings: Any, live_server: Any, clock: time_machine.Coordinates
) -> None:
    limit(settings, HEARTBEATS_PER_MINUTE=1)
    _, token = factories.worker_with_token()
    agent = AgentClient(live_server.url, token)
    body: Any = {"boot_id": str(uuid.uuid4()), "leases": []}
    agent.heartbeat(body)
    with pytest.raises(ServerUnavailable) as caught:
        agent.heartbeat(body)
    agent.close()
    assert caught.value.retry_after_seconds is not None
    assert 0 < caught.value.retry_after_seconds <= 60
