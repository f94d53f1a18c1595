"""The verbs of the lifecycle under real concurrency: each thread has its own connection."""

from __future__ import annotations

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import transaction

from campaigns import lifecycle
from campaigns.lifecycle import LeaseLost, ResultConflict, WrongState, expiry
from campaigns.lifecycle.campaigns import cancel_open_tasks
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    Result,
    StateChange,
    Task,
    TaskState,
)
from campaigns.scripts import steering as script_steering
from tests.concurrency import Call, closing, in_parallel, wait_until_blocked
from tests.factories import (
    active_campaign,
    at,
    campaign,
    claim_one,
    completed,
    fail,
    failed_task,
    failure,
    finish,
    leased_task,
    runner,
    uploaded,
    worker,
)
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import HeartbeatAnswer, Verdict

pytestmark = pytest.mark.django_db(transaction=True)


def assert_consistent() -> None:
    """Check what must hold for every task after any race."""
    for task in Task.objects.prefetch_related("attempts"):
        running = [
            attempt for attempt in task.attempts.all() if attempt.outcome == AttemptOutcome.RUNNING
        ]
        held = [task.lease_id] if task.state == TaskState.LEASED else []
        assert [attempt.lease_id for attempt in running] == held
        assert Result.objects.filter(task=task).exists() == (task.state == TaskState.COMPLETED)


def test_threads_that_claim_all_at_once_never_get_the_same_task() -> None:
    active_campaign(40)
    workers = [worker() for _ in range(10)]

    def claim_until_empty(claimant: Worker) -> list[int]:
        task_ids: list[int] = []
        while True:
            attempts = lifecycle.claim(claimant, claim_id=uuid.uuid4(), count=3, now=at(1)).attempts
            if not attempts:
                return task_ids
            task_ids += [attempt.task_id for attempt in attempts]

    claimed = in_parallel([lambda by=by: claim_until_empty(by) for by in workers])

    counts = Counter(task_id for task_ids in claimed for task_id in task_ids)
    # On PostgreSQL a claim skips rows that another transaction has locked and may come back empty
    # too early; the skipped tasks can still be claimed.
    remaining = lifecycle.claim(worker(), claim_id=uuid.uuid4(), count=40, now=at(1)).attempts
    counts.update(attempt.task_id for attempt in remaining)
    assert len(counts) == 40
    assert set(counts.values()) == {1}
    assert Attempt.objects.count() == 40
    assert_consistent()


def test_parallel_repetitions_of_one_claim_bring_the_same_leases() -> None:
    active_campaign(20)
    claimant, claim_id = worker(), uuid.uuid4()

    def claim() -> set[uuid.UUID]:
        answer = lifecycle.claim(claimant, claim_id=claim_id, count=3, now=at(1))
        return {attempt.lease_id for attempt in answer.attempts}

    first, *repetitions = in_parallel([claim] * 8)

    assert len(first) == 3
    assert all(lease_ids == first for lease_ids in repetitions)
    assert Attempt.objects.count() == 3


def test_fifty_equal_submissions_are_stored_once_and_all_get_the_same_answer() -> None:
    attempt = leased_task()
    body = completed(attempt.task)

    def submit() -> lifecycle.Answer:
        return lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10))

    answers = in_parallel([submit] * 50)

    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
    assert len(set(answers)) == 1
    assert Result.objects.count() == 1
    assert_consistent()


def test_of_conflicting_submissions_one_is_stored_and_the_others_refused() -> None:
    attempt = leased_task()
    bodies = [completed(attempt.task, 2.0 + number / 10) for number in range(10)]

    answers = in_parallel(
        [
            lambda body=body: lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10))
            for body in bodies
        ]
    )

    (stored,) = [n for n, answer in enumerate(answers) if isinstance(answer, lifecycle.Answer)]
    assert all(
        isinstance(answer, ResultConflict) for n, answer in enumerate(answers) if n != stored
    )
    assert Result.objects.get().value == bodies[stored]["metrics"]["val_bpb"]  # type: ignore[index]
    assert_consistent()


