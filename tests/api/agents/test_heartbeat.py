"""POST heartbeat: one call renews all leases of a worker and answers for each of them."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from campaigns import lifecycle
from campaigns.models import ProgressPoint, Task
from tests import factories
from tests.clients import agent_client
from workers import lifecycle as worker_lifecycle
from xeenet_site.web.formats import clock

pytestmark = pytest.mark.django_db
URL = "/api/v1/heartbeat"


def body(*lease_ids: uuid.UUID | str, **progress: Any) -> dict[str, Any]:
    leases = [{"lease_id": str(lease_id)} | progress for lease_id in lease_ids]
    return {"boot_id": str(uuid.uuid4()), "leases": leases}


def point(seq: int, **changes: Any) -> dict[str, Any]:
    return {"seq": seq, "elapsed_seconds": 1.5, "step": 10 * seq} | changes


def test_each_lease_is_told_to_go_on_to_stop_or_that_it_is_lost() -> None:
    client, worker = agent_client()
    now = timezone.now()
    running = factories.leased_task(worker, now=now)
    cancelled = factories.leased_task(worker, now=now)
    lifecycle.cancel(cancelled.task.campaign, now=now)
    foreign = factories.leased_task(now=now)

    answer = client.post(URL, body(running.lease_id, cancelled.lease_id, foreign.lease_id))

    assert answer.status_code == 200, answer.json()
    reply = answer.json()
    assert [lease["answer"] for lease in reply["leases"]] == ["continue", "cancel", "lost"]
    assert [lease["lease_id"] for lease in reply["leases"]] == [
        str(attempt.lease_id) for attempt in (running, cancelled, foreign)
    ]
    assert [bool(lease["reason"]) for lease in reply["leases"]] == [False, True, True]
    assert reply["heartbeat_seconds"] == 10.0
    assert reply["worker_state"] == "active"


def test_a_heartbeat_moves_the_end_of_the_lease() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now() - dt.timedelta(seconds=40))

    client.post(URL, body(attempt.lease_id))

    remaining = Task.objects.get(pk=attempt.task_id).lease_expires_at - timezone.now()
    assert dt.timedelta(seconds=40) < remaining <= dt.timedelta(seconds=45)


def test_progress_is_stored_and_points_that_come_again_change_nothing() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    points = [
        point(0),
        point(1, tokens=4096, train_loss=2.5, val_bpb=3.1),
        point(2, tokens=None, train_loss=None, val_bpb=None),
    ]

    for _ in range(2):
        assert client.post(URL, body(attempt.lease_id, progress=points)).status_code == 200

    stored = ProgressPoint.objects.values_list("seq", "step", "tokens", "train_loss", "value")
    assert list(stored) == [
        (0, 0, None, None, None),
        (1, 10, 4096, 2.5, 3.1),
        (2, 20, None, None, None),
    ]


def test_a_heartbeat_without_leases_notes_the_presence_and_tells_a_draining_worker_so() -> None:
    client, worker = agent_client()
    worker_lifecycle.drain(worker)

    reply = client.post(URL, body()).json()

    assert reply["leases"] == []
    assert reply["worker_state"] == "draining"
    worker.refresh_from_db()
    assert worker.last_seen_at is not None
    assert worker.sessions.count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seq": -1}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": 2**31}, "seq"),
        ({"step": 1.5}, "step"),
        ({"step": "10"}, "step"),
        ({"step": -1}, "step"),
        ({"elapsed_seconds": True}, "elapsed_seconds"),
        ({"elapsed_seconds": None}, "elapsed_seconds"),
        ({"train_loss": "2.5"}, "train_loss"),
        ({"val_bpb": False}, "val_bpb"),
        ({"tokens": []}, "tokens"),
    ],
)
def test_progress_of_the_wrong_shape_is_refused_with_its_place(
    changes: dict[str, Any], field: str
) -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())

    answer = client.post(URL, body(attempt.lease_id, progress=[point(0), point(1) | changes]))

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [f"leases.0.progress.1.{field}"]
    assert not ProgressPoint.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"leases": None}, "leases"),
        ({"leases": {}}, "leases"),
        ({"leases": ["x"]}, "leases.0"),
        ({"leases": [{"lease_id": 5}]}, "leases.0.lease_id"),
        ({"leases": [{"lease_id": str(uuid.uuid4())}] * 65}, "leases"),
        ({"boot_id": "x"}, "boot_id"),
    ],
)
def test_a_heartbeat_of_the_wrong_shape_is_refused(changes: dict[str, Any], field: str) -> None:
    client, _ = agent_client()

    answer = client.post(URL, body() | changes)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


def test_more_points_than_a_heartbeat_may_carry_are_refused() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())

    full = client.post(URL, body(attempt.lease_id, progress=[point(n) for n in range(200)]))
    over = client.post(URL, body(attempt.lease_id, progress=[point(n) for n in range(201)]))

    assert (full.status_code, over.status_code) == (200, 400)


def test_a_renewal_costs_two_queries_per_lease(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client, worker = agent_client()
    now = timezone.now()
    leases = [factories.leased_task(worker, now=now).lease_id for _ in range(3)]
    beat = body(*leases)
    client.post(URL, beat)  # creates the session of this boot_id

    clock = 1 if connection.vendor == "postgresql" else 0
    with django_assert_num_queries(1 + clock + 3 + 2 * 3):  # token, clock, presence, leases
        client.post(URL, beat)


def test_a_pause_of_the_owner_is_shown_until_a_heartbeat_tells_of_none(client: Client) -> None:
    agent, worker = agent_client()
    pause = {"seconds": 3 * 3600.0}
    assert agent.post(URL, body() | {"owner_pause": pause}).status_code == 200
    worker.refresh_from_db()
    until = worker.owner_pauses_until
    assert until is not None
    assert (until.second, until - timezone.now() > dt.timedelta(hours=2.9)) == (0, True)
    words = f"paused by its owner until {clock(until, timezone.now())}"
    assert words in client.get("/workers/").text
    assert words[0].upper() + words[1:] in client.get(f"/workers/{worker.pk}/").text
    told = client.get(f"/api/v1/workers/{worker.pk}").json()
    assert (told["owner_pauses"], told["owner_pauses_until"] is None) == (True, False)
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    assert words in client.get("/admin/workers/worker/").text

    # The next heartbeat counts on, and the instant stays.
    agent.post(URL, body() | {"owner_pause": {"seconds": 3 * 3600.0 - 20}})
    worker.refresh_from_db()
    assert worker.owner_pauses_until == until
    agent.post(URL, body() | {"owner_pause": {"seconds": None}})
    assert "paused by its owner</span>" in client.get("/workers/").text
    agent.post(URL, body())
    worker.refresh_from_db()
    assert (worker.owner_pauses, worker.owner_pauses_until) == (False, None)
    for wrong in ({"seconds": -1}, {"seconds": "9"}, {}, {"seconds": 1e12}, 5):
        assert agent.post(URL, body() | {"owner_pause": wrong}).status_code == 400


@pytest.mark.parametrize("place", ["leases", "progress"])
def test_a_list_far_too_long_is_refused_by_its_length_alone(place: str) -> None:
    client, _ = agent_client()
    long = [1] * 400_000
    beat = body() | {"leases": long} if place == "leases" else body(uuid.uuid4(), progress=long)

    started = time.process_time()
    answer = client.post(URL, beat)

    assert answer.status_code == 400
    assert len(answer.content) < 1000
    # Validating the elements one by one would take many seconds.
    assert time.process_time() - started < 2


def test_a_loss_beyond_sane_size_is_stored_as_none_and_costs_no_renewal() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    sent = [
        point(0, train_loss=1e308, val_bpb=-1e7),
        point(1, train_loss=999_999.0, val_bpb=3.0),
        point(2, elapsed_seconds=1e300),
    ]
    reply = client.post(URL, body(attempt.lease_id, progress=sent)).json()
    assert reply["leases"][0]["answer"] == "continue"
    assert list(ProgressPoint.objects.values_list("seq", "train_loss", "value")) == [
        (0, None, None),
        (1, 999_999.0, 3.0),
    ]


def test_a_lease_stands_in_a_heartbeat_once() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    response = client.post(URL, body(attempt.lease_id, attempt.lease_id, progress=[point(0)]))
    assert response.status_code == 400
    assert response.json()["fields"] == {"leases": ["Name each lease once."]}
    assert not ProgressPoint.objects.exists()


def test_of_very_many_points_in_a_heartbeat_each_lease_keeps_an_even_share() -> None:
    client, worker = agent_client()
    factories.active_campaign(20, now=timezone.now())
    claim = lifecycle.claim(worker, claim_id=uuid.uuid4(), count=20, now=timezone.now())
    sent = [point(seq) for seq in range(200)]
    response = client.post(
        URL, body(*(attempt.lease_id for attempt in claim.attempts), progress=sent)
    )
    assert response.status_code == 200
    for attempt in claim.attempts:
        stored = list(attempt.progress.values_list("seq", flat=True))
        assert (len(stored), stored[0], stored[-1]) == (100, 0, 199)
