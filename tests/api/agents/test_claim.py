"""POST leases/claim: which leases a worker gets, and the reason when it gets fewer."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.lifecycle.guards import budgets_of_claim
from campaigns.models import Attempt, Task, TaskPurpose
from tests import factories
from tests.clients import agent_client
from workers import lifecycle as worker_lifecycle
from workers.models import WorkerSession

pytestmark = pytest.mark.django_db
URL = "/api/v1/leases/claim"


def claim_body(**changes: Any) -> dict[str, Any]:
    return {
        "claim_id": str(uuid.uuid4()),
        "boot_id": str(uuid.uuid4()),
        "count": 1,
        "simulate": False,
    } | changes


def test_a_claim_gets_a_lease_with_all_that_the_run_needs(settings: Any) -> None:
    task = factories.pending_task(time_budget_seconds=10.0)
    client, worker = agent_client()

    answer = client.post(URL, claim_body())

    assert answer.status_code == 200, answer.json()
    reply = answer.json()
    (lease,) = reply["leases"]
    attempt = Attempt.objects.get(worker=worker)
    campaign = task.campaign
    assert lease["lease_id"] == str(attempt.lease_id)
    assert lease["task_id"] == task.pk
    assert lease["task_number"] == 0
    assert lease["campaign_name"] == campaign.name
    assert lease["code_package_ref"] == "train_char_lm"
    assert lease["code_sha256"] == campaign.package_id
    assert lease["dataset"] == {
        "name": "tinyshakespeare",
        "sha256": campaign.dataset_id,
        "size_bytes": 1_115_394,
    }
    assert lease["config"] == task.config
    assert lease["config"]["seed"] == 42
    assert lease["time_budget_seconds"] == 10.0
    assert lease["kill_grace_seconds"] == 15.0
    assert lease["lease_seconds"] == 45.0
    assert lease["deadline_seconds"] == 60 + 10 + 15 + 60
    assert reply["heartbeat_seconds"] == 10.0
    assert reply["wait_seconds"] == 0.0
    assert reply["reason"] == ""


def test_a_repeated_claim_brings_the_same_leases_and_takes_no_more() -> None:
    factories.active_campaign(5)
    client, _ = agent_client()
    body = claim_body(count=2)

    first, again = client.post(URL, body).json(), client.post(URL, body).json()

    assert [lease["lease_id"] for lease in again["leases"]] == [
        lease["lease_id"] for lease in first["leases"]
    ]
    assert Attempt.objects.count() == 2


def test_a_repeated_claim_leaves_out_leases_that_have_ended() -> None:
    factories.active_campaign(1)
    client, worker = agent_client()
    body = claim_body()
    lease_id = client.post(URL, body).json()["leases"][0]["lease_id"]
    lifecycle.release(worker, uuid.UUID(lease_id), now=timezone.now())

    assert client.post(URL, body).json()["leases"] == []


def test_a_worker_gets_no_more_leases_than_its_slots_and_is_told_why() -> None:
    factories.active_campaign(5)
    client, worker = agent_client()

    assert len(client.post(URL, claim_body(count=4, slots=2)).json()["leases"]) == 2
    worker.refresh_from_db()
    assert worker.slots == 2
    full = client.post(URL, claim_body(count=4, slots=2)).json()

    assert full["leases"] == []
    assert full["wait_seconds"] > 0
    assert "holds 2 leases, and 2 is its bound" in full["reason"]


def test_a_claim_with_nothing_to_do_says_so_and_spreads_the_next_ones() -> None:
    client, _ = agent_client()

    replies = [client.post(URL, claim_body()).json() for _ in range(20)]

    assert replies[0]["leases"] == []
    assert replies[0]["reason"] == "No task waits."
    waits = [reply["wait_seconds"] for reply in replies]
    assert all(1.5 <= wait <= 4.5 for wait in waits)
    assert len(set(waits)) > 10


def test_a_simulating_worker_gets_only_campaigns_that_allow_it_and_is_told_why() -> None:
    factories.active_campaign(1)
    client, worker = agent_client()

    reply = client.post(URL, claim_body(simulate=True)).json()

    assert reply["leases"] == []
    assert "simulates" in reply["reason"]
    worker.refresh_from_db()
    assert worker.simulates

    factories.active_campaign(1, allow_simulated=True)
    assert len(client.post(URL, claim_body(simulate=True)).json()["leases"]) == 1


def test_a_claim_keeps_what_the_agent_says_of_its_machine_and_its_presence() -> None:
    client, worker = agent_client()
    boot_id = uuid.uuid4()
    hardware = {"cpu_model": "Zuse Z3", "cpu_count": 2, "devices": ["cpu"], "of_a_newer_agent": 1}

    client.post(URL, claim_body(boot_id=str(boot_id), hardware=hardware, agent_version="1.2.3"))

    worker.refresh_from_db()
    assert worker.hardware == {"cpu_model": "Zuse Z3", "cpu_count": 2, "devices": ["cpu"]}
    assert worker.agent_version == "1.2.3"
    assert timezone.now() - worker.last_seen_at < dt.timedelta(seconds=30)
    assert WorkerSession.objects.get(worker=worker).boot_id == boot_id

    client.post(URL, claim_body())
    worker.refresh_from_db()
    assert worker.hardware["cpu_count"] == 2, "a claim that says nothing forgets nothing"
    assert worker.agent_version == "1.2.3"


def test_a_draining_worker_gets_nothing_and_learns_why() -> None:
    factories.active_campaign(1)
    client, worker = agent_client()
    worker_lifecycle.drain(worker)

    reply = client.post(URL, claim_body()).json()

    assert reply["leases"] == []
    assert "draining" in reply["reason"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"claim_id": "17"}, "claim_id"),
        ({"claim_id": 17}, "claim_id"),
        ({"boot_id": None}, "boot_id"),
        ({"count": 0}, "count"),
        ({"count": 65}, "count"),
        ({"count": True}, "count"),
        ({"count": "1"}, "count"),
        ({"count": 1.0}, "count"),
        ({"slots": 0}, "slots"),
        ({"slots": 65}, "slots"),
        ({"slots": None}, "slots"),
        ({"slots": True}, "slots"),
        ({"simulate": "no"}, "simulate"),
        ({"simulate": 0}, "simulate"),
        ({"hardware": {"devices": {"0": "cpu"}}}, "hardware.devices"),
        ({"hardware": {"cpu_count": "many"}}, "hardware.cpu_count"),
        ({"hardware": []}, "hardware"),
    ],
)
def test_a_claim_of_the_wrong_shape_is_refused_by_field(
    changes: dict[str, Any], field: str
) -> None:
    factories.active_campaign(1)
    client, _ = agent_client()

    answer = client.post(URL, claim_body(**changes))

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert list(answer.json()["fields"]) == [field]
    assert answer.json()["message"].startswith(f"{field}: ")
    assert not Task.objects.filter(state="leased").exists()


def test_a_claim_without_a_token_says_that_none_arrived() -> None:
    answer = APIClient().post(URL, claim_body())

    assert answer.status_code == 401
    assert answer.json()["code"] == "no_credentials"
    assert "a proxy on the way drops" in answer.json()["message"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "no_credentials"),
        ("  ", "no_credentials"),
        ("Basic eDp5", "no_credentials"),  # a proxy put its own password there
        ("Bearer", "no_credentials"),
        ("Bearer xw_unknown", "not_authenticated"),
        ("Bearer xp_unknown", "not_authenticated"),
    ],
)
def test_a_token_that_did_not_arrive_is_told_from_one_that_nobody_has(
    header: str, code: str
) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)

    for answer in (client.post(URL, claim_body()), client.get("/api/v1/workers/me")):
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


# What a worker that wants to please on the important runs would look for.
TELLING = {"purpose", "screen", "race", "repeat", "replay", "rung", "baseline", "arm", "index"}


def shape(value: Any) -> Any:
    """The names in a reply, at every depth, without its values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def test_nothing_in_a_reply_says_why_its_task_exists() -> None:
    campaign = factories.active_campaign(2, name="n", description="d")
    now = timezone.now()
    first = factories.claim_one(factories.worker(), now=now)
    factories.finish(first, now=now)
    lifecycle.start_race(campaign, [0, 1], seeds=3, now=now)
    lifecycle.enqueue(campaign, campaign.arms.get(number=0).params, now=now)
    replies = {}
    for task in campaign.tasks.filter(state="pending").order_by("queue_rank", "number"):
        reply = agent_client()[0].post(URL, claim_body()).json()
        assert [lease["task_id"] for lease in reply["leases"]] == [task.pk]
        replies.setdefault(task.purpose, reply)

    assert set(replies) == {TaskPurpose.SCREEN, TaskPurpose.RACE, TaskPurpose.REPEAT}
    shapes = [shape(reply) for reply in replies.values()]
    assert shapes == shapes[:1] * 3
    for reply in replies.values():
        words = re.findall("[a-z]+", json.dumps(reply).lower())
        assert not TELLING & set(words)