def test_the_last_of_submissions_that_finish_at_once_completes_the_campaign() -> None:
    running = active_campaign(6)
    attempts = [claim_one(worker()) for _ in range(6)]
    in_parallel(
        [
            lambda attempt=attempt: (fail if attempt.task.number % 2 else finish)(
                attempt, now=at(10)
            )
            for attempt in attempts
        ]
    )
    again = [claim_one(worker(), now=at(20)) for _ in range(3)]
    in_parallel([lambda attempt=attempt: finish(attempt, now=at(30)) for attempt in again])
    running.refresh_from_db()
    assert running.state == CampaignState.COMPLETED
    assert_consistent()


@pytest.mark.parametrize("attempt_number", range(3))
def test_no_task_is_left_leased_when_a_campaign_is_cancelled_while_it_is_claimed(
    attempt_number: int,
) -> None:
    running = active_campaign(12)
    claims: list[Call] = [
        lambda by=by: lifecycle.claim(by, claim_id=uuid.uuid4(), count=3, now=at(1))
        for by in [worker() for _ in range(5)]
    ]
    cancel: Call = lambda: lifecycle.cancel(running, now=at(1))  # noqa: E731
    in_parallel([*claims[:3], cancel, *claims[3:]])
    assert set(Task.objects.values_list("state", flat=True)) == {TaskState.CANCELLED}
    assert set(Attempt.objects.values_list("outcome", flat=True)) <= {AttemptOutcome.CANCELLED}
    assert_consistent()


def test_cancelling_and_submitting_at_once_end_in_one_of_the_two() -> None:
    running = active_campaign(8)
    attempts = [claim_one(worker()) for _ in range(8)]
    submits: list[Call] = [
        lambda attempt=attempt: finish(attempt, now=at(10)) for attempt in attempts
    ]
    cancel: Call = lambda: lifecycle.cancel(running, now=at(10))  # noqa: E731
    *answers, cancelled = in_parallel([*submits, cancel])
    states = Counter(Task.objects.values_list("state", flat=True))
    accepted = sum(answer.verdict is Verdict.ACCEPTED for answer in answers)
    assert states[TaskState.COMPLETED] == accepted
    assert states[TaskState.CANCELLED] == 8 - accepted
    running.refresh_from_db()
    assert running.state == (
        CampaignState.COMPLETED if isinstance(cancelled, WrongState) else CampaignState.CANCELLED
    )
    assert_consistent()


@pytest.mark.parametrize("losses", [5, 1], ids=["it waits again", "it has failed"])
def test_expiring_and_submitting_at_once_lose_no_result_and_count_no_loss_twice(
    losses: int,
) -> None:
    attempts = [leased_task(max_lost_attempts=losses) for _ in range(4)]
    submits: list[Call] = [
        lambda attempt=attempt: finish(attempt, now=at(60)) for attempt in attempts
    ]
    sweeps: list[Call] = [lambda: lifecycle.expire(now=at(60))] * 4
    answers = in_parallel([*submits, *sweeps])

    expired = sum(answers[4:])
    tasks = list(Task.objects.order_by("pk"))
    assert sum(task.lost_attempts for task in tasks) == expired
    for task, answer in zip(tasks, answers[:4], strict=True):
        if losses == 1 and task.lost_attempts:
            assert (task.state, answer.verdict) == (TaskState.FAILED, Verdict.LATE)
        else:
            # Accepted before the sweep or after it, because no other worker held the task.
            assert (task.state, answer.verdict) == (TaskState.COMPLETED, Verdict.ACCEPTED)
    assert_consistent()


