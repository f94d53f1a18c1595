"""POST workers/me/leave: a worker ends itself; its tasks go back and its token is dead."""

from __future__ import annotations

import pytest
from django.utils import timezone

from campaigns.models import Attempt, TaskState
from tests import factories
from tests.clients import agent_client, researcher_client, signed_in_client
from workers import lifecycle
from workers.models import WorkerSession, WorkerState

pytestmark = pytest.mark.django_db
LEAVE = "/api/v1/workers/me/leave"
ME = "/api/v1/workers/me"


def test_a_worker_that_leaves_gives_its_tasks_back_and_its_token_opens_nothing_again() -> None:
    client, worker = agent_client("attic")
    held = [factories.leased_task(worker, now=timezone.now()) for _ in range(2)]
    of_another = factories.leased_task(factories.worker(), now=timezone.now())
    WorkerSession.objects.create(
        worker=worker,
        boot_id="0" * 32,
        started_at=timezone.now(),
        last_seen_at=timezone.now(),
    )

    reply = client.post(LEAVE, {})

    assert (reply.status_code, reply.json()["released"]) == (200, 2)
    assert "attic has left" in reply.json()["message"]
    for attempt in held:
        attempt.task.refresh_from_db()
        assert (attempt.task.state, attempt.task.lost_attempts) == (TaskState.PENDING, 0)
    assert set(Attempt.objects.values_list("outcome", "message")) == {
        ("released", "The worker left."),
        ("running", ""),
    }
    of_another.task.refresh_from_db()
    assert of_another.task.state == TaskState.LEASED
    assert WorkerSession.objects.get().ended_at is not None
    assert client.post(LEAVE, {}).status_code == 401
    page = signed_in_client()[0].get(f"/workers/{worker.pk}/").content.decode()
    assert "It left: whoever runs its machine ended it there." in page
    worker.refresh_from_db()
    assert worker.state == WorkerState.DISABLED
    lifecycle.resume(worker)  # an operator brings the worker back, but not its token
    assert client.get(ME).status_code == 401


def test_nobody_leaves_for_a_worker_and_a_disabled_one_is_gone_already() -> None:
    client, worker = agent_client()
    assert researcher_client()[0].post(LEAVE, {}).status_code == 401
    lifecycle.disable(worker)
    assert client.post(LEAVE, {}).status_code == 403
    page = signed_in_client()[0].get(f"/workers/{worker.pk}/").content.decode()
    assert 'id="left"' not in page