def test_an_agent_that_ends_soon_gets_only_what_is_over_by_then() -> None:
    long = factories.pending_task(time_budget_seconds=100.0)
    short = factories.pending_task(time_budget_seconds=20.0)
    client, _ = agent_client()

    # Budgets have 15 s of grace.
    reply = client.post(URL, claim_body(count=2, longest_seconds=35.0)).json()
    none = client.post(URL, claim_body(longest_seconds=114.9)).json()
    rest = client.post(URL, claim_body(longest_seconds=115.0)).json()

    assert [lease["task_id"] for lease in reply["leases"]] == [short.pk]
    assert reply["reason"] == none["reason"].replace("100 s", "20 s")
    assert none["leases"] == []
    assert none["reason"] == (
        "The tasks that wait may take longer than the 100 s that this agent has left for one."
    )
    assert [lease["task_id"] for lease in rest["leases"]] == [long.pk]


def test_the_guard_of_work_counts_for_an_agent_that_ends_soon() -> None:
    campaign = factories.active_campaign(1, budget_kind="work", work_unit="steps", work_amount=50)
    client, worker = agent_client()
    guard = budgets_of_claim(list(campaign.tasks.all()), worker, timezone.now())
    (seconds,) = guard.values()

    none = client.post(URL, claim_body(longest_seconds=seconds + 14.9)).json()
    reply = client.post(URL, claim_body(longest_seconds=seconds + 15.0)).json()

    assert none["leases"] == []
    assert [lease["time_budget_seconds"] for lease in reply["leases"]] == [seconds]
