"""A model of the lifecycle: which lease may decide each task. Each verb moves model and database.

``tests/lifecycle/histories/test_histories.py`` states what must hold after each verb.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from campaigns import lifecycle
from campaigns.lifecycle import LeaseLost, ResultConflict, expiry
from campaigns.models import AttemptOutcome, Campaign, CampaignState, TaskState
from tests import factories
from tests.lifecycle.histories.model_asking import AskingVerbs
from tests.lifecycle.histories.model_people import PeopleVerbs
from tests.lifecycle.histories.model_rows import BUDGET_SECONDS as BUDGET
from tests.lifecycle.histories.model_rows import GRACE_SECONDS as GRACE
from tests.lifecycle.histories.model_rows import LEASE_SECONDS as LEASE
from tests.lifecycle.histories.model_rows import MAX_FAILED, MAX_LOST, ModelLease, ModelTask
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import FailureClass, HeartbeatAnswer, Submission, Verdict

TASKS, WORKERS = 4, 3
# A machine that was seen within this time may come back, and be fast enough.
LEFT_AFTER = 3600.0
# A worker may have a task so often for nothing; then it goes to other machines that are online.
MAX_UNPAID = 3
# The least pause of a worker that could not run a task.
ENV_PAUSE = 60.0
# Stay below the ten failures that pause the campaign: the breaker has tests of its own.
MAX_FAILURES = 9

TICKS = (0.5, 5.0, 20.0, 44.0, 46.0, 300.0)
# Verb -> weight. One Hypothesis rule per verb would not do: Hypothesis switches some rules off in
# each history, and most histories would then only claim or only sweep. Claims stand first because
# Hypothesis draws the first element far more often than its share.
VERBS = {
    "claim": 4,
    "fall_silent_and_let_another_claim": 4,
    "tick": 3,
    "renew": 3,
    "renew_around_the_deadline": 3,
    "release": 3,
    "release_stale_lease": 2,
    "expire": 2,
    "submit_result": 6,
    "submit_failure": 5,
    "submit_for_stale_lease": 3,
    "submit_again": 2,
    "pause_or_resume": 2,
    "cancel": 1,
    "cancel_task": 1,
    "retry_task": 2,
    "run_again": 1,
    "disable_or_resume_a_worker": 2,
    "ask": 2,
    "say_finish": 2,
    "sweep": 1,
}


class Verbs(PeopleVerbs, AskingVerbs, RuleBasedStateMachine):
    """The verbs in any order, with workers that vanish, return late and repeat requests.

    Each verb is applied to the database and to the model, and both must give the same answer.
    """

    # The budget of the campaign, how long a run may take, and the failures that workers report.
    budget: ClassVar[dict[str, Any]] = {"time_budget_seconds": BUDGET}
    longest: ClassVar[float] = BUDGET
    failure_classes: ClassVar = ("script_error", "lost", "env_error")

    def __init__(self) -> None:
        super().__init__()
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        self.campaign = factories.active_campaign(
            TASKS,
            **self.budget,
            max_lost_attempts=MAX_LOST,
            max_failed_attempts=MAX_FAILED,
        )
        self.workers = [factories.worker() for _ in range(WORKERS)]
        self.tasks = {task.pk: ModelTask(task.arm_id) for task in self.campaign.tasks.all()}
        self.state: str = CampaignState.ACTIVE
        # When an outside program last asked; None once nobody is expected to ask again.
        self.asked: float | None = None
        self.seconds = 0.0
        self.failures = 0
        self.disabled: set[int] = set()
        self.seen_at: dict[int, float] = {}
        self.paused_until: dict[int, float] = {}
        self.env_errors: dict[int, int] = {}
        # Workers that were too slow: all tasks are equal work, so they get no more of them.
        self.slow: set[int] = set()
        self.infeasible: set[int] = set()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.rollback.__exit__(None, None, None)

    # --- the model --------------------------------------------------------------------------------

    @property
    def now(self) -> dt.datetime:
        return factories.at(self.seconds)

    @property
    def leases(self) -> list[ModelLease]:
        return [lease for task in self.tasks.values() for lease in task.leases]

    @property
    def unsent(self) -> list[ModelLease]:
        return [lease for lease in self.leases if lease.sent is None]

    @property
    def holders(self) -> list[ModelLease]:
        return [task.holder for task in self.tasks.values() if task.holder is not None]

    @property
    def stale(self) -> list[ModelLease]:
        """The leases whose task is held by another lease."""
        return [lease for lease in self.leases if self.task_of(lease).holder not in {None, lease}]

    @property
    def sent(self) -> list[ModelLease]:
        return [lease for lease in self.leases if lease.sent is not None]

    def task_of(self, lease: ModelLease) -> ModelTask:
        return self.tasks[lease.attempt.task_id]

    def end(self, task: ModelTask, state: str, outcome: str) -> None:
        """End the holder's attempt with `outcome` and move the task to `state`."""
        if task.holder is not None:
            task.holder.outcome = outcome
        task.state, task.holder = state, None
        self.finish()

    def finish(self) -> None:
        still_open = {TaskState.PENDING, TaskState.LEASED}
        running = self.state in {CampaignState.ACTIVE, CampaignState.PAUSED}
        if running and not (
            self.is_expected_to_ask or any(task.state in still_open for task in self.tasks.values())
        ):
            self.state, self.asked = CampaignState.COMPLETED, None

    def lose_overdue(self) -> int:
        overdue = [
            task
            for task in self.tasks.values()
            if task.holder is not None and task.holder.expires < self.seconds
        ]
        for task in overdue:
            assert task.holder is not None
            loser = task.holder.attempt.worker_id
            had_lost_it = any(lease.is_loss for lease in task.of_worker(loser))
            # One worker that loses a task again is charged only while no other machine is online.
            counts = not (had_lost_it and self.others_online(loser))
            task.lost += counts
            spent = counts and task.lost >= task.max_lost
            self.end(task, TaskState.FAILED if spent else TaskState.PENDING, AttemptOutcome.LOST)
            self.pause_worker(loser, LEASE)
        return len(overdue)

    def others_online(self, worker_id: int) -> list[int]:
        return [
            other
            for other, seen_at in self.seen_at.items()
            if other not in {worker_id, *self.disabled, *self.slow}
            and self.seconds - seen_at <= LEASE
        ]

    def give_up(self, worker_id: int) -> None:
        """The worker was too slow: where none is left that was not, nothing that waits can run."""
        able = {
            other
            for other, seen_at in self.seen_at.items()
            if other not in self.disabled and self.seconds - seen_at <= LEFT_AFTER + LEASE
        }
        if able | {worker_id} <= self.slow:
            for task in self.tasks.values():
                if task.state == TaskState.PENDING:
                    self.infeasible.add(task.arm)
                    self.end(task, TaskState.FAILED, "")

    def pause_worker(self, worker_id: int, seconds: float) -> None:
        until = self.seconds + seconds
        self.paused_until[worker_id] = max(self.paused_until.get(worker_id, 0.0), until)

    def see(self, worker: Worker) -> None:
        """The worker called, as the door of the API records it before each verb."""
        worker_lifecycle.see(worker, now=self.now)
        self.seen_at[worker.pk] = self.seconds

    # --- time and workers -------------------------------------------------------------------------

    @rule(
        verb=st.sampled_from([verb for verb, often in VERBS.items() for _ in range(often)]),
        number=st.integers(0, 59),
    )
    def step(self, verb: str, number: int) -> None:
        """Do one verb; `number` chooses its object and its arguments."""
        getattr(self, verb)(number)

    def tick(self, number: int) -> None:
        self.seconds += TICKS[number % len(TICKS)]

    def fall_silent_and_let_another_claim(self, number: int) -> None:
        if self.holders:
            silent = self.holders[number % len(self.holders)]
            self.seconds = max(self.seconds, silent.expires + 0.5)
        self.claim(number)

    def claim(self, number: int) -> None:
        worker, count = self.workers[number % WORKERS], 1 + number // WORKERS % (TASKS + 1)
        claim_id, slots = uuid.uuid4(), 1 + number // 2 % (TASKS + 1)
        if worker.pk not in self.disabled:  # its token is rejected
            self.see(worker)
        expiry.forget()  # as if another process answered: each claim takes back what is overdue
        answer = lifecycle.claim(worker, claim_id=claim_id, count=count, slots=slots, now=self.now)
        self.lose_overdue()
        assert not (answer.attempts and worker.pk in self.disabled)
        if answer.attempts:
            assert self.paused_until.get(worker.pk, 0.0) <= self.seconds, "it was to wait"
        held = [lease for lease in self.holders if lease.attempt.worker_id == worker.pk]
        assert len(answer.attempts) <= max(0, slots - len(held)), "more than it can hold"
        for attempt in answer.attempts:
            task = self.tasks[attempt.task_id]
            assert self.state == CampaignState.ACTIVE
            assert task.state == TaskState.PENDING, "claimed a task that another lease holds"
            assert worker.pk not in self.slow, "it was too slow for as much work"
            others = self.others_online(worker.pk)
            if task.unpaid_tries_of(worker.pk) >= MAX_UNPAID:
                fresh = [other for other in others if task.unpaid_tries_of(other) < MAX_UNPAID]
                assert not fresh, "others had it less often for nothing"
            if task.was_failed_by(worker.pk):
                fresh = [other for other in others if not task.was_failed_by(other)]
                assert not fresh, "others had not failed it"
            deadline = self.seconds + self.longest + GRACE
            lease = ModelLease(attempt, self.seconds + LEASE, deadline)
            task.leases.append(lease)
            task.state, task.holder = TaskState.LEASED, lease
        again = lifecycle.claim(worker, claim_id=claim_id, count=count, slots=slots, now=self.now)
        if answer.attempts:
            assert again.attempts == answer.attempts

    def renew(self, number: int) -> None:
        if self.leases:
            self.renew_lease(self.leases[number % len(self.leases)])

    def renew_around_the_deadline(self, number: int) -> None:
        if not self.holders:
            return
        lease = self.holders[number % len(self.holders)]
        self.seconds = max(self.seconds, lease.deadline + (-10.0, 0.0, 0.5)[number // TASKS % 3])
        self.renew_lease(lease)

    def renew_lease(self, lease: ModelLease) -> None:
        answer, _ = lifecycle.renew(lease.attempt.worker, lease.attempt.lease_id, now=self.now)
        if lease is self.task_of(lease).holder and lease.deadline > self.seconds:
            assert answer is HeartbeatAnswer.CONTINUE
            lease.expires = min(lease.deadline, max(lease.expires, self.seconds + LEASE))
        elif lease.outcome == AttemptOutcome.CANCELLED:
            assert answer is HeartbeatAnswer.CANCEL
        else:
            assert answer is HeartbeatAnswer.LOST

    def release(self, number: int) -> None:
        if self.leases:
            self.release_lease(self.leases[number % len(self.leases)])

    def release_stale_lease(self, number: int) -> None:
        """A worker wakes from sleep and releases a lease that was taken back meanwhile."""
        if self.stale:
            self.release_lease(self.stale[number % len(self.stale)])

    def release_lease(self, lease: ModelLease) -> None:
        task = self.task_of(lease)
        try:
            lifecycle.release(lease.attempt.worker, lease.attempt.lease_id, now=self.now)
        except LeaseLost:
            assert lease is not task.holder
            assert lease.outcome != AttemptOutcome.RELEASED
            return
        if lease is task.holder:
            self.end(task, TaskState.PENDING, AttemptOutcome.RELEASED)
        else:
            assert lease.outcome == AttemptOutcome.RELEASED

    def expire(self, number: int) -> None:
        assert lifecycle.expire(now=self.now) == self.lose_overdue()

    # --- submissions ------------------------------------------------------------------------------

    def submit_result(self, number: int) -> None:
        if self.unsent:
            self.complete_lease(self.unsent[number % len(self.unsent)], number)

    def complete_lease(self, lease: ModelLease, number: int) -> None:
        task = self.task_of(lease)
        answer = self.send(lease, factories.completed(lease.attempt.task, 2.0 + number % 3))
        waits_after_loss = lease.outcome == AttemptOutcome.LOST and task.state == TaskState.PENDING
        if lease is task.holder or waits_after_loss:
            assert answer.verdict is Verdict.ACCEPTED
            task.winner = lease
            self.infeasible.discard(task.arm)
            if self.env_errors.pop(lease.attempt.worker_id, 0):
                # A good result ends the pauses of a worker whose environment had errors.
                self.paused_until.pop(lease.attempt.worker_id, None)
            lease.outcome = AttemptOutcome.COMPLETED
            self.end(task, TaskState.COMPLETED, AttemptOutcome.COMPLETED)
        else:
            assert answer.verdict is Verdict.LATE, "a lease that is gone decided the task"
            lease.outcome = AttemptOutcome.LATE

    def submit_failure(self, number: int) -> None:
        if self.unsent and self.failures < MAX_FAILURES:
            self.fail_lease(self.unsent[number // 3 % len(self.unsent)], number)

    def fail_lease(self, lease: ModelLease, number: int) -> None:
        failure_class = self.failure_classes[number % len(self.failure_classes)]
        task = self.task_of(lease)
        answer = self.send(lease, factories.failure(FailureClass(failure_class)))
        if failure_class == "env_error":
            worker_id = lease.attempt.worker_id
            self.env_errors[worker_id] = self.env_errors.get(worker_id, 0) + 1
            self.paused_until[worker_id] = self.seconds + ENV_PAUSE
        elif failure_class == "too_slow":
            self.slow.add(lease.attempt.worker_id)
        if lease is not task.holder:
            assert answer.verdict is Verdict.LATE, "a lease that is gone failed the task"
            lease.outcome = AttemptOutcome.LATE
            return
        self.failures += failure_class != "too_slow"
        task.failed += failure_class == "script_error"
        task.lost += failure_class == "lost"
        spent = (failure_class == "script_error" and task.failed >= task.max_failed) or (
            failure_class == "lost" and task.lost >= task.max_lost
        )
        assert answer.verdict is (Verdict.FAILED if spent else Verdict.RETRY)
        self.end(task, TaskState.FAILED if spent else TaskState.PENDING, AttemptOutcome.FAILED)
        if failure_class == "env_error":
            self.note_trouble()
        elif failure_class == "too_slow":
            self.give_up(lease.attempt.worker_id)

    def note_trouble(self) -> None:
        """Take over whether trouble paused the campaign; it may only when two workers had some."""
        before = self.state
        self.state = Campaign.objects.get(pk=self.campaign.pk).state
        if self.state != before:
            assert (before, self.state) == (CampaignState.ACTIVE, CampaignState.PAUSED)
            troubled = {
                lease.attempt.worker_id
                for lease in self.leases
                if lease.outcome == AttemptOutcome.FAILED and lease.failure_class == "env_error"
            }
            assert len(troubled) >= 2, "one worker alone paused the campaign by its trouble"

    def submit_for_stale_lease(self, number: int) -> None:
        """A worker wakes from sleep and reports a run that another worker is repeating."""
        stale = [lease for lease in self.stale if lease.sent is None]
        if stale and number % 2:
            self.complete_lease(stale[number // 2 % len(stale)], number)
        elif stale:
            self.fail_lease(stale[number // 2 % len(stale)], number)

    def send(self, lease: ModelLease, body: Submission) -> lifecycle.Answer:
        attempt = lease.attempt
        answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=self.now)
        lease.sent, lease.answer = body, answer
        return answer

    def submit_again(self, number: int) -> None:
        if not self.sent:
            return
        lease = self.sent[number % len(self.sent)]
        attempt = lease.attempt
        assert lease.sent is not None
        again = lifecycle.submit(attempt.worker, attempt.lease_id, lease.sent, now=self.now)
        assert again == lease.answer
        with pytest.raises(ResultConflict):
            lifecycle.submit(
                attempt.worker,
                attempt.lease_id,
                factories.completed(attempt.task, 1.0),
                now=self.now,
            )
