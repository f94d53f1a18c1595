"""The offline check after a run with faults detects every kind of violation."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from django.db.models import F

from campaigns import lifecycle
from campaigns.models import Attempt, AttemptOutcome, Result, Task, TaskState
from tests.chaos import history
from tests.chaos.proxy import Acknowledgement, read_acks
from tests.factories import at, claim_one, completed_task, fail, finish, leased_task, worker
from workers.protocol import Verdict

pytestmark = pytest.mark.django_db


def ack(attempt: Attempt, verdict: Verdict = Verdict.ACCEPTED) -> Acknowledgement:
    return Acknowledgement(str(attempt.lease_id), verdict)


def completed_attempt() -> Attempt:
    return completed_task().attempts.get()


def test_a_late_an_accepted_and_a_failed_result_are_found_where_they_belong() -> None:
    late = leased_task()
    lifecycle.expire(now=at(60))
    accepted = claim_one(worker(), now=at(61))
    finish(accepted, now=at(62))
    finish(late, now=at(63))
    failed = leased_task()
    fail(failed)
    acks = [ack(accepted), ack(accepted), ack(late, Verdict.LATE), ack(failed, Verdict.RETRY)]
    findings = history.check(acks)
    assert findings.holds, findings
    assert findings.acknowledged == 3


def test_an_acknowledged_result_without_an_attempt_is_lost() -> None:
    findings = history.check([Acknowledgement(str(uuid.uuid4()), Verdict.ACCEPTED)])
    assert len(findings.lost) == 1


def test_an_acknowledged_result_that_was_rolled_back_is_lost() -> None:
    attempt = leased_task()
    findings = history.check([ack(attempt)])
    assert "stored is None" in findings.lost[0]


def test_an_accepted_result_that_is_gone_is_lost() -> None:
    attempt = completed_attempt()
    Result.objects.all().delete()
    findings = history.check([ack(attempt)])
    assert "its task has no result" in findings.lost[0]


def test_one_result_with_two_different_answers_is_not_as_it_was_acknowledged() -> None:
    attempt = completed_attempt()
    assert history.check([ack(attempt), ack(attempt, Verdict.LATE)]).lost


def test_two_accepted_results_of_one_task_are_doubled() -> None:
    first = leased_task()
    lifecycle.expire(now=at(60))
    second = claim_one(worker(), now=at(61))
    finish(second, now=at(62))
    finish(first, now=at(63))
    findings = history.check([ack(first), ack(second)])
    assert findings.doubled == [f"task {first.task_id}: accepted from 2 leases"]


def test_two_attempts_that_decided_one_task_are_doubled() -> None:
    first = leased_task()
    lifecycle.expire(now=at(60))
    finish(claim_one(worker(), now=at(61)), now=at(62))
    Attempt.objects.filter(pk=first.pk).update(outcome=AttemptOutcome.COMPLETED)
    assert "with 1 results and 2 deciders" in history.check([]).doubled[0]


def test_a_result_of_a_task_that_still_waits_is_doubled() -> None:
    task = completed_task()
    Task.objects.filter(pk=task.pk).update(state=TaskState.PENDING, finished_at=None)
    assert any("pending, with 1 results" in line for line in history.check([]).doubled)


def test_a_lease_taken_back_twice_is_a_violation() -> None:
    leased_task()
    lifecycle.expire(now=at(60))
    assert history.check([]).holds
    Task.objects.update(lost_attempts=F("lost_attempts") + 1)
    assert "charged for 2 losses, and 1 leases" in history.check([]).broken[0]


def test_what_the_proxy_kept_is_read_back_in_its_order(tmp_path: Path) -> None:
    lines = [{"lease_id": "b", "verdict": "late"}, {"lease_id": "a", "verdict": "accepted"}]
    (tmp_path / "acks").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [ack.lease_id for ack in read_acks(tmp_path / "acks")] == ["b", "a"]
