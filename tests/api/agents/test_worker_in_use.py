"""Two agents with one worker's token: the one that began to claim last works on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from campaigns.models import AttemptOutcome, TaskState
from tests import factories
from tests.clients import agent_client
from workers.models import Worker

pytestmark = pytest.mark.django_db
CLAIM = "/api/v1/leases/claim"
HEARTBEAT = "/api/v1/heartbeat"
OLD, NEW = str(uuid.uuid4()), str(uuid.uuid4())


def body(boot: str, **changes: Any) -> dict[str, Any]:
    return {
        "claim_id": str(uuid.uuid4()),
        "boot_id": boot,
        "count": 1,
        "simulate": False,
        "scripts": [],
        "runs_server_code": True,
    } | changes


def test_the_older_agent_is_told_so_and_the_newer_works_on() -> None:
    factories.active_campaign(6)
    client, worker = agent_client()
    assert len(client.post(CLAIM, body(OLD)).json()["leases"]) == 1
    assert len(client.post(CLAIM, body(NEW)).json()["leases"]) == 1
    for _ in range(2):
        refused = client.post(CLAIM, body(OLD))
        assert (refused.status_code, refused.json()["code"]) == (409, "worker_in_use")
        assert len(client.post(CLAIM, body(NEW)).json()["leases"]) == 1
    assert Worker.objects.get(pk=worker.pk).claiming_boot == uuid.UUID(NEW)


def test_its_heartbeats_results_and_releases_are_still_taken() -> None:
    factories.active_campaign(3)
    client, worker = agent_client()
    leases = client.post(CLAIM, body(OLD, count=2)).json()["leases"]
    client.post(CLAIM, body(NEW))
    ids = [lease["lease_id"] for lease in leases]
    beat = {"boot_id": OLD, "leases": [{"lease_id": each} for each in ids]}
    answers = client.post(HEARTBEAT, beat).json()["leases"]
    assert [answer["answer"] for answer in answers] == ["continue", "continue"]
    task = worker.leased_tasks.get(lease_id=ids[0])
    result = client.put(f"/api/v1/leases/{ids[0]}/result", dict(factories.completed(task)))
    assert result.json()["verdict"] == "accepted"
    assert client.post(f"/api/v1/leases/{ids[1]}/release", {}).json()["verdict"] == "released"
    task.refresh_from_db()
    assert task.state == TaskState.COMPLETED


def test_a_heartbeat_alone_takes_nothing_over() -> None:
    factories.active_campaign(2)
    client, _ = agent_client()
    client.post(CLAIM, body(OLD))
    client.post(HEARTBEAT, {"boot_id": NEW, "leases": []})
    assert client.post(CLAIM, body(OLD)).status_code == 200


def test_a_lost_answer_of_before_is_answered_again() -> None:
    factories.active_campaign(2)
    client, worker = agent_client()
    lost = body(OLD)
    leases = client.post(CLAIM, lost).json()["leases"]
    client.post(CLAIM, body(NEW))
    assert [each["lease_id"] for each in client.post(CLAIM, lost).json()["leases"]] == [
        lease["lease_id"] for lease in leases
    ]
    assert worker.attempts.filter(outcome=AttemptOutcome.RUNNING).count() == 2


def test_an_agent_of_0_1_0_gets_no_task_and_the_reason() -> None:
    factories.active_campaign(3)
    client, _ = agent_client()
    old = body(OLD)
    del old["scripts"], old["runs_server_code"]
    assert len(client.post(CLAIM, old).json()["leases"]) == 1
    client.post(CLAIM, body(NEW))
    answer = client.post(CLAIM, old | {"claim_id": str(uuid.uuid4())})
    assert (answer.status_code, answer.json()["leases"]) == (200, [])
    assert "started later" in answer.json()["reason"]


@pytest.mark.parametrize(("longest", "tasks"), [(24.9, 0), (25.0, 1), (0.0, 0)])
def test_an_agent_that_ends_soon_gets_no_task_that_outlasts_it(longest: float, tasks: int) -> None:
    factories.pending_task(time_budget_seconds=10.0)  # and 15 s of grace
    client, _ = agent_client()
    reply = client.post(CLAIM, body(NEW, longest_seconds=longest)).json()
    assert len(reply["leases"]) == tasks
