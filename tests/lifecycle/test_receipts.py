"""What the answer to a submission says that a run counts for."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import receipts
from campaigns.models import Arm, Campaign, FailureClass, Result, Task, TaskPurpose
from tests.factories import at, completed, failure, leased_task


def task(**fields: Any) -> Task:
    arm = Arm(number=4)
    campaign = Campaign(pk=3, metric="val_bpb", metric_version=1)
    counters = {"failed_attempts": 0, "max_failed_attempts": 3}
    return Task(arm=arm, campaign=campaign, seed=42, seed_index=2, **counters | fields)


def said(
    of: Task | None = None, *, repeated: bool = False, stands_in: bool = False, **f: Any
) -> str:
    fields = {"value": 2.5, "device_used": "cuda:0", "stop_reason": "time_budget"} | f
    result = Result(task=of or task(), **fields)
    return receipts.of_result(result, is_repeated=repeated, stands_in=stands_in)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "counts for arm 4, seed s2 of campaign 3, among runs on cuda"),
        ({"simulated": True}, "does not count: it is simulated"),
        ({"implausible": True}, "does not count until an operator admits it"),
        ({"diverged": True, "value": None}, "kept without a value: the loss diverged"),
        ({"value": None, "stop_reason": "budget_too_small"}, "no step fitted the budget"),
    ],
)
def test_a_result_counts_or_the_note_says_why_not(fields: dict[str, Any], words: str) -> None:
    note = said(**fields)
    assert words in note
    assert note.startswith("counts") is (not fields)


def test_a_replay_counts_only_in_the_place_of_the_run_that_it_repeats() -> None:
    replay = task(purpose=TaskPurpose.REPLAY)
    assert said(replay, stands_in=True).endswith("in the place of the run that it repeats")
    assert said(replay).startswith("kept, does not count")


def test_a_hindered_run_counts_and_is_said_to_be_repeated() -> None:
    speed = {"step_seconds": 3.0, "expected_step_seconds": 1.0, "disturbed": True}
    note = said(repeated=True, foreign_load=1.5, **speed)
    assert note.startswith("counts for arm 4")
    assert "; it runs once more, disturbed: steps took 3.0x as long" in note
    assert len(note) <= receipts.MAX_CHARACTERS


@pytest.mark.parametrize(
    ("failure_class", "words"),
    [
        (FailureClass.OOM, "the task runs again, this was failure 1 of 3"),
        (FailureClass.ENV_ERROR, "not held against the task"),
        (FailureClass.TOO_SLOW, "held against nobody"),
        (FailureClass.LOST, "the task runs again"),
    ],
)
def test_a_failure_says_whose_it_is(failure_class: FailureClass, words: str) -> None:
    assert words in receipts.of_failure(task(), failure_class, tries_left=True)
    assert "not tried again" in receipts.of_failure(task(), failure_class, tries_left=False)


@pytest.mark.django_db
def test_the_same_submission_again_gets_the_same_note() -> None:
    attempt = leased_task()
    bodies = completed(attempt.task), completed(attempt.task)
    first, again = (
        lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10)) for body in bodies
    )
    assert first.note.startswith("counts for arm 0, seed s0")
    assert again == first


@pytest.mark.django_db
def test_an_answer_that_was_stored_before_there_were_notes_is_given_without_one() -> None:
    attempt = leased_task()
    body = failure()
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10))
    attempt.refresh_from_db()
    assert attempt.answer is not None
    assert "failure 1 of" in attempt.answer.pop("note")
    attempt.save(update_fields=["answer"])
    again = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(20))
    assert again.note == ""
