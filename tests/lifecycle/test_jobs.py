"""The background jobs and their schedules."""

from __future__ import annotations

import datetime as dt
import importlib
import logging
import uuid

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.utils import timezone
from django_q.models import Schedule

from campaigns import jobs, lifecycle
from campaigns.models import Campaign, CampaignState, Task, TaskState
from tests import factories
from workers import lifecycle as worker_lifecycle
from workers.models import WorkerSession

pytestmark = pytest.mark.django_db


def test_expired_leases_are_taken_back_and_counted_and_live_ones_are_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = timezone.now()
    live = factories.leased_task(now=now)
    # Made last, because any later claim would take the overdue lease back itself.
    overdue = factories.leased_task(now=now - dt.timedelta(seconds=60))

    with caplog.at_level(logging.INFO, logger="campaigns.jobs"):
        assert jobs.expire_leases() == 1
        assert jobs.expire_leases() == 0

    assert Task.objects.get(pk=overdue.task_id).state == TaskState.PENDING
    assert Task.objects.get(pk=live.task_id).state == TaskState.LEASED
    assert [r.getMessage() for r in caplog.records if r.name == "campaigns.jobs"] == [
        "leases expired: 1"
    ]


def test_more_leases_than_a_batch_are_taken_back_in_one_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "BATCH", 2)
    campaign = factories.active_campaign(5)
    claimant = factories.worker()
    lifecycle.claim(claimant, claim_id=uuid.uuid4(), count=5, now=factories.NOW)
    assert jobs.expire_leases() == 5
    assert not campaign.tasks.filter(state=TaskState.LEASED).exists()


def test_the_presence_of_silent_workers_is_closed_at_the_last_word_heard() -> None:
    now = timezone.now()
    silent, present = factories.worker(), factories.worker()
    heard_at = now - dt.timedelta(seconds=60)
    worker_lifecycle.see(silent, now=heard_at, boot_id=uuid.uuid4())
    worker_lifecycle.see(present, now=now, boot_id=uuid.uuid4())

    assert jobs.close_presence() == 1
    assert jobs.close_presence() == 0

    assert WorkerSession.objects.get(worker=silent).ended_at == heard_at
    assert WorkerSession.objects.get(worker=present).ended_at is None


def test_results_that_a_process_missed_to_note_are_noted_once() -> None:
    campaign = factories.completed_task(now=timezone.now() - dt.timedelta(minutes=2)).campaign
    campaigns = Campaign.objects.filter(pk=campaign.pk)
    # The state after a process died between storing the result and noting it.
    campaigns.update(ends_noted_at=timezone.now() - dt.timedelta(minutes=3))
    revision = campaigns.get().revision

    jobs.finish_campaigns()
    jobs.finish_campaigns()

    assert campaigns.get().revision == revision + 1


def test_a_campaign_whose_tasks_have_ended_is_finished() -> None:
    done = factories.completed_task().campaign
    # The state after a process died between ending the task and finishing the campaign.
    Campaign.objects.filter(pk=done.pk).update(state=CampaignState.ACTIVE, finished_at=None)
    running = factories.active_campaign(1)

    assert jobs.finish_campaigns() == 1
    assert jobs.finish_campaigns() == 0

    assert Campaign.objects.get(pk=done.pk).state == CampaignState.COMPLETED
    assert Campaign.objects.get(pk=running.pk).state == CampaignState.ACTIVE


def test_a_migrated_database_has_every_schedule_once_a_minute() -> None:
    stored = Schedule.objects.values_list("name", "func", "schedule_type", "minutes")

    assert {row[0]: row[1] for row in stored} == jobs.SCHEDULES
    assert {row[2:] for row in stored} == {(Schedule.MINUTES, 1)}


def test_every_schedule_names_a_function_that_can_be_called() -> None:
    for dotted in Schedule.objects.values_list("func", flat=True):
        module, _, function = dotted.rpartition(".")
        assert getattr(importlib.import_module(module), function)() == 0


def test_installing_again_mends_a_schedule_and_leaves_its_next_run_alone() -> None:
    tomorrow = timezone.now() + dt.timedelta(days=1)
    Schedule.objects.filter(name="Expire leases").update(
        func="campaigns.jobs.gone", minutes=9, next_run=tomorrow
    )
    Schedule.objects.filter(name="Close presence").delete()

    jobs.install_schedules(using="default", apps=apps)
    jobs.install_schedules(using="default", apps=apps)

    test_a_migrated_database_has_every_schedule_once_a_minute()
    assert Schedule.objects.count() == len(jobs.SCHEDULES)
    assert Schedule.objects.get(name="Expire leases").next_run == tomorrow


def test_a_migration_of_other_apps_alone_installs_nothing_and_does_not_fail() -> None:
    Schedule.objects.all().delete()

    jobs.install_schedules(using="default", apps=Apps())

    assert not Schedule.objects.exists()
