"""Every verb in every state does what the transition tables say, and the journal records it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import LeaseLost, WrongState
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS, TASK_TRANSITIONS
from campaigns.models import Attempt, Campaign, CampaignState, StateChange, Task, TaskState
from tests import invariants
from tests.factories import (
    at,
    campaign,
    completed,
    fail,
    failure,
    finish,
    leased_task,
    lost_attempt,
    pending_task,
    worker,
)
from workers.models import Worker
from workers.protocol import HeartbeatAnswer, Verdict

pytestmark = pytest.mark.django_db

# --- the journal ----------------------------------------------------------------------------------

States = dict[tuple[str, int], str]


def states_of_everything() -> States:
    states: States = {
        ("campaign", pk): state for pk, state in Campaign.objects.values_list("pk", "state")
    }
    states |= {("task", pk): state for pk, state in Task.objects.values_list("pk", "state")}
    outcomes = Attempt.objects.values_list("pk", "outcome")
    return states | {("attempt", pk): outcome for pk, outcome in outcomes}


def assert_journal_holds(before: States, last: int) -> None:
    """Check that the lines after `last` record each change since `before` once and nothing else."""
    after = states_of_everything()
    changes = {
        (*key, before.get(key, invariants.FIRST_STATES[key[0]]), state)
        for key, state in after.items()
        if before.get(key, invariants.FIRST_STATES[key[0]]) != state
    }
    lines = [
        (line.subject, getattr(line, f"{line.subject}_id"), line.from_state, line.to_state)
        for line in StateChange.objects.filter(pk__gt=last)
    ]
    assert sorted(lines) == sorted(changes)


def last_line() -> int:
    newest = StateChange.objects.order_by("pk").last()
    return newest.pk if newest else 0


# --- tasks ----------------------------------------------------------------------------------------

LATER = at(100)
STEPS = {"budget_kind": "work", "work_unit": "steps", "work_amount": 100}


def attempt_of_a_task_in(state: str, **fields: Any) -> Attempt:
    """An attempt whose task is in `state`; a pending task waits because this attempt was lost."""
    if state == TaskState.PENDING:
        return lost_attempt(**fields)
    attempt = leased_task(max_failed_attempts=1, **fields)
    if state == TaskState.COMPLETED:
        finish(attempt)
    elif state == TaskState.FAILED:
        fail(attempt)
    elif state == TaskState.CANCELLED:
        lifecycle.cancel_task(attempt.task, now=at(1))
    return attempt


def claim(attempt: Attempt) -> bool:
    answer = lifecycle.claim(worker(), claim_id=uuid.uuid4(), count=9, now=at(30))
    if attempt.outcome == "lost":  # its task waits from 60 s on
        answer = lifecycle.claim(worker(), claim_id=uuid.uuid4(), count=9, now=LATER)
    return bool(answer.attempts)


def renew(attempt: Attempt) -> bool:
    answer, _ = lifecycle.renew(attempt.worker, attempt.lease_id, now=LATER)
    return answer is HeartbeatAnswer.CONTINUE


def release(attempt: Attempt) -> bool:
    try:
        lifecycle.release(attempt.worker, attempt.lease_id, now=LATER)
    except LeaseLost:
        return False
    return True


def expire(attempt: Attempt) -> bool:
    return lifecycle.expire(now=LATER) == 1


def submit_result(attempt: Attempt) -> bool:
    return _submit_anew(attempt, result=True) is Verdict.ACCEPTED


def submit_failure(attempt: Attempt) -> bool:
    return _submit_anew(attempt, result=False) in {Verdict.RETRY, Verdict.FAILED}


def _submit_anew(attempt: Attempt, *, result: bool) -> Verdict:
    # Forget an earlier submission, otherwise its stored answer is repeated.
    Attempt.objects.filter(pk=attempt.pk).update(submission_digest="")
    body = completed(attempt.task) if result else failure()
    return lifecycle.submit(attempt.worker, attempt.lease_id, body, now=LATER).verdict


def give_up(attempt: Attempt) -> bool:
    Attempt.objects.filter(pk=attempt.pk).update(failure_class="too_slow")
    Worker.objects.update(last_seen_at=LATER)
    return lifecycle.give_up_slow_tasks(now=LATER) == 1


def cancel_task(attempt: Attempt) -> bool:
    return _unless_wrong_state(lambda: lifecycle.cancel_task(attempt.task, now=LATER))


def retry_task(attempt: Attempt) -> bool:
    return _unless_wrong_state(lambda: lifecycle.retry_task(attempt.task, now=LATER))


def _unless_wrong_state(verb: Callable[[], None]) -> bool:
    try:
        verb()
    except WrongState:
        return False
    return True


TASK_VERBS: dict[str, Callable[[Attempt], bool]] = {
    "claim": claim,
    "renew": renew,
    "release": release,
    "expire": expire,
    "submit_result": submit_result,
    "submit_failure": submit_failure,
    "give_up": give_up,
    "cancel_task": cancel_task,
    "retry_task": retry_task,
}


def test_every_verb_of_a_task_is_walked() -> None:
    assert set(TASK_VERBS) == set(TASK_TRANSITIONS)


@pytest.mark.parametrize("state", TaskState.values)
@pytest.mark.parametrize("verb", sorted(TASK_VERBS))
def test_a_verb_moves_a_task_as_its_row_says_or_not_at_all(verb: str, state: str) -> None:
    budget = STEPS if verb == "give_up" else {}
    attempt = attempt_of_a_task_in(state, **budget)
    before = Task.objects.values().get()
    assert before["state"] == state
    row = TASK_TRANSITIONS[verb]
    states_before, last = states_of_everything(), last_line()

    done = TASK_VERBS[verb](attempt)

    after = Task.objects.values().get()
    assert done == (state in row.sources)
    if done:
        assert after["state"] in row.targets
    else:
        assert after == before
    assert_journal_holds(states_before, last)
    if not (verb.startswith("submit") and state == TaskState.COMPLETED):  # see `_submit_anew`
        invariants.check()


@pytest.mark.parametrize(
    ("verb", "maximum"),
    [("expire", "max_lost_attempts"), ("submit_failure", "max_failed_attempts")],
)
def test_a_verb_with_two_targets_reaches_both(verb: str, maximum: str) -> None:
    reached = set()
    for tries in (1, 2):
        task = TASK_VERBS[verb](leased_task(**{maximum: tries})) and Task.objects.latest("pk")
        assert isinstance(task, Task)
        reached.add(task.state)
        Task.objects.update(available_at=at(10_000))
    assert reached == TASK_TRANSITIONS[verb].targets


def test_what_waits_but_not_after_a_loss_takes_no_result_of_a_former_holder() -> None:
    attempt = leased_task()
    lifecycle.release(attempt.worker, attempt.lease_id, now=at(1))
    assert not submit_result(attempt)
    assert Task.objects.get().state == TaskState.PENDING


# --- campaigns ------------------------------------------------------------------------------------


def campaign_in(state: str) -> Campaign:
    if state == CampaignState.DRAFT:
        return campaign()
    launched = pending_task().campaign
    if state == CampaignState.PAUSED:
        lifecycle.pause(launched, now=at(1))
    elif state == CampaignState.CANCELLED:
        lifecycle.cancel(launched, now=at(1))
    elif state == CampaignState.COMPLETED:
        lifecycle.cancel_task(launched.tasks.get(), now=at(1))
    launched.refresh_from_db()
    return launched


def end_tasks_by_hand() -> None:
    """End the tasks but not the campaign, as a process does that dies in between."""
    Task.objects.filter(state=TaskState.PENDING).update(
        state=TaskState.CANCELLED, finished_at=at(1)
    )


CAMPAIGN_VERBS: dict[str, Callable[[Campaign], bool]] = {
    "launch": lambda moved: _unless_wrong_state(lambda: lifecycle.launch(moved, now=LATER)),
    "pause": lambda moved: _unless_wrong_state(lambda: lifecycle.pause(moved, now=LATER)),
    "resume": lambda moved: _unless_wrong_state(lambda: lifecycle.resume(moved, now=LATER)),
    "cancel": lambda moved: _unless_wrong_state(lambda: lifecycle.cancel(moved, now=LATER)),
    "grow": lambda moved: _unless_wrong_state(lambda: lifecycle.add_tasks(moved, 1, now=LATER)),
    "set_race_options": lambda moved: _unless_wrong_state(
        lambda: lifecycle.set_race_options(moved, min_effect=0.02, now=LATER)
    ),
    "finish": lambda _: lifecycle.finish_done_campaigns(now=LATER) == 1,
}


def test_every_verb_of_a_campaign_is_walked() -> None:
    assert set(CAMPAIGN_VERBS) == set(CAMPAIGN_TRANSITIONS)


@pytest.mark.parametrize("state", CampaignState.values)
@pytest.mark.parametrize("verb", sorted(CAMPAIGN_VERBS))
def test_a_verb_moves_a_campaign_as_its_row_says_or_not_at_all(verb: str, state: str) -> None:
    moved = campaign_in(state)
    if verb == "finish":
        end_tasks_by_hand()
    before = Campaign.objects.values().get()
    assert before["state"] == state
    row = CAMPAIGN_TRANSITIONS[verb]
    states_before, last = states_of_everything(), last_line()

    done = CAMPAIGN_VERBS[verb](moved)

    after = Campaign.objects.values().get()
    assert done == (state in row.sources)
    if done:
        assert after["state"] in row.targets
    else:
        assert after == before
        moved.refresh_from_db()
        assert moved.state == state
    assert_journal_holds(states_before, last)


@pytest.mark.parametrize(
    ("state", "then"),
    [
        (CampaignState.ACTIVE, CampaignState.ACTIVE),
        (CampaignState.PAUSED, CampaignState.PAUSED),
        (CampaignState.COMPLETED, CampaignState.ACTIVE),
        (CampaignState.CANCELLED, None),
    ],
)
def test_retrying_a_task_leaves_its_campaign_able_to_run_it(state: str, then: Any) -> None:
    task = attempt_of_a_task_in(TaskState.FAILED).task
    Campaign.objects.update(state=state, finished_at=at(1))
    if then is None:
        with pytest.raises(WrongState, match="The campaign was cancelled; clone it"):
            lifecycle.retry_task(task, now=LATER)
        assert Task.objects.get().state == TaskState.FAILED
    else:
        lifecycle.retry_task(task, now=LATER)
        assert Campaign.objects.get().state == then
        assert Task.objects.get().state == TaskState.PENDING