def test_expiring_and_renewing_at_once_end_in_one_of_the_two() -> None:
    attempts = [leased_task() for _ in range(6)]
    renewals: list[Call] = [
        lambda attempt=attempt: lifecycle.renew(attempt.worker, attempt.lease_id, now=at(46))[0]
        for attempt in attempts
    ]
    sweeps: list[Call] = [lambda: lifecycle.expire(now=at(46))] * 2
    answers = in_parallel([*renewals, *sweeps])
    states = list(Task.objects.order_by("pk").values_list("state", flat=True))
    for state, answer in zip(states, answers[:6], strict=True):
        assert (state, answer) in {
            # Renewed first: the sweep then saw the new end of the lease.
            (TaskState.LEASED, HeartbeatAnswer.CONTINUE),
            # Swept first.
            (TaskState.PENDING, HeartbeatAnswer.LOST),
        }
    assert sum(answers[6:]) == states.count(TaskState.PENDING)
    assert_consistent()


def test_sweeps_at_once_take_each_lease_back_once() -> None:
    for _ in range(6):
        leased_task()
    assert sum(in_parallel([lambda: lifecycle.expire(now=at(46))] * 6)) == 6
    assert set(Task.objects.values_list("lost_attempts", flat=True)) == {1}
    assert_consistent()


def test_a_renewal_that_came_after_the_look_keeps_its_lease() -> None:
    renewed, silent = leased_task(), leased_task()
    lifecycle.renew(renewed.worker, renewed.lease_id, now=at(46))
    lost = expiry._take_back([renewed.task_id, silent.task_id], at(46))
    assert [loss.attempt for loss in lost] == [silent]
    assert_consistent()


@pytest.mark.postgresql_only
def test_a_sweep_does_not_wait_for_a_task_that_is_locked(caplog: pytest.LogCaptureFixture) -> None:
    held, _ = leased_task(), leased_task()
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=held.task_id)
        assert in_parallel([lambda: lifecycle.expire(now=at(46))]) == [1]
    assert not caplog.records  # of a wait that PostgreSQL ended
    assert Task.objects.get(state=TaskState.LEASED) == held.task
    assert lifecycle.expire(now=at(47)) == 1


def test_releasing_and_submitting_at_once_end_in_one_of_the_two() -> None:
    attempt = leased_task()

    def release() -> None:
        lifecycle.release(attempt.worker, attempt.lease_id, now=at(10))

    def submit() -> lifecycle.Answer:
        return lifecycle.submit(
            attempt.worker, attempt.lease_id, completed(attempt.task), now=at(10)
        )

    released, answer = in_parallel([release, submit])
    assert (released is None) == (answer.verdict is Verdict.LATE)
    assert (released is None) or isinstance(released, LeaseLost)
    assert_consistent()


def test_a_draft_launched_twice_at_once_gets_its_tasks_once() -> None:
    draft = campaign(task_count=20)

    def launch() -> None:
        lifecycle.launch(Campaign.objects.get(pk=draft.pk), now=at(1))

    outcomes = in_parallel([launch] * 4)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert Task.objects.count() == 20


def test_one_invitation_used_by_many_at_once_makes_one_worker() -> None:
    _, secret = worker_lifecycle.invite(now=at(0))

    def enrol(number: int) -> Any:
        try:
            return worker_lifecycle.enrol(secret, now=at(1), name=f"w{number}")
        except worker_lifecycle.EnrolmentRefused as refusal:
            return refusal

    outcomes = in_parallel([lambda n=n: enrol(n) for n in range(6)])
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 1
    assert Worker.objects.count() == 1


def test_a_worker_heard_of_twice_at_once_has_one_session() -> None:
    agent, boot_id = worker(), uuid.uuid4()
    in_parallel([lambda: worker_lifecycle.see(agent, now=at(1), boot_id=boot_id)] * 6)
    assert agent.sessions.count() == 1


