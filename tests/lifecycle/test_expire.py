"""lifecycle.expire: takes back each overdue lease once, and no other lease."""

from __future__ import annotations

import logging
import random
import uuid
from typing import Any

import pytest
from django.db import connection
from django.db.models import Exists

from campaigns import lifecycle
from campaigns.lifecycle import expiry
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    StateChange,
    Task,
    TaskState,
)
from campaigns.models.task import other_machines
from tests.factories import (
    NOW,
    active_campaign,
    at,
    claim_one,
    finish,
    leased_task,
    pending_task,
    worker,
)
from tests.fleets import fleet_token, fleet_worker
from workers.fleet_token import of_same_owner
from workers.models import Worker

pytestmark = pytest.mark.django_db


def test_an_overdue_lease_is_taken_back_and_charged_to_nobody() -> None:
    attempt = leased_task()
    assert lifecycle.expire(now=at(46)) == 1
    task = Task.objects.get()
    assert (task.state, task.available_at, task.lease_id, task.worker) == (
        TaskState.PENDING,
        at(46),
        None,
        None,
    )
    assert (task.lost_attempts, task.failed_attempts, task.failure_class) == (1, 0, "")
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.failure_class, attempt.ended_at) == (
        AttemptOutcome.LOST,
        FailureClass.LOST,
        at(46),
    )
    assert attempt.message == "The worker was not heard of for the lease time."


def test_a_lease_in_its_last_instant_is_not_overdue() -> None:
    leased_task()
    assert lifecycle.expire(now=at(45)) == 0
    assert lifecycle.expire(now=at(45.000001)) == 1
    assert lifecycle.expire(now=at(46)) == 0


def test_a_renewed_lease_is_left_alone_until_the_deadline_ends_it() -> None:
    attempt = leased_task(time_budget_seconds=10.0)
    for seconds in (40, 80, 120, 144):
        lifecycle.renew(attempt.worker, attempt.lease_id, now=at(seconds))
        assert lifecycle.expire(now=at(seconds + 1)) == 0
    assert lifecycle.expire(now=at(146)) == 1


def test_a_task_is_lost_five_times_and_then_has_failed_and_ends_its_campaign() -> None:
    task = pending_task()
    for loss in range(1, 6):
        now = at(loss * 100)
        claim_one(worker(), now=now)
        assert lifecycle.expire(now=at(loss * 100 + 46)) == 1
        task.refresh_from_db()
        assert (task.lost_attempts, task.state == TaskState.FAILED) == (loss, loss == 5)
    assert (task.failure_class, task.finished_at) == (FailureClass.LOST, at(546))
    assert Campaign.objects.get().state == CampaignState.COMPLETED


def test_only_so_many_as_asked_are_taken_back_the_longest_overdue_first() -> None:
    active_campaign(3, now=at(0))
    attempts = [claim_one(worker(), now=at(seconds)) for seconds in (2, 0, 1)]
    assert lifecycle.expire(now=at(60), limit=2) == 2
    (still_leased,) = Task.objects.filter(state=TaskState.LEASED)
    assert still_leased == attempts[0].task


def test_leases_that_are_not_due_never_stand_before_due_ones() -> None:
    active_campaign(30)
    due = claim_one(worker(), now=at(0))
    for _ in range(29):
        claim_one(worker(), now=at(20))
    assert lifecycle.expire(now=at(46), limit=1) == 1
    assert Task.objects.get(pk=due.task_id).state == TaskState.PENDING


def test_expiry_reaches_tasks_of_paused_campaigns() -> None:
    attempt = leased_task()
    lifecycle.pause(attempt.task.campaign, now=at(1))
    assert lifecycle.expire(now=at(46)) == 1


def test_a_finished_or_cancelled_task_is_not_overdue() -> None:
    finish(leased_task())
    lifecycle.cancel_task(leased_task().task, now=at(1))
    assert lifecycle.expire(now=at(10_000)) == 0


def test_a_task_that_cannot_be_written_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    poison, sound = leased_task(), leased_task()
    table = connection.ops.quote_name(Task._meta.db_table)
    # Taking this lease back would raise lost_attempts above its maximum and break a constraint.
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET lost_attempts = max_lost_attempts WHERE id = %s",
            [poison.task_id],
        )
    with caplog.at_level(logging.ERROR, logger="campaigns.lifecycle.expiry"):
        assert lifecycle.expire(now=at(46)) == 1
    assert Task.objects.get(pk=sound.task_id).state == TaskState.PENDING
    assert Task.objects.get(pk=poison.task_id).state == TaskState.LEASED
    assert f"task {poison.task.name}: its expired lease could not be taken back" in caplog.text


def test_a_task_that_cannot_be_written_leaves_no_trace_of_its_batch() -> None:
    poison, sound = leased_task(), leased_task()
    Task.objects.filter(pk=poison.task_id).update(max_lost_attempts=0)
    before = StateChange.objects.filter(task=poison.task_id).count()
    lifecycle.expire(now=at(46))
    poison.refresh_from_db()
    assert poison.outcome == AttemptOutcome.RUNNING
    assert StateChange.objects.filter(task=poison.task_id).count() == before
    assert StateChange.objects.filter(task=sound.task_id, at=at(46)).count() == 2


