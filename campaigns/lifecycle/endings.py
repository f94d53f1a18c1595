"""The end of a campaign: it completes when nothing is open any more, and becomes active again."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from campaigns.lifecycle import journal
from campaigns.lifecycle.drawing import draw_slice
from campaigns.lifecycle.journal import SERVER, Actor, Change
from campaigns.lifecycle.race_due import begin, due_race
from campaigns.lifecycle.races import decide_races, give_up_kept_runs
from campaigns.lifecycle.shares import enter
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import Campaign, CampaignState, Race, Result, Task
from campaigns.notifications import events
from campaigns.standings.arms import sentence

logger = logging.getLogger(__name__)

# By then the process that stored a result has noted it, or is gone.
NOTED_WITHIN: Final = dt.timedelta(minutes=1)


def note_ended_task(campaign_id: int, *, now: dt.datetime) -> None:
    """Make cached charts of the campaign stale, go on with its races, and complete it.

    Call it after the commit that ended a task, outside of that transaction: the campaign's row is
    then locked only briefly, and never while a task's row is locked.
    """
    _raise_revision(campaign_id, now)
    # First, because a look that is decided may need more runs.
    decide_races(campaign_id, now=now)
    finish_if_done(campaign_id, now=now)


def note_missed_results(*, now: dt.datetime, limit: int = 500) -> int:
    """Make charts stale that lack a result; return of how many campaigns, at most `limit`.

    A sweep for results whose process died before it noted them.
    """
    since = OuterRef("ends_noted_at")
    results = Result.objects.filter(campaign=OuterRef("pk"), created_at__lte=now - NOTED_WITHIN)
    missed = Q(Exists(results.filter(created_at__gt=since)))
    never = Q(Exists(results), ends_noted_at=None)
    campaigns = list(Campaign.objects.filter(missed | never).values_list("pk", flat=True)[:limit])
    for campaign_id in campaigns:
        _raise_revision(campaign_id, now)
    return len(campaigns)


def _raise_revision(campaign_id: int, now: dt.datetime) -> None:
    Campaign.objects.filter(pk=campaign_id).update(revision=F("revision") + 1, ends_noted_at=now)


def finish_if_done(
    campaign_id: int,
    *,
    now: dt.datetime,
    actor: Actor = SERVER,
    reason: str = "No task is open.",
) -> bool:
    """Begin the race that is due, or complete the campaign; return whether it completed.

    An active or paused one completes when no task is open or undrawn, no race runs or is due, and
    no outside program is expected to ask again. When only undrawn ones are left, the next slice of
    them is made here: the campaign goes on where no job draws them. A race that is due in a paused
    campaign begins when it is resumed. Call it after the commit that ended a task: when two tasks
    end concurrently, the later call sees that both have ended.
    """
    # Nearly always one is open; this answer costs a small part of what `_done` does.
    if Task.objects.filter(campaign=campaign_id).open().exists():
        return False
    if draw_slice(campaign_id, now=now):
        return False
    done = _done(now).filter(pk=campaign_id)
    # Lock first, then check again. A single UPDATE that waits for a concurrent `retry_task` still
    # sees the tasks as before the wait, and would complete a campaign with a pending task.
    with transaction.atomic():
        campaign = done.select_for_update(no_key=True).first()
        if campaign is None or not done.exists():
            return False
        if race := due_race(campaign):
            if campaign.state == CampaignState.ACTIVE:
                begin(campaign, race, now=now)
            return False
        _complete(campaign, actor, now, reason)
    return True


def finish_done_campaigns(*, now: dt.datetime) -> int:
    """Begin the races that are due, and complete the other campaigns; return how many completed.

    A sweep for last tasks that ended in a process that died before `finish_if_done`, and for
    campaigns that outside programs have ceased to ask.
    """
    finished = 0
    for campaign_id in _done(now).order_by("pk").values_list("pk", flat=True):
        try:
            finished += finish_if_done(campaign_id, now=now)
        except Exception:
            # A campaign that cannot be finished must not keep the others waiting.
            logger.exception("campaign %s was not finished", campaign_id)
    return finished


def _done(now: dt.datetime) -> QuerySet[Campaign]:
    """Return the running campaigns in which nothing is open and nobody is expected to ask again."""
    still_open = Task.objects.filter(campaign=OuterRef("pk")).open()
    races = Race.objects.running().filter(campaign=OuterRef("pk"))
    asked_before = now - dt.timedelta(seconds=settings.XEENET["ASK_TIMEOUT_SECONDS"])
    running = Campaign.objects.filter(state__in=CAMPAIGN_TRANSITIONS["finish"].sources)
    unasked = running.filter(Q(asked_at=None) | Q(asked_at__lte=asked_before), undrawn_tasks=0)
    return unasked.filter(~Exists(still_open), ~Exists(races))


def _complete(campaign: Campaign, actor: Actor, now: dt.datetime, reason: str) -> None:
    """Active or paused → completed, for a locked campaign of which nothing is open."""
    before = campaign.state
    Campaign.objects.filter(pk=campaign.pk).update(
        state=CampaignState.COMPLETED, finished_at=now, asked_at=None, revision=F("revision") + 1
    )
    give_up_kept_runs(campaign)
    campaign.refresh_from_db()
    journal.record(actor, Change(campaign, before, campaign.state), now=now, reason=reason)
    events.note_finished(campaign, lambda: sentence(campaign), now=now)


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
        enter(campaign)
