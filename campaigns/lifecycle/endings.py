"""The end of a campaign: it completes when nothing is open any more, and becomes active again."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from campaigns.lifecycle import journal
from campaigns.lifecycle.journal import SERVER, Actor, Change
from campaigns.lifecycle.races import decide_races
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import Campaign, CampaignState, Race, Task
from campaigns.notifications import events


def note_ended_task(campaign_id: int, *, now: dt.datetime) -> None:
    """Make cached charts of the campaign stale, decide what its races wait for, and complete it.

    Call it after the commit that ended a task, outside of that transaction: the campaign's row is
    then locked only briefly, and never while a task's row is locked.
    """
    Campaign.objects.filter(pk=campaign_id).update(revision=F("revision") + 1)
    # First, because a look that is decided may need more runs.
    decide_races(campaign_id, now=now)
    finish_if_done(campaign_id, now=now)


def finish_if_done(campaign_id: int, *, now: dt.datetime) -> bool:
    """Active or paused → completed when no task is open and no race runs; return whether it did.

    Call it after the commit that ended a task: when two tasks end concurrently, the later call sees
    that both have ended.
    """
    return bool(_finish(Campaign.objects.filter(pk=campaign_id), now))


def finish_done_campaigns(*, now: dt.datetime) -> int:
    """Complete the campaigns in which no task is open and no race runs; return how many.

    A sweep for last tasks that ended in a process that died before `finish_if_done`.
    """
    return _finish(Campaign.objects.all(), now)


def _finish(campaigns: QuerySet[Campaign], now: dt.datetime) -> int:
    still_open = Task.objects.filter(campaign=OuterRef("pk")).open()
    running = campaigns.filter(state__in=CAMPAIGN_TRANSITIONS["finish"].sources)
    races = Race.objects.running().filter(campaign=OuterRef("pk"))
    done = running.filter(~Exists(still_open), ~Exists(races))
    # Lock first, then check again. A single UPDATE that waits for a concurrent `retry_task` still
    # sees the tasks as before the wait, and would complete a campaign with a pending task.
    with transaction.atomic():
        before = dict(done.order_by("pk").select_for_update(no_key=True).values_list("pk", "state"))
        if not before:
            return 0
        still_done = done.filter(pk__in=before)
        finished = still_done.update(
            state=CampaignState.COMPLETED, finished_at=now, revision=F("revision") + 1
        )
        moved = list(Campaign.objects.filter(pk__in=before, state=CampaignState.COMPLETED))
        changes = [
            Change(campaign, before[campaign.pk], CampaignState.COMPLETED) for campaign in moved
        ]
        journal.record(SERVER, *changes, now=now, reason="No task is open.")
        for campaign in moved:
            events.note_finished(campaign, now=now)
        return finished


def reactivate(
    campaign: Campaign, actor: Actor, now: dt.datetime, reason: str, **fields: dt.datetime
) -> None:
    """completed → active for a campaign that got an open task; any other state stays.

    Call it in a transaction that has locked the campaign.
    """
    completed = Campaign.objects.filter(pk=campaign.pk, state=CampaignState.COMPLETED)
    if completed.update(state=CampaignState.ACTIVE, finished_at=None, **fields):
        change = Change(campaign, CampaignState.COMPLETED, CampaignState.ACTIVE)
        journal.record(actor, change, now=now, reason=reason)
