"""campaigns/<id>/tasks, campaigns/<id>/attempts and tasks/<id>: tasks and how they ended."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns import steering
from campaigns.api.filters import TASK_SORTS
from tests import factories
from tests.clients import researcher_client
from workers.models import AuditEntry
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def test_the_tasks_come_by_number_with_worker_and_value() -> None:
    campaign = factories.active_campaign(3)
    factories.finish(factories.claim_one(factories.worker()), 2.5)
    factories.claim_one(factories.worker("lab-7"))

    reply = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/tasks").json()

    assert (reply["next"], reply["previous"]) == (None, None)
    rows = [
        (task["number"], task["seed"], task["state"], task["worker"], task["val_bpb"])
        for task in reply["results"]
    ]
    assert rows == [
        (0, 42, "completed", None, 2.5),
        (1, 42, "leased", "lab-7", None),
        (2, 42, "pending", None, None),
    ]
    assert reply["results"][0]["params"] == campaign.tasks.get(number=0).params


def test_the_tasks_can_be_narrowed_by_state() -> None:
    campaign = factories.active_campaign(3)
    factories.claim_one(factories.worker())
    url = f"/api/v1/campaigns/{campaign.pk}/tasks"

    leased = APIClient().get(url, {"state": "leased"}).json()["results"]
    assert [task["number"] for task in leased] == [0]
    assert APIClient().get(url, {"state": "asleep"}).status_code == 400


def test_the_tasks_can_be_narrowed_by_worker_seed_origin_and_failure_class() -> None:
    failed = factories.failed_task(FailureClass.OOM)
    campaign = failed.campaign
    steering.enqueue(None, campaign, {"lr": 0.001, "d_model": 64}, now=factories.NOW, seed=7)
    attempt = factories.claim_one(factories.worker("lab-7"))

    def numbers(**query: str) -> list[int]:
        reply = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/tasks", query).json()
        return [task["number"] for task in reply["results"]]

    assert numbers(failure_class="oom") == [failed.number]
    assert numbers(worker="lab-7") == numbers(seed="7") == [attempt.task.number]
    assert numbers(origin="enqueued") == [attempt.task.number]
    assert numbers(worker="nobody") == []
    again = steering.enqueue(None, campaign, failed.params, now=factories.NOW)
    assert numbers(arm="0") == [failed.number, again.number]
    assert numbers(purpose="repeat") == [again.number]


def test_a_point_of_ones_own_becomes_an_arm_on_the_first_seed() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    params = {"lr": 0.0012, "d_model": 128}

    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/tasks", {"params": params})

    assert answer.status_code == 201, answer.json()
    task = campaign.tasks.get(number=2)
    assert answer["Location"] == f"/api/v1/campaigns/{campaign.pk}/tasks/{task.number}"
    assert (task.params, task.seed, task.origin) == (params, 42, "enqueued")
    reply = answer.json()
    assert reply["config"] == task.config
    assert (reply["arm"], reply["seed_index"], reply["purpose"]) == (2, 0, "screen")
    assert AuditEntry.objects.get(verb="enqueue").actor == owner


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "params"),
        ({"params": [1]}, "params"),
        ({"params": {"lr": 0.001}}, "params"),
        ({"params": {"lr": 9.0, "d_model": 64}}, "params"),
        ({"params": {"lr": 0.001, "d_model": 64}, "seed": -1}, "seed"),
        ({"params": {"lr": 0.001, "d_model": 64}, "sed": 1}, "sed"),
    ],
)
def test_a_point_outside_the_space_is_refused_at_its_field(
    body: dict[str, Any], field: str
) -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)

    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/tasks", body)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert campaign.tasks.count() == 2


def test_a_point_of_a_draft_is_refused_for_its_state() -> None:
    client, owner = researcher_client()
    campaign = factories.campaign(owner=owner)
    body = {"params": {"lr": 0.001, "d_model": 64}}

    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/tasks", body)

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")


def test_a_failed_task_is_retried_and_a_waiting_one_cancelled() -> None:
    client, _ = researcher_client(factories.user(is_staff=True))
    task = factories.failed_task()

    retried = client.post(f"/api/v1/tasks/{task.pk}/retry")
    again = client.post(f"/api/v1/tasks/{task.pk}/retry")
    cancelled = client.post(f"/api/v1/tasks/{task.pk}/cancel")

    assert (retried.status_code, retried.json()["state"]) == (200, "pending")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    verbs = AuditEntry.objects.order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["retry_task", "cancel_task"]


def test_an_operator_admits_an_implausible_result() -> None:
    owner = factories.user()
    task = factories.completed_task(1e-4, owner=owner)
    path = f"/api/v1/tasks/{task.pk}/admit"

    refused = researcher_client(owner)[0].post(path)
    client, _ = researcher_client(factories.user(is_staff=True))
    admitted, again = client.post(path), client.post(path)

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert admitted.status_code == 200
    result = admitted.json()["result"]
    assert (result["is_ranked"], result["implausible"]) == (True, False)
    assert result["admitted_at"] is not None
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


def test_the_attempts_of_a_campaign_come_last_first_and_are_narrowed() -> None:
    campaign = factories.active_campaign(2)
    factories.finish(factories.claim_one(factories.worker("lab-7")), 2.5)
    factories.fail(factories.claim_one(factories.worker("lab-8")), FailureClass.OOM)

    def attempts(**query: str) -> list[tuple[int, str, str]]:
        answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/attempts", query)
        assert answer.status_code == 200, answer.json()
        rows = answer.json()["results"]
        return [(attempt["task_number"], attempt["worker"], attempt["outcome"]) for attempt in rows]

    assert attempts() == [(1, "lab-8", "failed"), (0, "lab-7", "completed")]
    assert attempts(worker="lab-7") == attempts(outcome="completed") == [(0, "lab-7", "completed")]
    assert attempts(failure_class="oom") == [(1, "lab-8", "failed")]


def test_the_attempts_cost_two_queries_however_many_they_are(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    campaign = factories.active_campaign(4)
    for _ in range(4):
        factories.finish(factories.claim_one(factories.worker()))

    with django_assert_num_queries(2):  # campaign, page
        APIClient().get(f"/api/v1/campaigns/{campaign.pk}/attempts")


def test_the_list_costs_two_queries_however_long_it_is(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    campaign = factories.active_campaign(8)
    for _ in range(4):
        factories.finish(factories.claim_one(factories.worker()))
        factories.claim_one(factories.worker())

    with django_assert_num_queries(2):  # campaign, page
        APIClient().get(f"/api/v1/campaigns/{campaign.pk}/tasks")


def test_a_task_shows_its_config_every_attempt_and_its_result() -> None:
    attempt = factories.leased_task(factories.worker("lab-7"))
    factories.fail(attempt, FailureClass.OOM)
    # Later, because a failed task waits a moment before another worker gets it.
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


def test_a_task_is_also_found_by_its_id_as_in_older_programs() -> None:
    client, owner = researcher_client()
    factories.pending_task()  # so that ids and numbers differ
    campaign = factories.active_campaign(2, owner=owner)
    task = campaign.tasks.get(number=1)

    new, old = f"/api/v1/campaigns/{campaign.pk}/tasks/1", f"/api/v1/tasks/{task.pk}"
    for part in ("", "/journal", "/progress"):
        assert client.get(old + part).json() == client.get(new + part).json()
    assert client.get(new).json()["task"] == f"{campaign.pk}/1"
    assert client.get(f"{old}/bundle.zip").content == client.get(f"{new}/bundle.zip").content
    assert client.post(f"{old}/cancel").json()["state"] == "cancelled"
    again = client.post(f"{old}/run-again")
    assert again["Location"] == f"/api/v1/campaigns/{campaign.pk}/tasks/2"
    document = client.get("/api/schema/?format=json").json()["paths"]
    assert not [path for path in document if path.startswith("/api/v1/tasks/")]
    assert "/api/v1/campaigns/{campaign}/tasks/{number}/cancel" in document


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
        factories.fail(attempt, now=factories.at(60 * minute))
        attempt = factories.claim_one(factories.worker(), now=factories.at(60 * minute + 59))

    assert queries(attempt.task_id) == once == 4  # task, attempts, their workers, the other seeds


def test_a_task_or_campaign_that_is_not_there_is_not_found() -> None:
    for path in ("tasks/999", "campaigns/999/tasks", "campaigns/999/tasks?state=asleep"):
        assert APIClient().get(f"/api/v1/{path}").status_code == 404


def test_the_tasks_are_sorted_by_any_column_of_the_page_and_none_is_passed_over() -> None:
    campaign = factories.active_campaign(5)
    for minute, value in enumerate((3.0, 2.5, 3.5)):
        now = factories.at(60 * minute)
        factories.finish(factories.claim_one(factories.worker(), now=now), value, now=now)

    def pages(sort: str) -> list[list[int]]:
        numbers = []
        address = f"/api/v1/campaigns/{campaign.pk}/tasks?page_size=2&sort={sort}"
        while address:
            reply = APIClient().get(address).json()
            numbers.append([task["number"] for task in reply["results"]])
            address = reply["next"]
        return numbers

    assert pages("") == pages("number") == [[0, 1], [2, 3], [4]]
    assert pages("-number") == [[4, 3], [2, 1], [0]]
    # Tasks without a value come last in either direction, by number.
    assert pages("val_bpb") == [[1, 0], [2, 3], [4]]
    assert pages("-val_bpb") == [[2, 0], [1, 3], [4]]
    assert pages("-ended") == [[2, 1], [0, 3], [4]]
    assert pages("state") == [[0, 1], [2, 3], [4]]
    for sort in TASK_SORTS:
        assert sorted(number for page in pages(f"-{sort}") for number in page) == [0, 1, 2, 3, 4]
    answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/tasks", {"sort": "luck"})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["sort"])