def test_claims_sweep_five_times_a_second_at_most(django_assert_num_queries: Any) -> None:
    leased_task()
    with django_assert_num_queries(1):
        expiry.sweep(now=at(44.9))
    with django_assert_num_queries(0):
        expiry.sweep(now=at(45.09))
    expiry.sweep(now=at(45.11))
    assert Task.objects.get().state == TaskState.PENDING


# --- many at a time, each as if it were alone -----------------------------------------------------

_LOSSES = (
    (AttemptOutcome.LOST, FailureClass.LOST),
    (AttemptOutcome.LATE, ""),
    (AttemptOutcome.FAILED, FailureClass.LOST),
)
_OTHER_ENDS = ((AttemptOutcome.RELEASED, ""), (AttemptOutcome.FAILED, FailureClass.SCRIPT_ERROR))


def counts_alone(attempt: Attempt, second: float) -> bool:
    """Whether a loss is charged to its task: the rule for one attempt, asked by itself."""
    by_owner = of_same_owner("worker", attempt.worker)
    earlier = Attempt.objects.filter(by_owner, task=attempt.task_id).exclude(pk=attempt.pk)
    if not earlier.losses().exists():
        return True
    others = Exists(other_machines(attempt.worker, at(second)))
    return not Task.objects.filter(others, pk=attempt.task_id).exists()


def population(chance: random.Random) -> list[Attempt]:
    """Lease tasks with random pasts to lone workers and to those of fleets; return the attempts."""
    owners = [[worker()] for _ in range(2)]
    for _ in range(2):
        _, secret = fleet_token()
        owners.append([fleet_worker(secret) for _ in range(2)])
    everybody = [machine for machines in owners for machine in machines]
    for machine in everybody:
        # Some are offline, and some cannot run the tasks of a campaign in a sandbox.
        Worker.objects.filter(pk=machine.pk).update(
            last_seen_at=at(chance.choice([-1000, 40])), isolation=chance.choice(["T0", "T1"])
        )
    attempts = []
    for tier in ("T0", "T1"):
        for task in active_campaign(6, required_isolation=tier).tasks.all():
            for number in range(chance.randrange(4)):
                outcome, failure_class = chance.choice(_LOSSES * 2 + _OTHER_ENDS)
                Attempt.objects.create(
                    task=task,
                    number=number + 1,
                    lease_id=uuid.uuid4(),
                    claim_id=uuid.uuid4(),
                    worker=chance.choice(everybody),
                    started_at=at(-500),
                    ended_at=at(-400),
                    outcome=outcome,
                    failure_class=failure_class,
                )
            holder, lease_id = chance.choice(everybody), uuid.uuid4()
            Task.objects.filter(pk=task.pk).update(
                state=TaskState.LEASED,
                lease_id=lease_id,
                worker=holder,
                lease_expires_at=at(45),
                deadline_at=at(1000),
                lost_attempts=chance.randrange(5),
            )
            attempts.append(
                Attempt.objects.create(
                    task=task,
                    number=9,
                    lease_id=lease_id,
                    claim_id=uuid.uuid4(),
                    worker=holder,
                    started_at=NOW,
                )
            )
    return attempts


@pytest.mark.parametrize("seed", range(6))
def test_each_of_many_losses_costs_what_it_costs_alone_whatever_was_lost_before(seed: int) -> None:
    attempts = population(random.Random(seed))
    lost_before = {
        attempt.task_id: (attempt.task.lost_attempts, counts_alone(attempt, 46))
        for attempt in Attempt.objects.filter(outcome=AttemptOutcome.RUNNING).select_related()
    }
    assert len({counts for _, counts in lost_before.values()}) == 2
    assert lifecycle.expire(now=at(46)) == len(attempts)
    for attempt in attempts:
        task = Task.objects.get(pk=attempt.task_id)
        losses, counts = lost_before[task.pk]
        fails = counts and losses + 1 == task.max_lost_attempts
        assert task.lost_attempts == losses + counts
        assert (task.state, task.failure_class, task.finished_at, task.last_failed_worker_id) == (
            (TaskState.FAILED, FailureClass.LOST, at(46), None)
            if fails
            else (TaskState.PENDING, "", None, attempt.worker_id)
        )
        changes = StateChange.objects.filter(task=task, at=at(46)).order_by("pk")
        assert list(changes.values_list("attempt", "from_state", "to_state", "actor_name")) == [
            (attempt.pk, TaskState.LEASED, task.state, "lease sweep"),
            (attempt.pk, AttemptOutcome.RUNNING, AttemptOutcome.LOST, "lease sweep"),
        ]
    for machine in Worker.objects.filter(attempts__in=attempts):
        assert machine.paused_until == at(46 + 45)
    ended = Campaign.objects.exclude(tasks__state__in=["pending", "leased"])
    assert set(ended.values_list("state", flat=True)) <= {CampaignState.COMPLETED}
