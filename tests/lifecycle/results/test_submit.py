"""lifecycle.submit: finished work on time, late, sent twice, and contradicting itself."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import LeaseUnknown, ResultConflict
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    Result,
    Task,
    TaskState,
)
from tests.factories import (
    NOW,
    active_campaign,
    at,
    claim_one,
    completed,
    failure,
    leased_task,
    lost_attempt,
    worker,
)
from workers.protocol import Submission, Verdict

pytestmark = pytest.mark.django_db


def submit(attempt: Attempt, body: Submission, seconds: float = 10) -> lifecycle.Answer:
    return lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(seconds))


def outcome(attempt: Attempt) -> str:
    return Attempt.objects.get(pk=attempt.pk).outcome


def test_a_result_keeps_the_foreign_load_and_none_is_not_zero() -> None:
    told, silent = leased_task(), leased_task()
    submit(told, {**completed(told.task), "foreign_load": 1.25})
    submit(silent, completed(silent.task))

    loads = Result.objects.order_by("task").values_list("foreign_load", flat=True)
    assert list(loads) == [1.25, None]


def test_a_sound_result_completes_task_attempt_and_campaign() -> None:
    attempt = leased_task()

    answer = submit(attempt, completed(attempt.task, 2.75))

    assert (answer.verdict, answer.message) == (Verdict.ACCEPTED, "The result is stored.")
    task = Task.objects.get()
    assert (task.state, task.finished_at, task.lease_id) == (TaskState.COMPLETED, at(10), None)
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.ended_at, attempt.exit_code, attempt.stderr_tail) == (
        AttemptOutcome.COMPLETED,
        at(10),
        0,
        "done\n",
    )
    assert attempt.submission["metrics"]["val_bpb"] == 2.75
    assert "stderr_tail" not in attempt.submission
    result = Result.objects.get()
    assert (result.task, result.attempt, result.campaign) == (task, attempt, task.campaign)
    assert (result.value, result.is_ranked, result.eval_is_subset) == (2.75, True, False)
    finished = Campaign.objects.get()
    assert (finished.state, finished.finished_at) == (CampaignState.COMPLETED, at(10))


def test_the_same_body_again_gets_the_same_answer_and_is_stored_once() -> None:
    attempt = leased_task()
    body = completed(attempt.task)
    first = submit(attempt, body)
    assert submit(attempt, Submission(**dict(reversed(body.items()))), 99) == first
    assert Result.objects.count() == 1
    assert Task.objects.get().finished_at == at(10)


@pytest.mark.parametrize("change", ["another value", "a failure", "one more key"])
def test_another_body_for_the_same_lease_conflicts_and_the_first_stays(change: str) -> None:
    attempt = leased_task()
    submit(attempt, completed(attempt.task, 2.75))
    second_body = {
        "another value": completed(attempt.task, 2.5),
        "a failure": failure(),
        "one more key": completed(attempt.task, 2.75, note="again"),
    }[change]
    with pytest.raises(ResultConflict, match="A different result is stored"):
        submit(attempt, second_body, 20)
    assert Result.objects.get().value == 2.75
    assert outcome(attempt) == AttemptOutcome.COMPLETED


def test_an_unknown_lease_and_one_of_another_worker_are_refused() -> None:
    attempt = leased_task()
    body = completed(attempt.task)
    for agent, lease_id in ((attempt.worker, uuid.uuid4()), (worker(), attempt.lease_id)):
        with pytest.raises(LeaseUnknown):
            lifecycle.submit(agent, lease_id, body, now=at(10))
    assert Task.objects.get().state == TaskState.LEASED


# --- late -----------------------------------------------------------------------------------------


def test_the_four_steps_that_break_naive_guards_leave_the_later_holder_in_charge() -> None:
    active_campaign(1)
    slow, quick = worker(), worker()
    first = claim_one(slow, now=NOW)
    second = claim_one(quick, now=at(46))

    late = submit(first, completed(first.task, 1.5), 50)

    assert late.verdict is Verdict.LATE
    assert Task.objects.get().lease_id == second.lease_id
    assert submit(second, completed(second.task, 2.5), 60).verdict is Verdict.ACCEPTED
    (row,) = first.task.campaign.results.ranked()
    assert (row.attempt, row.value) == (second, 2.5)
    late_attempt = Attempt.objects.get(pk=first.pk)
    assert (late_attempt.outcome, late_attempt.ended_at) == (AttemptOutcome.LATE, at(46))
    assert late_attempt.submission["metrics"]["val_bpb"] == 1.5


def test_the_former_holders_result_after_the_later_one_is_kept_as_late() -> None:
    first = lost_attempt()
    second = claim_one(worker(), now=at(60))
    submit(second, completed(second.task, 2.5), 70)
    assert submit(first, completed(first.task, 1.5), 80).verdict is Verdict.LATE
    assert Result.objects.get().value == 2.5
    assert Task.objects.get().finished_at == at(70)


def test_a_late_result_is_accepted_while_nobody_else_has_the_task() -> None:
    attempt = lost_attempt()
    assert submit(attempt, completed(attempt.task), 61).verdict is Verdict.ACCEPTED
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.failure_class, attempt.ended_at) == (
        AttemptOutcome.COMPLETED,
        "",
        at(60),
    )
    assert Task.objects.get().state == TaskState.COMPLETED


def test_a_lease_that_ran_out_but_was_not_taken_back_still_decides() -> None:
    attempt = leased_task()
    assert submit(attempt, completed(attempt.task), 1000).verdict is Verdict.ACCEPTED


def test_a_late_failure_moves_nothing() -> None:
    attempt = lost_attempt()
    assert submit(attempt, failure(), 61).verdict is Verdict.LATE
    task = Task.objects.get()
    assert (task.state, task.failed_attempts, task.lost_attempts) == (TaskState.PENDING, 0, 1)
    second = claim_one(worker(), now=at(62))
    assert outcome(second) == AttemptOutcome.RUNNING


@pytest.mark.parametrize("body", ["result", "failure"])
def test_what_comes_after_a_person_cancelled_is_kept_as_late(body: str) -> None:
    attempt = leased_task()
    lifecycle.cancel(attempt.task.campaign, now=at(5))
    submission = completed(attempt.task) if body == "result" else failure()
    assert submit(attempt, submission).verdict is Verdict.LATE
    assert Task.objects.get().state == TaskState.CANCELLED
    assert Campaign.objects.get().state == CampaignState.CANCELLED
    assert Result.objects.count() == 0
    assert outcome(attempt) == AttemptOutcome.LATE


def test_a_result_for_a_released_lease_is_kept_as_late() -> None:
    attempt = leased_task()
    lifecycle.release(attempt.worker, attempt.lease_id, now=at(5))
    assert submit(attempt, completed(attempt.task)).verdict is Verdict.LATE
    assert Task.objects.get().state == TaskState.PENDING


def test_a_late_answer_too_is_repeated_for_the_same_body() -> None:
    first = lost_attempt()
    claim_one(worker(), now=at(60))
    body = completed(first.task)
    late = submit(first, body, 61)
    # Meanwhile the task is free again; the stored answer must not change.
    lifecycle.expire(now=at(500))
    assert submit(first, body, 501) == late


# --- findings without a value ---------------------------------------------------------------------


def test_a_diverged_run_is_a_finding_completed_unranked_and_not_retried() -> None:
    attempt = leased_task()
    body = _without_value(attempt.task, diverged=True, stop_reason="diverged")
    assert submit(attempt, body).verdict is Verdict.ACCEPTED
    result = Result.objects.get()
    assert (result.value, result.diverged, result.is_ranked) == (None, True, False)
    assert outcome(attempt) == AttemptOutcome.DIVERGED
    assert Task.objects.get().state == TaskState.COMPLETED
    assert not attempt.task.campaign.results.ranked()


def test_a_budget_too_small_for_one_step_is_a_finding_too() -> None:
    attempt = leased_task()
    body = _without_value(attempt.task, stop_reason="budget_too_small", steps_completed=0)
    assert submit(attempt, body).verdict is Verdict.ACCEPTED
    result = Result.objects.get()
    assert (result.value, result.diverged, result.is_ranked) == (None, False, False)
    assert outcome(attempt) == AttemptOutcome.COMPLETED


def test_steps_whose_evaluation_did_not_fit_are_a_finding_too() -> None:
    attempt = leased_task()
    body = _without_value(attempt.task, stop_reason="no_time_to_evaluate", steps_completed=1)
    assert submit(attempt, body).verdict is Verdict.ACCEPTED
    assert Result.objects.get().is_ranked is False


def test_a_value_before_the_first_step_because_sigterm_came_is_no_value() -> None:
    attempt = leased_task()
    untrained = {"stop_reason": "terminated", "steps_completed": 0, "tokens_trained": 0}
    body = completed(attempt.task, 5.8, **untrained)
    assert submit(attempt, body).verdict is Verdict.ACCEPTED
    result = Result.objects.get()
    assert (result.value, result.is_ranked) == (None, False)
    assert result.stop_reason == "budget_too_small"
    attempt.refresh_from_db()
    assert attempt.submission is not None
    assert attempt.submission["metrics"]["val_bpb"] == 5.8  # what the agent sent is kept


def test_what_was_unusual_about_a_run_that_counts_stands_at_its_attempt() -> None:
    attempt = leased_task()
    body = completed(attempt.task)
    body["message"] = "crashed while exiting: SIGSEGV"
    body["exit_code"] = -11
    assert submit(attempt, body).verdict is Verdict.ACCEPTED
    attempt.refresh_from_db()
    assert (attempt.message, attempt.exit_code) == ("crashed while exiting: SIGSEGV", -11)


def test_a_late_result_keeps_what_was_unusual_about_its_run() -> None:
    attempt = lost_attempt()
    claim_one(worker(), now=at(61))
    body = completed(attempt.task)
    body["message"] = "did not exit: ended by SIGTERM at its budget"
    assert submit(attempt, body, 70).verdict is Verdict.LATE
    attempt.refresh_from_db()
    assert attempt.message == "did not exit: ended by SIGTERM at its budget"


def _without_value(task: Task, **changes: Any) -> Submission:
    body = completed(task)
    no_values = {"val_bpb": None, "train_loss": None, "eval_nll_nats": None, "eval_bytes": 0}
    body["metrics"] = (body["metrics"] or {}) | no_values | {"eval_tokens": 0} | changes
    return body


def test_a_simulated_result_is_stored_and_not_ranked() -> None:
    attempt = leased_task(allow_simulated=True)
    body = completed(attempt.task)
    body["simulated"] = True
    assert submit(attempt, body).verdict is Verdict.ACCEPTED
    result = Result.objects.get()
    assert (result.simulated, result.is_ranked, result.value) == (True, False, 3.0)


def test_a_simulated_result_is_refused_where_only_measured_ones_count() -> None:
    attempt = leased_task(allow_simulated=False)
    body = completed(attempt.task)
    body["simulated"] = True
    answer = submit(attempt, body)
    assert answer.verdict is Verdict.REFUSED
    assert "takes measured results only" in answer.message
    assert not Result.objects.exists()


def test_a_result_measured_on_the_fixed_subset_says_so() -> None:
    attempt = leased_task()
    nats = 3.0 * 16_384 * 0.6931471805599453
    body = completed(attempt.task, eval_bytes=16_384, eval_tokens=16_384, eval_nll_nats=nats)
    assert submit(attempt, body).verdict is Verdict.ACCEPTED
    assert Result.objects.get().eval_is_subset is True


# --- contradictions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 7}, "it ran seed 7, the task's is 42"),
        ({"dataset_sha256": "0" * 64}, "it was measured on data set 000000000000"),
        ({"wall_time_seconds": 25.1}, "it ran 25 s, at most 25 s count"),
        ({"val_bpb": 2.9}, "val_bpb 2.900000 does not follow from its counters (3.000000)"),
        ({"eval_tokens": 111_540}, "eval_tokens exceeds eval_bytes"),
        ({"val_bpb": None}, "val_bpb must be a finite number above 0"),
        ({"val_bpb": None, "diverged": "yes"}, "diverged must be true or false"),
        ({"diverged": True}, "val_bpb must be null in a run that diverged"),
        ({"stop_reason": "budget_too_small"}, "val_bpb must be null in a run that"),
        ({"train_loss": "low"}, "train_loss must be a finite number or null"),
        ({"train_loss": True}, "train_loss must be a finite number or null"),
        ({"train_loss": 10**400}, "train_loss must be a finite number or null"),
        ({"steps_completed": 2**63}, "steps_completed must be a whole number from 0 to 2^63 - 1"),
        ({"steps_completed": 10.0}, "steps_completed must be a whole number from 0 to 2^63 - 1"),
        ({"seed": 42.0}, "seed must be a whole number"),
        ({"device_used": ""}, "device_used must be a text"),
        ({"wall_time_seconds": -1}, "wall_time_seconds must be a number of at least 0"),
    ],
    ids=str,
)
def test_numbers_that_contradict_themselves_or_the_task_fail_the_attempt(
    changes: dict[str, Any], reason: str
) -> None:
    attempt = leased_task()
    body = completed(attempt.task)
    body["metrics"] = (body["metrics"] or {}) | changes

    answer = submit(attempt, body)

    assert answer.verdict is Verdict.REFUSED
    assert reason in answer.message
    assert Result.objects.count() == 0
    task = Task.objects.get()
    assert (task.state, task.failed_attempts) == (TaskState.PENDING, 1)
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.failure_class) == (
        AttemptOutcome.FAILED,
        FailureClass.INVALID_RESULT,
    )
    assert reason in attempt.message
    assert submit(attempt, body, 30) == answer


def test_a_finite_but_absurd_value_is_refused_and_does_not_break_the_server() -> None:
    attempt = leased_task()
    body = completed(attempt.task, 1.5e6)
    answer = submit(attempt, body)
    assert answer.verdict is Verdict.REFUSED
    assert "val_bpb 1500000 is not below 1000000; such a run diverged" in answer.message


def test_a_denominator_that_no_honest_evaluation_has_is_refused() -> None:
    attempt = leased_task()
    nats = 3.0 * 1000 * 0.6931471805599453
    body = completed(attempt.task, eval_bytes=1000, eval_tokens=1000, eval_nll_nats=nats)
    answer = submit(attempt, body)
    assert answer.verdict is Verdict.REFUSED
    assert "eval_bytes is 1000, must be 111539 (full) or 16384 (subset)" in answer.message


def test_a_result_of_another_script_is_refused() -> None:
    attempt = leased_task()
    body = completed(attempt.task)
    body["code_sha256"] = "f" * 64
    answer = submit(attempt, body)
    assert answer.verdict is Verdict.REFUSED
    assert "it ran script ffffffffffff, the campaign pins" in answer.message


def test_a_result_that_is_refused_twice_fails_the_task_and_ends_the_campaign() -> None:
    first = leased_task()
    submit(first, completed(first.task, seed=1))
    second = claim_one(worker(), now=at(20))
    submit(second, completed(second.task, seed=2), 30)
    task = Task.objects.get()
    assert (task.state, task.failure_class) == (TaskState.FAILED, FailureClass.INVALID_RESULT)
    assert Campaign.objects.get().state == CampaignState.COMPLETED
