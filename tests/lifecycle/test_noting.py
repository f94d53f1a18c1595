"""What follows from a result is noted at once, by a thread, or by jobs after its process died."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection

from campaigns import jobs, lifecycle
from campaigns.lifecycle import noting
from campaigns.lifecycle.noting import Noter, note_soon
from campaigns.models import Campaign, Result, WebhookDelivery
from tests.factories import (
    NOW,
    active_campaign,
    at,
    claim_one,
    finish,
    worker,
    worker_with_token,
)
from tests.notifications.test_events import hook
from tests.processes import ROOT, wait_until
from workers.tokens import hash_token

PATIENCE_SECONDS = 60.0


def revision(campaign: Campaign) -> int:
    return Campaign.objects.values_list("revision", flat=True).get(pk=campaign.pk)


@pytest.fixture
def noter(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Noter]:
    """Yield the thread of this process, which web servers have and tests have not."""
    noter = Noter()
    monkeypatch.setattr(noting, "_noter", noter)
    yield noter
    noter.close()
    assert "noter" not in {thread.name for thread in threading.enumerate()}


# --- when it is noted -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_without_a_thread_a_result_is_noted_at_once() -> None:
    campaign = active_campaign()
    before = revision(campaign)
    note_soon(campaign.pk, now=at(5))
    campaign.refresh_from_db()
    assert (campaign.revision, campaign.ends_noted_at) == (before + 1, at(5))


def test_a_thread_notes_a_result_soon(noter: Noter) -> None:
    campaign = active_campaign()
    before = revision(campaign)
    note_soon(campaign.pk, now=NOW)
    wait_until(lambda: revision(campaign) == before + 1, "it was not noted", PATIENCE_SECONDS)


def test_many_results_of_a_campaign_are_noted_once_and_told_of(
    noter: Noter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The thread waits until it is closed.
    monkeypatch.setattr(noting, "INTERVAL_SECONDS", 3600.0)
    listener = hook("new_best")
    first, second = active_campaign(3), active_campaign(3)
    finish(claim_one(worker()))
    WebhookDelivery.objects.all().delete()
    before = revision(first), revision(second)
    for _ in range(5):
        note_soon(first.pk, now=NOW)
        note_soon(second.pk, now=NOW)
    assert (revision(first), revision(second)) == before
    noter.close()
    assert (revision(first), revision(second)) == (before[0] + 1, before[1] + 1)
    assert [told.webhook for told in WebhookDelivery.objects.all()] == [listener]


def test_what_comes_after_the_end_is_noted_at_once(noter: Noter) -> None:
    campaign = active_campaign()
    noter.close()
    before = revision(campaign)
    note_soon(campaign.pk, now=NOW)
    assert revision(campaign) == before + 1


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_campaign_that_the_database_holds_up_keeps_no_other_waiting(
    noter: Noter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held_up, other = active_campaign(), active_campaign()
    noted: list[int] = []

    def note_result(campaign_id: int, *, now: dt.datetime) -> None:
        if campaign_id == held_up.pk and noted.count(0) < 2:
            noted.append(0)
            raise OperationalError("canceling statement due to lock timeout")
        noted.append(campaign_id)

    monkeypatch.setattr(noting, "note_result", note_result)
    note_soon(held_up.pk, now=NOW)
    note_soon(other.pk, now=NOW)
    wait_until(lambda: held_up.pk in noted, "it was given up", PATIENCE_SECONDS)
    assert sorted(noted) == sorted([0, 0, other.pk, held_up.pk])
    assert noted.index(other.pk) < noted.index(held_up.pk)
    assert caplog.text.count("results are not noted yet") == 1


def test_what_cannot_be_noted_is_logged_and_left_to_the_jobs(
    noter: Noter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = active_campaign(), active_campaign()
    real, before = noting.note_result, revision(other)

    def note_result(campaign_id: int, *, now: dt.datetime) -> None:
        assert campaign_id != broken.pk
        real(campaign_id, now=now)

    monkeypatch.setattr(noting, "note_result", note_result)
    note_soon(broken.pk, now=NOW)
    note_soon(other.pk, now=NOW)
    wait_until(lambda: revision(other) == before + 1, "it was not noted", PATIENCE_SECONDS)
    noter.close()
    assert caplog.text.count(f"the results of campaign {broken.pk} were not noted") == 1


def test_the_end_of_a_process_does_not_wait_for_a_database_that_is_away(
    noter: Noter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note_result(campaign_id: int, *, now: dt.datetime) -> None:
        raise OperationalError("the database system is shutting down")

    monkeypatch.setattr(noting, "note_result", note_result)
    note_soon(active_campaign().pk, now=NOW)
    noter.close()  # the fixture sees that the thread has ended


@pytest.mark.postgresql_only
def test_a_connection_that_was_cut_is_made_anew(noter: Noter) -> None:
    campaign = active_campaign()
    before = revision(campaign)
    note_soon(campaign.pk, now=NOW)
    wait_until(lambda: revision(campaign) == before + 1, "it was not noted", PATIENCE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    note_soon(campaign.pk, now=NOW)
    wait_until(lambda: revision(campaign) == before + 2, "it was not noted", PATIENCE_SECONDS)


# --- processes ------------------------------------------------------------------------------------

PROGRAM = """
import os, signal, sys, uuid
import django
django.setup()
from campaigns.lifecycle import noting
noting.INTERVAL_SECONDS = 3600.0
noting.start()
"""
# Stores a result and dies: nothing of it is noted.
DIES = """
from campaigns.lifecycle.statements.submit import submit
from tests.factories import completed
from campaigns.models import Attempt
from campaigns import lifecycle
from campaigns.clock import database_now
first, second = (Attempt.objects.get(lease_id=lease) for lease in sys.argv[2:4])
lifecycle.submit(first.worker, first.lease_id, completed(first.task), now=database_now())
noted = first.task.campaign.__class__.objects.get().revision
answer = submit(sys.argv[1], second.lease_id, completed(second.task))
assert answer is not None
print(noted, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
FORKS = """
first, second = map(int, sys.argv[1:])
from campaigns.clock import database_now
noting.note_soon(first, now=database_now())
from django.db import connections
connections.close_all()
child = os.fork()
noting.note_soon(second, now=database_now())
if child:
    os.waitpid(child, 0)
"""


def run_program(
    environment: dict[str, str], text: str, *words: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM + text, *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_jobs_note_what_a_process_that_was_killed_did_not(
    process_environment: dict[str, str],
) -> None:
    holder, token = worker_with_token()
    campaign = active_campaign(3)
    leases = [claim_one(holder).lease_id for _ in range(2)]

    killed = run_program(process_environment, DIES, hash_token(token), *leases)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    noted = int(killed.stdout)
    assert (Result.objects.count(), revision(campaign)) == (2, noted)
    jobs.finish_campaigns()  # a process may still be about to note it
    assert revision(campaign) == noted
    stored = Result.objects.latest("created_at").created_at
    later = stored + dt.timedelta(minutes=1)
    assert lifecycle.note_missed_results(now=later) == 1
    assert revision(campaign) == noted + 1
    assert lifecycle.note_missed_results(now=later + dt.timedelta(hours=1)) == 0


def test_a_process_notes_what_is_left_when_it_ends_and_a_forked_one_its_own(
    process_environment: dict[str, str],
) -> None:
    first, second = active_campaign(), active_campaign()
    before = revision(first), revision(second)

    ended = run_program(process_environment, FORKS, first.pk, second.pk)

    assert ended.returncode == 0, ended.stderr
    # Parent and child both note the second one, and only the parent the first.
    assert (revision(first), revision(second)) == (before[0] + 1, before[1] + 2)


# --- the sweep ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_sweep_leaves_alone_what_was_noted_and_what_is_new() -> None:
    noted, missed, without = active_campaign(1), active_campaign(2), active_campaign(1)
    for _ in range(3):
        finish(claim_one(worker()), now=at(10))
    Campaign.objects.filter(pk=missed.pk).update(ends_noted_at=at(9))
    before = revision(noted), revision(missed), revision(without)

    assert lifecycle.note_missed_results(now=at(10 + 59)) == 0
    assert lifecycle.note_missed_results(now=at(10 + 60)) == 1

    assert (revision(noted), revision(missed), revision(without)) == (
        before[0],
        before[1] + 1,
        before[2],
    )
    Campaign.objects.filter(pk=missed.pk).update(ends_noted_at=None)
    assert lifecycle.note_missed_results(now=at(10 + 60)) == 1
