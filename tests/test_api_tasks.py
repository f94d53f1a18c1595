"""campaigns/<id>/tasks and tasks/<id>: what was tried, by whom, and how it ended."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns import lifecycle
from tests import factories
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def test_the_tasks_come_by_number_with_worker_and_value() -> None:
    campaign = factories.active_campaign(3)
    factories.finish(factories.claim_one(factories.worker()), 2.5)
    factories.claim_one(factories.worker("lab-7"))

    reply = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/tasks").json()

    assert reply["count"] == 3
    seen = [
        (t["number"], t["seed"], t["state"], t["worker"], t["val_bpb"]) for t in reply["results"]
    ]
    assert seen == [
        (0, 42, "completed", None, 2.5),
        (1, 43, "leased", "lab-7", None),
        (2, 44, "pending", None, None),
    ]
    assert reply["results"][0]["params"] == campaign.tasks.get(number=0).params


def test_the_tasks_can_be_narrowed_by_state() -> None:
    campaign = factories.active_campaign(3)
    factories.claim_one(factories.worker())
    url = f"/api/v1/campaigns/{campaign.pk}/tasks"

    assert APIClient().get(url, {"state": "leased"}).json()["count"] == 1
    assert APIClient().get(url, {"state": "asleep"}).status_code == 400


def test_the_list_costs_three_queries_however_long_it_is(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    campaign = factories.active_campaign(8)
    for _ in range(4):
        factories.finish(factories.claim_one(factories.worker()))
        factories.claim_one(factories.worker())

    with django_assert_num_queries(3):  # campaign, count, page
        APIClient().get(f"/api/v1/campaigns/{campaign.pk}/tasks")


def test_a_task_shows_its_config_every_attempt_and_its_result() -> None:
    attempt = factories.leased_task(factories.worker("lab-7"))
    lifecycle.submit(
        attempt.worker, attempt.lease_id, factories.failure(FailureClass.OOM), now=factories.NOW
    )
    # Later, because a task that failed on one worker waits for the others a moment.
    second = factories.claim_one(factories.worker("lab-8"), now=factories.at(60))
    factories.finish(second, 2.5, now=factories.at(70))

    reply = APIClient().get(f"/api/v1/tasks/{attempt.task_id}").json()

    assert reply["config"] == attempt.task.config
    assert [(a["number"], a["worker"], a["outcome"]) for a in reply["attempts"]] == [
        (1, "lab-7", "failed"),
        (2, "lab-8", "completed"),
    ]
    first = reply["attempts"][0]
    assert (first["failure_class"], first["stderr_tail"]) == ("oom", "Traceback …\n")
    assert reply["result"]["val_bpb"] == 2.5
    assert reply["result"]["worker"] == "lab-8"
    assert reply["result"]["metrics"]["torch_version"] == "2.13.0"


def test_a_task_without_a_result_says_null() -> None:
    task = factories.pending_task()

    reply = APIClient().get(f"/api/v1/tasks/{task.pk}").json()

    assert (reply["result"], reply["val_bpb"], reply["attempts"]) == (None, None, [])


def test_a_task_costs_the_same_however_often_it_was_tried() -> None:
    def queries(pk: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            APIClient().get(f"/api/v1/tasks/{pk}")
        return len(captured)

    attempt = factories.leased_task(max_failed_attempts=9)
    once = queries(attempt.task_id)
    for minute in range(1, 5):
        lifecycle.submit(
            attempt.worker, attempt.lease_id, factories.failure(), now=factories.at(60 * minute)
        )
        attempt = factories.claim_one(factories.worker(), now=factories.at(60 * minute + 59))

    assert queries(attempt.task_id) == once == 3  # task, attempts, their workers


def test_a_task_or_campaign_that_is_not_there_is_not_found() -> None:
    for path in ("tasks/999", "campaigns/999/tasks", "campaigns/999/tasks?state=asleep"):
        assert APIClient().get(f"/api/v1/{path}").status_code == 404
