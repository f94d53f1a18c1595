"""The statement takes results that only complete their tasks, under every guard of the verb."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle
from campaigns.lifecycle.statements.ends import Ended, write_ends
from campaigns.lifecycle.statements.release import release
from campaigns.lifecycle.statements.running import read_running
from campaigns.lifecycle.statements.submit import judge, submit, submit_each
from campaigns.lifecycle.transitions import completion
from campaigns.models import (
    Arm,
    Attempt,
    AttemptOutcome,
    Campaign,
    Result,
    StateChange,
    Task,
    TaskPurpose,
    TaskState,
)
from tests.concurrency import in_parallel
from tests.factories import (
    active_campaign,
    at,
    claim_one,
    completed,
    failure,
    work_campaign,
    worker,
    worker_with_token,
)
from tests.lifecycle.statements.same_rows import all_rows
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import Submission
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db


class Holder:
    """A worker that holds leases, and whose class of results the process knows."""

    def __init__(self, tasks: int = 3, *, make: Callable[..., Campaign] = active_campaign) -> None:
        self.worker, token = worker_with_token()
        self.token_hash = hash_token(token)
        self.campaign = make(tasks + 2)
        first, *self.attempts = (claim_one(self.worker) for _ in range(tasks + 1))
        with TestCase.captureOnCommitCallbacks(execute=True):
            lifecycle.submit(self.worker, first.lease_id, completed(first.task), now=at(10))

    def body(self, place: int = 0, val_bpb: float = 3.0, **changes: Any) -> Submission:
        return completed(self.attempts[place].task, val_bpb, **changes)

    def submit(self, place: int = 0, body: Submission | None = None) -> Any:
        lease = self.attempts[place].lease_id
        return submit(self.token_hash, lease, body or self.body(place), now=at(10))

    def ended(self, place: int = 0) -> Ended:
        """Return the end of an attempt as the statement has read and judged it."""
        (attempt,) = read_running(self.token_hash, [self.attempts[place].lease_id])
        judged = judge(attempt, self.body(place), at(10))
        assert judged is not None
        return judged[0]


@pytest.fixture
def holder() -> Holder:
    return Holder()


def rows() -> dict[str, Any]:
    """Return all rows but the presence of workers, which a refused call may write."""
    tables = all_rows()
    for row in tables["workers.Worker"]:
        del row["last_seen_at"]
    return tables


def test_a_usual_result_is_read_and_written_by_two_statements(holder: Holder) -> None:
    Worker.objects.update(last_seen_at=at(10))
    holder.submit(0)
    before = Campaign.objects.values_list("revision", flat=True).get()
    with CaptureQueriesContext(connection) as queries:
        submitted = holder.submit(1)
    assert submitted.worker == holder.worker
    assert (submitted.answer.verdict, submitted.now) == ("accepted", at(10))
    assert Result.objects.count() == 3
    noted = 4  # revision, races, open tasks, webhooks: by a thread in a web server
    # In a test's transaction with a savepoint around the writing.
    written = 2 + 2 if connection.vendor == "postgresql" else 7 + 2
    assert len(queries) == written + noted
    assert Campaign.objects.values_list("revision", flat=True).get() == before + 1


@pytest.mark.parametrize("make", [active_campaign, work_campaign])
def test_results_of_several_leases_are_written_together_like_those_of_one(
    make: Callable[..., Campaign],
) -> None:
    holder = Holder(4, make=make)
    bodies = {each.lease_id: completed(each.task, 2.5) for each in holder.attempts}
    taken = submit_each(holder.token_hash, bodies, now=at(10))
    assert set(taken) == set(bodies)
    assert {each.answer.verdict for each in taken.values()} == {"accepted"}
    assert Result.objects.filter(value=2.5).count() == 4
    for attempt in Attempt.objects.filter(pk__in=[each.pk for each in holder.attempts]):
        assert attempt.outcome == AttemptOutcome.COMPLETED
        assert attempt.result.task == attempt.task
        assert attempt.submission == {
            key: value for key, value in bodies[attempt.lease_id].items() if key != "stderr_tail"
        }
        changes = list(attempt.changes.order_by("-pk").values_list("subject", "to_state"))
        assert changes[:2] == [("attempt", "completed"), ("task", "completed")]


def test_presence_is_written_when_it_is_due(holder: Holder) -> None:
    Worker.objects.update(last_seen_at=at(-100))
    holder.submit()
    assert Worker.objects.get().last_seen_at == at(10)


def test_a_good_result_lifts_a_pause(holder: Holder) -> None:
    Worker.objects.update(consecutive_env_errors=2, paused_until=at(99), pause_reason="no torch")
    holder.submit()
    paused = Worker.objects.values_list("consecutive_env_errors", "paused_until").get()
    assert paused == (0, None)


def test_the_last_result_of_a_campaign_completes_it(holder: Holder) -> None:
    Task.objects.filter(state=TaskState.PENDING).update(
        state=TaskState.CANCELLED, finished_at=at(1)
    )
    bodies = {each.lease_id: completed(each.task) for each in holder.attempts}
    submit_each(holder.token_hash, bodies, now=at(10))
    assert Campaign.objects.get().state == "completed"


# --- what it leaves to the verb -------------------------------------------------------------------


def disabled(holder: Holder) -> None:
    worker_lifecycle.disable(holder.worker)


def of_another_worker(holder: Holder) -> None:
    Attempt.objects.filter(pk=holder.attempts[0].pk).update(worker=worker())


def cancelled(holder: Holder) -> None:
    lifecycle.cancel_task(holder.attempts[0].task, now=at(5))


def lost(holder: Holder) -> None:
    lifecycle.expire(now=at(100))


def submitted(holder: Holder) -> None:
    holder.submit()


def replay(holder: Holder) -> None:
    Task.objects.filter(pk=holder.attempts[0].task_id).update(purpose=TaskPurpose.REPLAY)


def unknown_class(holder: Holder) -> None:
    caches["classes"].clear()


@pytest.mark.parametrize(
    "change",
    [disabled, of_another_worker, cancelled, lost, submitted, replay, unknown_class],
)
def test_it_leaves_what_is_not_usual_to_the_verb(
    holder: Holder, change: Callable[[Holder], None]
) -> None:
    change(holder)
    before = rows()
    assert holder.submit() is None
    assert rows() == before


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"eval_bytes": 7}, {"setup_seconds": 9.0}, {"steps_completed": 0}],
    ids=str,
)
def test_it_leaves_what_is_refused_or_repeated_to_the_verb(
    holder: Holder, changes: dict[str, Any]
) -> None:
    before = rows()
    assert holder.submit(0, holder.body(**changes)) is None
    assert rows() == before


def test_it_leaves_failures_and_invented_results_to_the_verb(holder: Holder) -> None:
    Campaign.objects.update(allow_simulated=True)
    before = rows()
    assert holder.submit(0, failure()) is None
    simulated = holder.body()
    simulated["simulated"] = True
    assert holder.submit(0, simulated) is None
    assert rows() == before


def test_it_leaves_too_slow_runs_and_arms_that_were_given_up_to_the_verb() -> None:
    holder = Holder(make=work_campaign)
    before = rows()
    assert holder.submit(0, holder.body(steps_completed=20)) is None
    assert rows() == before
    Arm.objects.update(infeasible="too slow for this fleet")
    before = rows()
    assert holder.submit() is None
    assert rows() == before


def test_it_leaves_what_no_column_holds_to_the_verb(holder: Holder) -> None:
    body = holder.body()
    body["exit_code"] = 2**70
    before = rows()
    if connection.vendor == "postgresql":
        assert holder.submit(0, body) is None
    else:
        # SQLite's driver refuses the number before the database sees it, as it does in the verb.
        with pytest.raises(OverflowError):
            holder.submit(0, body)
    assert rows() == before


def test_a_token_that_nobody_has_opens_nothing(holder: Holder) -> None:
    lease = holder.attempts[0].lease_id
    assert submit("0" * 64, lease, holder.body(), now=at(10)) is None
    assert submit(holder.token_hash, uuid.uuid4(), holder.body(), now=at(10)) is None


# --- what happens between reading and writing -----------------------------------------------------


def leased_to_another(holder: Holder) -> None:
    attempt = holder.attempts[0]
    lifecycle.release(holder.worker, attempt.lease_id, now=at(5))
    Task.objects.exclude(pk=attempt.task_id).filter(state="pending").update(available_at=at(900))
    assert claim_one(worker(), now=at(6)).task_id == attempt.task_id


def ended_alone(holder: Holder) -> None:
    """Leave a row that no verb leaves: the task is leased, its attempt has ended."""
    attempt = Attempt.objects.filter(pk=holder.attempts[0].pk)
    attempt.update(outcome=AttemptOutcome.LOST, ended_at=at(5))


@pytest.mark.parametrize("change", [cancelled, lost, submitted, leased_to_another, ended_alone])
def test_an_end_is_not_written_when_the_lease_has_ended_since_it_was_read(
    holder: Holder, change: Callable[[Holder], None]
) -> None:
    ends = [holder.ended(0), holder.ended(1)]
    if change is lost:
        ends = ends[:1]
    change(holder)
    before = rows()
    assert write_ends(completion, ends[:1], now=at(10)) == {}
    assert rows() == before
    # The others of the same statement are written, with what is theirs alone.
    written = write_ends(completion, ends, now=at(10))
    assert list(written) == [end.attempt.pk for end in ends[1:]]
    journal = StateChange.objects.filter(attempt=holder.attempts[0].pk, to_state="completed")
    assert journal.count() == (2 if change is submitted else 0)


def test_a_pending_task_or_a_race_is_told(holder: Holder) -> None:
    assert write_ends(completion, [holder.ended(0)], now=at(10)) == {holder.attempts[0].pk: True}
    lifecycle.start_race(holder.campaign, [0, 1], seeds=3, now=at(10))
    assert write_ends(completion, [holder.ended(1)], now=at(10)) == {holder.attempts[1].pk: False}


def test_a_release_is_written_and_another_is_left_to_the_verb(holder: Holder) -> None:
    lease = holder.attempts[0].lease_id
    released = release(holder.token_hash, lease, reason="It stops.", now=at(10))
    assert released is not None
    assert released.worker == holder.worker
    task = Task.objects.get(pk=holder.attempts[0].task_id)
    assert (task.state, task.available_at, task.lease_id) == (TaskState.PENDING, at(10), None)
    attempt = Attempt.objects.get(pk=holder.attempts[0].pk)
    assert (attempt.outcome, attempt.message) == (AttemptOutcome.RELEASED, "It stops.")
    before = rows()
    assert release(holder.token_hash, lease, now=at(11)) is None
    worker_lifecycle.disable(holder.worker)
    assert release(holder.token_hash, holder.attempts[1].lease_id, now=at(11)) is None
    assert rows()["campaigns.Task"] == before["campaigns.Task"]


@pytest.mark.django_db(transaction=True)
def test_of_equal_results_at_once_one_is_written() -> None:
    holder = Holder(8)
    for place in range(8):
        given = in_parallel([lambda: holder.submit(place)] * 3)  # noqa: B023 - called here
        taken = [each for each in given if each is not None]
        assert len(taken) == 1
    assert Result.objects.count() == 9
    assert StateChange.objects.filter(subject="task", to_state="completed").count() == 9


@pytest.mark.django_db(transaction=True)
def test_batches_at_once_that_overlap_write_each_result_once() -> None:
    holder = Holder(12)
    places = [range(12), range(11, -1, -1), range(3, 9)]

    def batch(order: range) -> Any:
        bodies = {holder.attempts[place].lease_id: holder.body(place) for place in order}
        return submit_each(holder.token_hash, bodies, now=at(10))

    taken = in_parallel([lambda order=order: batch(order) for order in places])
    assert sum(map(len, taken)) == 12
    assert Result.objects.count() == 13
