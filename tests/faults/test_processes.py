"""Processes die or misbehave at chosen moments: a web server within a request, crashing scripts.

The moments are pause points, not sleeps: a row lock that a request waits for, or a reply that the
proxy holds back. The database is PostgreSQL, as in production.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction

from campaigns.lifecycle.retry import BREAKER_FAILURES
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
from tests.chaos.proxy import Fault
from tests.chaos.stack import ENOUGH_SECONDS, Stack, claim, result_of
from tests.chaos.work import make_campaign
from tests.concurrency import count_rows, waiting_for_us
from tests.processes import wait_until
from workers.agent.connection.client import RequestRefused, ServerUnavailable
from workers.protocol import ErrorCode, Verdict

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgresql_only,
    pytest.mark.long,
]

WEB_SERVERS = 1


def busy_sessions() -> int:
    """Count the other sessions on this database that are not idle."""
    return count_rows(
        "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND state <> 'idle'"
    )


def test_a_server_killed_within_a_submission_has_stored_nothing_and_the_next_takes_it(
    stack: Stack,
) -> None:
    make_campaign(1)
    client = stack.client("steady")
    (lease,) = claim(client)
    body = result_of(lease)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Task.objects.select_for_update().get()  # the submission waits for this row
            submission = pool.submit(client.submit, lease["lease_id"], body)
            wait_until(lambda: waiting_for_us() > 0, "the request", ENOUGH_SECONDS)
            stack.webs[0].kill()
            assert isinstance(submission.exception(ENOUGH_SECONDS), ServerUnavailable)
        wait_until(lambda: busy_sessions() == 0, "its session's end", ENOUGH_SECONDS)
    assert Result.objects.count() == 0
    assert Attempt.objects.get().submission_digest == ""
    stack.start_webs()
    assert client.submit(lease["lease_id"], body)["verdict"] == Verdict.ACCEPTED


def test_a_server_killed_between_commit_and_answer_has_stored_the_result_for_the_next(
    stack: Stack,
) -> None:
    make_campaign(1)
    client = stack.client("steady")
    (lease,) = claim(client)
    body = result_of(lease)
    hold = stack.proxy.hold_next("/result", Fault.HOLD_REPLY)
    with ThreadPoolExecutor(1) as pool:
        submission = pool.submit(client.submit, lease["lease_id"], body)
        assert hold.reached.wait(ENOUGH_SECONDS)
        stack.webs[0].kill()
        hold.drop()
        assert isinstance(submission.exception(ENOUGH_SECONDS), ServerUnavailable)
    assert Result.objects.count() == 1
    stack.start_webs()
    assert client.submit(lease["lease_id"], body)["verdict"] == Verdict.ACCEPTED
    with pytest.raises(RequestRefused) as refused:
        client.submit(lease["lease_id"], result_of(lease, train_loss=1.25))
    assert refused.value.code == ErrorCode.RESULT_CONFLICT
    assert Result.objects.get().train_loss != 1.25


def test_crashing_scripts_end_their_own_task_and_campaign_and_hinder_no_other(
    stack: Stack,
) -> None:
    crash = {"behaviour": "crash"}
    poison = make_campaign(1, "poison", params=crash)
    failing = make_campaign(BREAKER_FAILURES + 2, "failing", params=crash)
    sound = make_campaign(4, "sound")
    stack.start_fleet("busy", agents=2, slots=2)
    wait_until(has_ended(sound), "the sound campaign", ENOUGH_SECONDS)
    wait_until(has_ended(poison), "the poison task", ENOUGH_SECONDS)
    wait_until(has_ended(failing), "the breaker", ENOUGH_SECONDS)

    assert sound.state == CampaignState.COMPLETED
    assert sound.tasks.filter(state=TaskState.COMPLETED).count() == 4
    assert not Attempt.objects.filter(task__campaign=sound, outcome=AttemptOutcome.FAILED).exists()
    assert poison.state == CampaignState.COMPLETED
    task = poison.tasks.get()
    assert (task.state, task.failure_class) == (TaskState.FAILED, FailureClass.SCRIPT_ERROR)
    assert task.attempts.count() == 2  # its tries, and no more
    assert failing.state == CampaignState.PAUSED
    assert "script error" in failing.state_reason
    assert failing.tasks.filter(state=TaskState.PENDING).exists()


def has_ended(campaign: Campaign) -> Callable[[], bool]:
    """Return a condition: the campaign is completed, or the breaker has paused it."""

    def ended() -> bool:
        campaign.refresh_from_db()
        return campaign.state in {CampaignState.COMPLETED, CampaignState.PAUSED}

    return ended