@pytest.mark.postgresql_only
def test_a_campaign_is_not_completed_while_one_of_its_tasks_is_being_retried() -> None:
    failed = failed_task()
    # The state after a process died between ending the task and finishing the campaign.
    Campaign.objects.update(state=CampaignState.ACTIVE, finished_at=None)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            lifecycle.retry_task(failed, now=at(10))
            sweep = pool.submit(closing(lambda: lifecycle.finish_done_campaigns(now=at(10))))
            wait_until_blocked(sweep)
        assert sweep.result(timeout=30) == 0

    assert Task.objects.get().state == TaskState.PENDING
    assert Campaign.objects.get().state == CampaignState.ACTIVE


@pytest.mark.postgresql_only
def test_a_draft_that_is_cancelled_meanwhile_is_not_deleted_from_under_its_journal() -> None:
    draft = campaign()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            lifecycle.cancel(draft, now=at(10))
            deletion = pool.submit(closing(lambda: lifecycle.delete_draft(draft)))
            wait_until_blocked(deletion)
        with pytest.raises(lifecycle.WrongState, match="only a draft can be deleted"):
            deletion.result(timeout=30)

    assert StateChange.objects.get().campaign == Campaign.objects.get() == draft


def test_the_last_two_tasks_that_end_at_once_begin_one_race() -> None:
    racing = active_campaign(30, races_automatically=True)
    others = racing.tasks.filter(number__gt=2)
    with transaction.atomic():
        cancel_open_tasks(others, now=at(1), actor=lifecycle.SERVER)
    finish(claim_one(runner(), now=at(2)))
    attempts = [claim_one(runner(), now=at(2)) for _ in range(2)]

    in_parallel([lambda attempt=attempt: finish(attempt, now=at(9)) for attempt in attempts])

    race = racing.races.get()
    assert (sorted(race.arms), race.chosen_from) == ([0, 1, 2], 21)
    assert racing.tasks.filter(state=TaskState.PENDING).count() == 9
    assert_consistent()


@pytest.mark.postgresql_only
def test_a_submission_that_waited_for_a_cancellation_is_late() -> None:
    attempt = leased_task()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            lifecycle.cancel(attempt.task.campaign, now=at(10))
            submission = pool.submit(closing(lambda: fail(attempt, now=at(11))))
            wait_until_blocked(submission)
        assert submission.result(timeout=30).verdict is Verdict.LATE
    assert_consistent()


@pytest.mark.postgresql_only
def test_a_claim_does_not_wait_for_tasks_that_another_is_about_to_take() -> None:
    active_campaign(4)
    first_worker, second_worker = worker(), worker()

    def claim() -> lifecycle.Claim:
        return lifecycle.claim(second_worker, claim_id=uuid.uuid4(), count=2, now=at(1))

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        lifecycle.claim(first_worker, claim_id=uuid.uuid4(), count=2, now=at(1))
        pool.submit(closing(claim)).result(timeout=30)
    assert Task.objects.filter(worker=first_worker).count() == 2
    assert Task.objects.filter(worker=second_worker).count() == 2


@pytest.mark.postgresql_only
def test_a_script_is_not_deleted_while_a_campaign_is_being_made_of_it() -> None:
    package = uploaded()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            draft = campaign(script=package.sha256)
            deletion = pool.submit(
                closing(lambda: script_steering.delete(None, package, now=at(1)))
            )
            wait_until_blocked(deletion)
        assert "A campaign uses the script" in str(deletion.exception(timeout=30))
    assert Campaign.objects.get().package == draft.package == package


def test_failures_at_once_are_each_charged_once() -> None:
    attempts = [leased_task() for _ in range(5)]
    calls: list[Call] = [
        lambda attempt=attempt: lifecycle.submit(
            attempt.worker, attempt.lease_id, failure(), now=at(5)
        )
        for attempt in attempts
        for _ in range(3)
    ]
    answers = in_parallel(calls)
    assert {answer.verdict for answer in answers} == {Verdict.RETRY}
    assert set(Task.objects.values_list("failed_attempts", flat=True)) == {1}
    assert_consistent()
