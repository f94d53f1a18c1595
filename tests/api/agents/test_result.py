"""PUT leases/<id>/result: an agent reports how a run ended and learns the verdict."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.utils import timezone

from campaigns import lifecycle
from campaigns.models import Attempt, Result, Task, TaskState
from tests import factories
from tests.clients import agent_client
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def url(attempt: Attempt) -> str:
    return f"/api/v1/leases/{attempt.lease_id}/result"


def test_a_sound_result_is_accepted_and_completes_the_task() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())

    answer = client.put(url(attempt), factories.completed(attempt.task, 2.75))

    assert answer.status_code == 200, answer.json()
    number = attempt.task.campaign_id
    assert answer.json() == {
        "verdict": "accepted",
        "message": "The result is stored.",
        "note": f"counts for arm 0, seed s0 of campaign {number}, among runs on cpu",
    }
    assert Task.objects.get().state == TaskState.COMPLETED
    assert Result.objects.get().value == 2.75
    assert Attempt.objects.get().stderr_tail == "done\n"


def test_the_same_body_again_gets_the_same_answer_and_another_body_a_conflict() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    body = factories.completed(attempt.task, 2.75)
    reordered = dict(reversed(list(body.items())))

    first, again = client.put(url(attempt), body), client.put(url(attempt), reordered)
    conflict = client.put(url(attempt), factories.completed(attempt.task, 2.5))

    assert (again.status_code, again.json()) == (200, first.json())
    assert (conflict.status_code, conflict.json()["code"]) == (409, "result_conflict")
    assert Result.objects.get().value == 2.75


def test_numbers_that_contradict_themselves_are_refused_with_the_reason() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    body = factories.completed(attempt.task, 2.75)
    body["metrics"]["val_bpb"] = 1.0

    answer = client.put(url(attempt), body)

    assert answer.status_code == 422
    reply = answer.json()
    assert (reply["code"], reply["verdict"]) == ("metrics_refused", "refused")
    assert "does not follow from its counters" in reply["message"]
    assert not Result.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"val_bpb": True},
        {"val_bpb": "2.75"},
        {"val_bpb": -1.0},
        {"val_bpb": 0},
        {"val_bpb": 1e7, "eval_nll_nats": 1e7},
        {"val_bpb": 1e300, "eval_nll_nats": 1e300},
        {"val_bpb": None},
        {"val_bpb": None, "diverged": True, "eval_nll_nats": "none"},
        {"val_bpb": None, "diverged": True, "train_loss": "none"},
        {"val_bpb": None, "diverged": True, "train_loss": [1]},
        {"train_loss": "2.0"},
        {"train_loss": True},
        {"seed": True},
        {"seed": 41},
        {"dataset_sha256": "0" * 64},
        {"eval_bytes": 0},
        {"eval_bytes": 17},
        {"eval_tokens": 2**62},
        {"steps_completed": -1},
        {"steps_completed": 1.5},
        {"tokens_trained": True},
        {"wall_time_seconds": 1e9},
        {"wall_time_seconds": "9.5"},
        {"device_used": ["cpu"]},
        {"device_used": ""},
        {"stop_reason": 5},
    ],
)
def test_metrics_that_cannot_be_true_are_refused_whatever_they_hold(
    changes: dict[str, Any],
) -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    body = factories.completed(attempt.task)
    body["metrics"] |= changes

    answer = client.put(url(attempt), body)

    assert answer.status_code == 422, answer.json()
    assert not Result.objects.exists()


def test_a_loss_that_became_nan_is_a_finding() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    body = factories.completed(attempt.task)
    body["metrics"] |= {"val_bpb": None, "diverged": True, "eval_nll_nats": None}

    answer = client.put(url(attempt), body)

    assert (answer.status_code, answer.json()["verdict"]) == (200, "accepted")
    assert Attempt.objects.get().outcome == "diverged"


def test_a_failure_is_stored_and_the_agent_learns_whether_the_task_runs_again() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now(), max_failed_attempts=1)

    answer = client.put(url(attempt), factories.failure(FailureClass.OOM))

    assert (answer.status_code, answer.json()["verdict"]) == (200, "failed")
    assert Task.objects.get().failure_class == "oom"


def test_a_result_after_the_task_was_cancelled_is_kept_as_late() -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    lifecycle.cancel(attempt.task.campaign, now=timezone.now())

    answer = client.put(url(attempt), factories.completed(attempt.task))

    assert (answer.status_code, answer.json()["verdict"]) == (200, "late")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"outcome": "splendid"}, "outcome"),
        ({"outcome": None}, "outcome"),
        ({"outcome": 1}, "outcome"),
        ({"metrics": None}, "metrics"),
        ({"metrics": []}, "metrics"),
        ({"metrics": "{}"}, "metrics"),
        ({"metrics": {"note": "x" * 70_000}}, "metrics"),
        ({"outcome": "failed"}, "failure_class"),
        ({"outcome": "failed", "failure_class": "bad_luck"}, "failure_class"),
        ({"exit_code": True}, "exit_code"),
        ({"exit_code": 2**31}, "exit_code"),
        ({"stderr_tail": 5}, "stderr_tail"),
        ({"stderr_tail": "x" * 16_385}, "stderr_tail"),
        ({"message": "x" * 1001}, "message"),
        ({"wall_time_seconds": True}, "wall_time_seconds"),
        ({"wall_time_seconds": -1.0}, "wall_time_seconds"),
        ({"simulated": 0}, "simulated"),
        ({"simulated": None}, "simulated"),
    ],
)
def test_a_submission_of_the_wrong_shape_is_refused_and_leaves_the_lease_alone(
    changes: dict[str, Any], field: str
) -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())

    answer = client.put(url(attempt), {**factories.completed(attempt.task), **changes})

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert Task.objects.get().state == TaskState.LEASED
    assert Attempt.objects.get().submission is None


def test_a_lease_of_another_worker_or_of_nobody_is_not_found() -> None:
    client, _ = agent_client()
    foreign = factories.leased_task(now=timezone.now())

    of_another = client.put(url(foreign), factories.completed(foreign.task))
    of_nobody = client.put(f"/api/v1/leases/{uuid.uuid4()}/result", factories.failure())

    assert (of_another.status_code, of_another.json()["code"]) == (404, "not_found")
    assert (of_nobody.status_code, of_nobody.json()["code"]) == (404, "not_found")
    assert Task.objects.get().state == TaskState.LEASED
