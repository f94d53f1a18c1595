"""POST leases/results: each result of a list is answered as if it had come alone."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Attempt, Result, Task, TaskState
from tests import factories
from tests.clients import agent_client, researcher_client
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db
URL = "/api/v1/leases/results"


def leased(by: Worker, count: int, **fields: Any) -> list[Attempt]:
    factories.active_campaign(count, now=timezone.now(), **fields)
    return factories.claim(by, count, now=timezone.now()).attempts


def of_lease(attempt: Attempt, body: Any = None) -> dict[str, Any]:
    body = body or factories.completed(attempt.task, 2.75)
    return {"lease_id": str(attempt.lease_id), **body}


def send(client: APIClient, *results: Any) -> list[dict[str, Any]]:
    answer = client.post(URL, {"results": list(results)})
    assert answer.status_code == 200, answer.json()
    answers: list[dict[str, Any]] = answer.json()["results"]
    return answers


def alone(client: APIClient, result: dict[str, Any]) -> dict[str, Any]:
    """Return what the PUT of one result answers, as an answer of a list."""
    body = {key: value for key, value in result.items() if key != "lease_id"}
    answer = client.put(f"/api/v1/leases/{result['lease_id']}/result", body)
    return {"lease_id": result["lease_id"], "status": answer.status_code, **answer.json()}


def test_results_are_taken_together_and_answered_in_order() -> None:
    client, worker = agent_client()
    attempts = leased(worker, 5)
    results = [of_lease(attempt) for attempt in reversed(attempts)]

    answers = send(client, *results)

    assert [answer["lease_id"] for answer in answers] == [result["lease_id"] for result in results]
    assert {(answer["status"], answer["verdict"]) for answer in answers} == {(200, "accepted")}
    assert "counts for arm" in answers[0]["note"]
    assert Result.objects.count() == 5
    assert set(Task.objects.values_list("state", flat=True)) == {TaskState.COMPLETED}
    assert answers == [alone(client, result) for result in results]


def test_the_same_list_again_gets_the_same_answers_and_another_body_a_conflict() -> None:
    client, worker = agent_client()
    first, second = leased(worker, 2)
    results = [of_lease(first), of_lease(second)]

    answers = send(client, *results)
    again = send(client, *results)
    other = send(client, results[0], of_lease(second, factories.completed(second.task, 2.5)))

    assert again == answers
    assert other[0] == answers[0]
    assert (other[1]["status"], other[1]["code"]) == (409, "result_conflict")
    assert "verdict" not in other[1]
    assert Result.objects.filter(value=2.75).count() == 2


def test_what_is_wrong_with_some_costs_the_others_nothing() -> None:
    client, worker = agent_client()
    attempts = leased(worker, 8, max_failed_attempts=1)
    good, refused, failed, unreadable, lost, last = attempts[:6]
    foreign = factories.leased_task(now=timezone.now())
    lifecycle.cancel_task(lost.task, now=timezone.now())
    contradicts = factories.completed(refused.task)
    contradicts["metrics"] = (contradicts["metrics"] or {}) | {"seed": 1}
    results: list[Any] = [
        of_lease(good),
        of_lease(refused, contradicts),
        of_lease(failed, factories.failure(FailureClass.OOM)),
        of_lease(unreadable, {"outcome": "completed", "exit_code": "none"}),
        of_lease(lost),
        of_lease(foreign),
        {"lease_id": str(uuid.uuid4()), **factories.failure()},
        "no result",
        {"lease_id": 7},
        {"outcome": "failed"},
        of_lease(last),
    ]

    answers = send(client, *results)

    assert [answer["status"] for answer in answers] == [
        *(200, 422, 200, 400, 200, 404, 404, 400, 400, 400, 200),
    ]
    verdicts = [answer.get("verdict") for answer in answers]
    assert verdicts[:5] == ["accepted", "refused", "failed", None, "late"]
    assert answers[1]["code"] == "metrics_refused"
    assert answers[3]["fields"].keys() == {"exit_code"}
    assert [answer["lease_id"] for answer in answers[7:10]] == ["", "", ""]
    assert all("lease_id" in answer["fields"] for answer in answers[7:10])
    assert verdicts[10] == "accepted"
    assert Result.objects.count() == 2
    assert Attempt.objects.get(pk=foreign.pk).outcome == "running"
    for place in (0, 1, 2, 3, 4, 5, 6, 10):
        assert alone(client, results[place]) == answers[place]


def test_a_row_that_the_database_refuses_costs_the_others_nothing(
    django_capture_on_commit_callbacks: Any,
) -> None:
    client, worker = agent_client()
    first, good, odd, last = leased(worker, 4)
    with django_capture_on_commit_callbacks(execute=True):
        send(client, of_lease(first))
    refuse = "ALTER TABLE campaigns_result ADD CHECK (tokens_trained <> 5)"
    if connection.vendor != "postgresql":
        refuse = (
            "CREATE TRIGGER odd BEFORE INSERT ON campaigns_result WHEN NEW.tokens_trained = 5 "
            "BEGIN SELECT RAISE(ABORT, 'odd'); END"
        )
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # the test's transaction has changes
        cursor.execute(refuse)
    body = factories.completed(odd.task, tokens_trained=5)

    answers = send(client, of_lease(good), of_lease(odd, body), of_lease(last))

    assert [answer["status"] for answer in answers] == [200, 503, 200]
    assert answers[1] == alone(client, of_lease(odd, body))
    assert Attempt.objects.get(pk=odd.pk).outcome == "running"
    assert Result.objects.count() == 3


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "at least one"),
        ({"results": {}}, "at least one"),
        ({"results": []}, "at least one"),
        ({"results": [{}] * 65}, "at most 64"),
    ],
)
def test_what_is_no_list_of_results_is_refused_as_a_whole(body: Any, sentence: str) -> None:
    client, _ = agent_client()
    answer = client.post(URL, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert sentence in answer.json()["fields"]["results"][0]


def test_a_lease_that_is_named_twice_is_refused_as_a_whole() -> None:
    client, worker = agent_client()
    first, second = leased(worker, 2)
    twice = of_lease(second) | {"lease_id": str(first.lease_id).upper()}

    answer = client.post(URL, {"results": [of_lease(first), of_lease(second), twice]})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["fields"] == {"results": ["Name each lease once."]}
    assert not Result.objects.exists()


def test_each_result_counts_for_the_limit(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"SUBMITS_PER_MINUTE": 4}
    client, worker = agent_client()
    attempts = leased(worker, 6)

    send(client, *map(of_lease, attempts[:3]))
    refused = client.post(URL, {"results": [of_lease(each) for each in attempts[3:5]]})

    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert int(refused["Retry-After"]) >= 0
    assert Result.objects.count() == 3


def test_a_disabled_worker_and_strangers_get_nothing() -> None:
    client, worker = agent_client()
    (attempt,) = leased(worker, 1)
    worker_lifecycle.disable(worker)
    assert client.post(URL, {"results": [of_lease(attempt)]}).status_code == 403
    assert APIClient().post(URL, {"results": [of_lease(attempt)]}).status_code == 401
    assert not Result.objects.exists()


def test_a_person_submits_for_tasks_that_their_program_asked_for() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, now=timezone.now(), owner=owner)
    ask = {"claim_id": str(uuid.uuid4()), "count": 2}
    leases = client.post(f"/api/v1/campaigns/{campaign.pk}/ask", ask).json()["leases"]
    attempts = [Attempt.objects.get(lease_id=lease["lease_id"]) for lease in leases]

    answers = send(client, *map(of_lease, attempts))

    assert [answer["verdict"] for answer in answers] == ["accepted", "accepted"]
    stranger, _ = researcher_client()
    assert stranger.post(URL, {"results": [of_lease(attempts[0])]}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_more_results_cost_no_more_queries() -> None:
    client, worker = agent_client()
    attempts = leased(worker, 30)
    send(client, *map(of_lease, attempts[:2]))  # the process knows the class

    def queries(some: list[Attempt]) -> int:
        with CaptureQueriesContext(connection) as captured:
            send(client, *map(of_lease, some))
        return len(captured)

    few, many = queries(attempts[2:4]), queries(attempts[4:20])
    # SQLite has five statements for each result, PostgreSQL one for all.
    each = 0 if connection.vendor == "postgresql" else 6
    assert many - few <= 14 * each


@pytest.mark.django_db(transaction=True)
def test_a_new_worker_brings_its_class_with_its_first_result() -> None:
    client, worker = agent_client()
    attempts = leased(worker, 12)
    with CaptureQueriesContext(connection) as captured:
        send(client, *map(of_lease, attempts))
    assert Result.objects.count() == 12
    assert len({result.result_class_id for result in Result.objects.all()}) == 1
    assert len(captured) < 12 * 15
