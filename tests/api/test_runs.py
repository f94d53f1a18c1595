"""tasks/<id>/progress, tasks/<id>/bundle.zip and tasks/<id>/run-again."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.search.seeds import seed_at
from tests import factories
from tests.clients import researcher_client
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db


def task_with_points(count: int) -> int:
    """The id of a task whose attempt reported `count` progress points."""
    return factories.curve(factories.leased_task(), [{"train_loss": 3.0}] * count).task_id


def test_the_learning_curve_comes_in_pages_by_attempt() -> None:
    task = task_with_points(3)
    address = f"/api/v1/tasks/{task}/progress"

    first = APIClient().get(address, {"page_size": 2}).json()
    second = APIClient().get(first["next"]).json()

    points = first["results"] + second["results"]
    assert [(point["attempt"], point["seq"], point["step"]) for point in points] == [
        (1, 0, 0),
        (1, 1, 10),
        (1, 2, 20),
    ]
    assert APIClient().get(address, {"attempt": 2}).json()["results"] == []
    assert APIClient().get(address, {"attempt": "x"}).status_code == 400
    assert APIClient().get("/api/v1/tasks/999/progress").status_code == 404


def test_the_learning_curve_costs_two_queries(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    task = task_with_points(20)

    with django_assert_max_num_queries(2):  # the task, the page
        APIClient().get(f"/api/v1/tasks/{task}/progress")


def test_the_bundle_repeats_the_run_and_is_for_people_signed_in() -> None:
    task = factories.completed_task(3.0)
    client, _ = researcher_client()
    address = f"/api/v1/tasks/{task.pk}/bundle.zip"

    answer = client.get(address)

    assert APIClient().get(address).status_code == 401
    assert answer.headers["Content-Type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    folder = f"campaign-{task.campaign_id}-task-{task.number}"
    assert archive.read(f"{folder}/train_char_lm.py") == bytes(task.campaign.package.source)
    assert json.loads(archive.read(f"{folder}/config-original.json")) == task.config


def test_run_again_adds_the_same_params_with_a_new_seed() -> None:
    client, owner = researcher_client()
    task = factories.completed_task(3.0, owner=owner)

    answer = client.post(f"/api/v1/tasks/{task.pk}/run-again")

    reply = answer.json()
    assert answer.status_code == 201
    assert (
        answer.headers["Location"]
        == f"/api/v1/campaigns/{task.campaign_id}/tasks/{reply['number']}"
    )
    assert (reply["params"], reply["state"]) == (task.params, "pending")
    assert (reply["arm"], reply["seed_index"], reply["purpose"]) == (0, 1, "repeat")
    assert reply["seed"] == seed_at(task.seed, 1)
    assert reply["replicates"] == {"mean": 3.0, "deviation": None, "values": [3.0]}
    assert AuditEntry.objects.get().verb == "run_again"


def test_nothing_runs_again_in_a_cancelled_campaign_nor_for_others() -> None:
    client, owner = researcher_client()
    task = factories.completed_task(3.0, owner=owner)
    stranger, _ = researcher_client()

    assert stranger.post(f"/api/v1/tasks/{task.pk}/run-again").status_code == 403
    lifecycle.cancel(factories.active_campaign(1, owner=owner), now=factories.at(1))
    cancelled = owner.campaigns.get(state="cancelled").tasks.get()
    assert client.post(f"/api/v1/tasks/{cancelled.pk}/run-again").status_code == 409
