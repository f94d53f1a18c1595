"""POST leases/<id>/release: a worker gives its task back without running it."""

from __future__ import annotations

import uuid

import pytest
from django.utils import timezone

from campaigns import lifecycle
from campaigns.models import Attempt, Task, TaskState
from tests import factories
from tests.clients import agent_client

pytestmark = pytest.mark.django_db


def url(lease_id: uuid.UUID) -> str:
    return f"/api/v1/leases/{lease_id}/release"


def test_a_released_task_waits_again_at_no_charge_and_releasing_again_changes_nothing() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())

    answers = [client.post(url(attempt.lease_id), {"reason": "shutting down"}) for _ in range(2)]

    for answer in answers:
        assert answer.status_code == 200, answer.json()
        assert answer.json()["verdict"] == "released"
    task = Task.objects.get()
    assert (task.state, task.lost_attempts, task.failed_attempts) == (TaskState.PENDING, 0, 0)
    assert Attempt.objects.get().message == "shutting down"


def test_a_body_is_not_needed() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())

    assert client.post(url(attempt.lease_id)).status_code == 200


def test_a_lease_that_has_ended_is_lost() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    lifecycle.cancel(attempt.task.campaign, now=timezone.now())

    answer = client.post(url(attempt.lease_id), {})

    assert (answer.status_code, answer.json()["code"]) == (409, "lease_lost")


def test_a_lease_of_another_worker_is_not_found() -> None:
    client, _ = agent_client()
    foreign = factories.leased_task(now=timezone.now())

    answer = client.post(url(foreign.lease_id), {})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert Task.objects.get().state == TaskState.LEASED
