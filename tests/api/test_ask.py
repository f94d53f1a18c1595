"""campaigns/<id>/ask: an optimiser outside the server gets leases and reports their results."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from campaigns.models import Attempt, Campaign
from tests import factories
from tests.clients import agent_client, researcher_client
from workers import lifecycle as worker_lifecycle
from workers.models import AuditEntry, Worker
from workers.protocol import Lease

pytestmark = pytest.mark.django_db

POINT = {"lr": 0.0012, "d_model": 128}


def ask(client: APIClient, campaign: Campaign, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/ask", body)
    assert answer.status_code == 200, answer.json()
    reply: dict[str, Any] = answer.json()
    return reply


def result_url(lease: dict[str, Any]) -> str:
    return f"/api/v1/leases/{lease['lease_id']}/result"


def test_what_waits_is_leased_to_the_person_in_the_shape_agents_get() -> None:
    client, owner = researcher_client(factories.user("ada"))
    factories.active_campaign(2)  # older, and of another owner
    campaign = factories.active_campaign(3, owner=owner)

    reply = ask(client, campaign, count=2)

    first, second = reply["leases"]
    assert set(first) == set(Lease.__annotations__)
    assert [first["task_number"], second["task_number"]] == [0, 1]
    assert {first["campaign_id"], second["campaign_id"]} == {campaign.pk}
    assert first["config"] == campaign.tasks.get(number=0).config
    assert (reply["reason"], reply["wait_seconds"]) == ("", 0.0)
    attempt = Attempt.objects.get(lease_id=first["lease_id"])
    assert (attempt.worker.name, attempt.worker.person) == ("ask:ada", owner)
    assert attempt.worker.last_seen_at is not None


def test_a_point_of_ones_own_is_made_and_leased_at_once() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)

    (lease,) = ask(client, campaign, params=POINT, seed=7)["leases"]

    task = campaign.tasks.get(pk=lease["task_id"])
    assert (task.params, task.seed, task.number, task.state) == (POINT, 7, 2, "leased")
    assert lease["config"]["lr"] == POINT["lr"]
    entry = AuditEntry.objects.get(verb="enqueue")
    assert (entry.actor, entry.target_id) == (owner, task.pk)


def test_the_result_is_recomputed_and_ranked_like_an_agents() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    (lease,) = ask(client, campaign)["leases"]
    body = dict(factories.completed(campaign.tasks.get(), 2.5))

    answer = client.put(result_url(lease), body)
    again = client.put(result_url(lease), body)

    assert (answer.status_code, answer.json()["verdict"]) == (200, "accepted")
    assert again.json() == answer.json()
    result = campaign.results.get()
    assert (result.value, result.is_ranked) == (2.5, True)


def test_a_value_that_does_not_follow_from_its_counters_is_refused() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    (lease,) = ask(client, campaign)["leases"]
    task = campaign.tasks.get()
    body = dict(factories.completed(task, 2.5)) | {
        "metrics": factories.metrics(task, 2.5) | {"val_bpb": 1.0}
    }

    answer = client.put(result_url(lease), body)

    assert (answer.status_code, answer.json()["verdict"]) == (422, "refused")
    assert not campaign.results.exists()


def test_a_failure_told_sends_the_task_back_to_be_tried_again() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    (lease,) = ask(client, campaign)["leases"]

    answer = client.put(
        result_url(lease), {"outcome": "failed", "failure_class": "oom", "message": "too large"}
    )

    assert answer.json()["verdict"] == "retry"
    task = campaign.tasks.get()
    assert (task.state, task.failed_attempts) == ("pending", 1)


def test_the_heartbeat_renews_the_persons_leases_and_keeps_their_curve() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    (lease,) = ask(client, campaign)["leases"]
    before = campaign.tasks.get().lease_expires_at
    point = {"seq": 0, "elapsed_seconds": 1.0, "step": 10, "val_bpb": 4.0}
    leases = [{"lease_id": lease["lease_id"], "progress": [point]}]

    answer = client.post("/api/v1/heartbeat", {"boot_id": str(uuid.uuid4()), "leases": leases})

    assert answer.status_code == 200, answer.json()
    assert [lease_answer["answer"] for lease_answer in answer.json()["leases"]] == ["continue"]
    after = campaign.tasks.get().lease_expires_at
    assert before is not None
    assert after is not None
    assert after > before
    assert Attempt.objects.get().progress.get().value == 4.0


def test_a_lease_can_be_given_back_unrun() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    (lease,) = ask(client, campaign)["leases"]

    answer = client.post(f"/api/v1/leases/{lease['lease_id']}/release", {})

    assert answer.json()["verdict"] == "released"
    assert campaign.tasks.get().state == "pending"


def test_an_ask_repeated_brings_the_same_lease_and_makes_no_second_task() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    claim_id = str(uuid.uuid4())

    first = ask(client, campaign, claim_id=claim_id, params=POINT)
    second = ask(client, campaign, claim_id=claim_id, params=POINT)

    assert [lease["lease_id"] for lease in first["leases"]] == [
        lease["lease_id"] for lease in second["leases"]
    ]
    assert campaign.tasks.count() == 2
    assert AuditEntry.objects.filter(verb="enqueue").count() == 1


def test_nobody_tells_for_another_persons_lease() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    (lease,) = ask(client, campaign)["leases"]
    other_person, _ = researcher_client(factories.user(is_staff=True))
    ask(other_person, campaign)
    body = dict(factories.completed(campaign.tasks.get(number=0)))

    for stranger in (other_person, researcher_client()[0], agent_client()[0]):
        assert stranger.put(result_url(lease), body).status_code == 404
    assert client.put(result_url(lease), body).status_code == 200


def test_only_who_may_change_the_campaign_asks() -> None:
    campaign = factories.active_campaign(1, owner=factories.user())
    stranger, _ = researcher_client()

    answer = stranger.post(f"/api/v1/campaigns/{campaign.pk}/ask", {"params": POINT})

    assert answer.status_code == 403
    assert campaign.tasks.count() == 1
    assert not Worker.objects.exists()


def test_the_identity_of_who_had_the_user_name_before_is_not_taken_over() -> None:
    former_user = factories.user("ada")
    former_identity, _ = worker_lifecycle.identity_of(former_user, now=factories.NOW)
    former_user.delete()
    client, owner = researcher_client(factories.user("ada"))
    campaign = factories.active_campaign(1, owner=owner)

    (lease,) = ask(client, campaign)["leases"]

    holder = Attempt.objects.get(lease_id=lease["lease_id"]).worker
    assert holder != former_identity
    assert holder.name == f"ask:{owner.pk}:ada"


def test_an_identity_that_an_operator_disabled_asks_and_tells_nothing() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    (lease,) = ask(client, campaign)["leases"]
    worker_lifecycle.disable(Worker.objects.get(person=owner))

    ask_answer = client.post(f"/api/v1/campaigns/{campaign.pk}/ask", {})
    tell_answer = client.put(
        result_url(lease), dict(factories.completed(campaign.tasks.get(number=0)))
    )

    assert (ask_answer.status_code, tell_answer.status_code) == (403, 403)


def test_a_completed_campaign_says_that_nothing_waits_and_takes_a_new_point() -> None:
    client, owner = researcher_client()
    campaign = factories.completed_task(owner=owner).campaign

    empty = ask(client, campaign)
    (lease,) = ask(client, campaign, params=POINT)["leases"]

    assert empty["leases"] == []
    assert "completed" in empty["reason"]
    assert empty["wait_seconds"] > 0
    campaign.refresh_from_db()
    assert (campaign.state, lease["task_number"]) == ("active", 1)


def test_who_will_not_ask_again_says_so_and_the_campaign_completes() -> None:
    client, owner = researcher_client()
    campaign = factories.completed_task(owner=owner).campaign
    url = f"/api/v1/campaigns/{campaign.pk}"
    (lease,) = ask(client, campaign, params=POINT)["leases"]
    client.put(result_url(lease), dict(factories.completed(campaign.tasks.get(number=1), 2.5)))
    assert client.get(url).json()["state"] == "active"

    finished = client.post(f"{url}/finish")

    assert (finished.status_code, finished.json()["state"]) == (200, "completed")
    assert AuditEntry.objects.filter(verb="finish", actor=owner, target_id=campaign.pk).exists()
    again = client.post(f"{url}/finish")
    assert again.status_code == 409


@pytest.mark.parametrize("body", [{}, {"params": POINT}])
@pytest.mark.parametrize("state", ["draft", "paused", "cancelled"])
def test_a_campaign_that_hands_out_nothing_refuses_and_gets_no_task(
    state: str, body: dict[str, Any]
) -> None:
    client, owner = researcher_client()
    campaign = factories.campaign(owner=owner)
    if state != "draft":
        client.post(f"/api/v1/campaigns/{campaign.pk}/launch")
        client.post(f"/api/v1/campaigns/{campaign.pk}/{'pause' if state == 'paused' else 'cancel'}")
    tasks = campaign.tasks.count()

    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/ask", body)

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert state in answer.json()["message"]
    assert campaign.tasks.count() == tasks


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"count": 0}, "count"),
        ({"count": 65}, "count"),
        ({"count": 2, "params": POINT}, "count"),
        ({"seed": 3}, "seed"),
        ({"claim_id": "x"}, "claim_id"),
        ({"parms": POINT}, "parms"),
        ({"params": {"lr": 5.0, "d_model": 128}}, "params"),
    ],
)
def test_an_ask_that_makes_no_sense_is_refused_at_its_field(
    body: dict[str, Any], field: str
) -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)

    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/ask", body)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert campaign.tasks.get().state == "pending"


def test_a_lease_nobody_renewed_goes_to_the_next_who_asks() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    ask(client, campaign)
    campaign.tasks.update(lease_expires_at=factories.NOW)

    other_person, _ = researcher_client(factories.user(is_staff=True))
    (lease,) = ask(other_person, campaign)["leases"]

    outcomes = Attempt.objects.order_by("number").values_list("outcome", flat=True)
    assert list(outcomes) == ["lost", "running"]
    assert lease["task_id"] == campaign.tasks.get().pk
