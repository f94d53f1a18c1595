"""lifecycle.submit of a failure that another try would meet, too: the script refused its config."""

from __future__ import annotations

from typing import Any, cast

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, CampaignState, Task, TaskState
from tests.factories import at, claim_one, failure, leased_task, lost_attempt, worker
from workers.protocol import FailureClass, Submission, Verdict

pytestmark = pytest.mark.django_db


def refused_config(**changes: Any) -> Submission:
    body = failure(FailureClass.SCRIPT_ERROR, "the config was refused: lr must be above 0")
    body["exit_code"] = 2
    body["final"] = True
    return cast(Submission, {**body, **changes})


def test_a_config_that_the_script_refuses_is_charged_once_and_not_tried_again() -> None:
    attempt = leased_task()
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, refused_config(), now=at(10))
    assert answer.verdict is Verdict.FAILED
    assert answer.message == "The failure is stored; it is final."
    task = Task.objects.get()
    assert (task.state, task.failure_class, task.failed_attempts, task.finished_at) == (
        TaskState.FAILED,
        "script_error",
        1,
        at(10),
    )
    assert Campaign.objects.get().state == CampaignState.COMPLETED
    attempt.refresh_from_db()
    assert attempt.message == "the config was refused: lr must be above 0"


@pytest.mark.parametrize(
    "changes",
    [
        {"final": False},
        {"exit_code": 1},
        {"exit_code": None},
        {"failure_class": FailureClass.TIMEOUT},
        {"failure_class": FailureClass.LOST},
        {"failure_class": FailureClass.ENV_ERROR},
    ],
    ids=str,
)
def test_no_other_failure_is_final_whatever_an_agent_says(changes: dict[str, Any]) -> None:
    attempt = leased_task()
    body = refused_config(**changes)
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10))
    assert answer.verdict is Verdict.RETRY
    assert Task.objects.get().state == TaskState.PENDING


def test_a_final_failure_of_an_ended_lease_moves_nothing() -> None:
    attempt = lost_attempt()
    claim_one(worker(), now=at(61))
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, refused_config(), now=at(70))
    assert answer.verdict is Verdict.LATE
    assert Task.objects.get().state == TaskState.LEASED
