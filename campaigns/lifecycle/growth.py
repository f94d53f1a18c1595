"""The verbs that extend a launched campaign: sampled tasks, given params, a race, tries."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Final

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from campaigns.lifecycle.arms import TaskMaker, drawn_points
from campaigns.lifecycle.drawing import (
    SLICE,
    ask_for_the_rest,
    draw_slice,
    make_drawn,
    note_drawn,
)
from campaigns.lifecycle.endings import finish_if_done, note_ended_task, reactivate
from campaigns.lifecycle.errors import InvalidCampaign, WrongState
from campaigns.lifecycle.journal import SERVER, Actor
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import (
    MAX_SEED,
    MAX_TRIES,
    Arm,
    Campaign,
    CampaignState,
    Task,
    TaskOrigin,
)
from campaigns.search.samplers import MAX_TASKS, Params
from campaigns.search.space import SearchSpace

logger = logging.getLogger(__name__)

# So many further seeds an arm gets at once.
MOST_TIMES_AGAIN: Final = 20


def add_tasks(campaign: Campaign, count: int, *, now: dt.datetime, actor: Actor = SERVER) -> None:
    """Draw `count` more points; each is a task of a new arm, or another seed of one that is there.

    The first `SLICE` of what is undrawn then become tasks here, the others in the background. An
    active or paused campaign stays so, a completed one becomes active. Raises WrongState,
    InvalidCampaign.
    """
    # One transaction with the campaign locked: concurrent calls must not use a number twice.
    with transaction.atomic():
        locked = lock_growing(campaign)
        room = MAX_TASKS - locked.task_count
        if not 1 <= count <= room:
            raise InvalidCampaign({"count": [f"must be from 1 to {room:,}"]})
        undrawn = locked.undrawn_tasks + count
        if locked.base_seed + locked.draws + undrawn > MAX_SEED:
            raise InvalidCampaign({"count": ["would pass the largest seed"]})
        points = list(drawn_points(locked, min(undrawn, SLICE), of=undrawn))
        locked.undrawn_tasks, locked.drawing_since = undrawn, locked.drawing_since or now
        tasks = make_drawn(locked, points)
        note_growth(campaign, locked, count, actor, now)
        note_drawn(locked, tasks)
        campaign.refresh_from_db()
    ask_for_the_rest(campaign.pk)
    if all(task.infeasible for task in tasks):
        note_ended_task(campaign.pk, now=now)
        campaign.refresh_from_db()


def enqueue(
    campaign: Campaign,
    params: Params,
    *,
    now: dt.datetime,
    seed: int | None = None,
    actor: Actor = SERVER,
) -> Task:
    """Add one task with the given params; without a seed it takes the arm's next one.

    An active or paused campaign stays so, a completed one becomes active. Raises WrongState, and
    InvalidCampaign for params outside the search space or a point that is there already.
    """
    problems = SearchSpace.stored(campaign.search_space).problems(params)
    if problems:
        raise InvalidCampaign({"params": problems})
    with transaction.atomic():
        locked = lock_growing(campaign)
        if locked.task_count >= MAX_TASKS:
            raise InvalidCampaign({"params": [f"the campaign has {MAX_TASKS:,} tasks, the most"]})
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise InvalidCampaign({"seed": [f"must be from 0 to {MAX_SEED}"]})
        maker = TaskMaker(locked, now=now)
        maker.load([params])
        task = maker.task(params, TaskOrigin.ENQUEUED, seed=seed)
        if task.infeasible:
            raise InvalidCampaign({"params": [f"are infeasible: {task.infeasible}"]})
        stored = maker.store([task]).select_related("arm").get()
        note_growth(campaign, locked, 1, actor, now)
    return stored


def run_again(arm: Arm, times: int, *, now: dt.datetime, actor: Actor = SERVER) -> list[Task]:
    """Add tasks of the arm on the next `times` seeds that it has not had: all of them or none.

    An active or paused campaign stays so, a completed one becomes active. Raises WrongState, and
    InvalidCampaign for too many tasks or an arm that can get no result.
    """
    if not 1 <= times <= MOST_TIMES_AGAIN:
        raise InvalidCampaign({"times": [f"must be from 1 to {MOST_TIMES_AGAIN}"]})
    with transaction.atomic():
        locked = lock_growing(arm.campaign)
        if locked.task_count + times > MAX_TASKS:
            raise InvalidCampaign({"times": [f"the campaign may have {MAX_TASKS:,} tasks at most"]})
        maker = TaskMaker(locked, now=now)
        maker.load([arm.params])
        tasks = [maker.task(arm.params, TaskOrigin.ENQUEUED) for _ in range(times)]
        if infeasible := tasks[0].infeasible:
            raise InvalidCampaign({"arm": [f"is infeasible: {infeasible}"]})
        stored = list(maker.store(tasks).select_related("arm"))
        note_growth(arm.campaign, locked, times, actor, now)
    return stored


def draw_rest(*, now: dt.datetime, give_up_at: float, campaign_id: int | None = None) -> int:
    """Make the tasks that are undrawn, of one campaign or of all, oldest first; return how many.

    Begins no further slice after `give_up_at`, of the clock `time.monotonic`.
    """
    waiting = Campaign.objects.filter(undrawn_tasks__gt=0)
    if campaign_id is not None:
        waiting = waiting.filter(pk=campaign_id)
    made = 0
    for pk in waiting.order_by("drawing_since", "pk").values_list("pk", flat=True):
        try:
            while time.monotonic() < give_up_at and waiting.filter(pk=pk).exists():
                made += draw_slice(pk, now=now)
            # All that were left may be infeasible.
            finish_if_done(pk, now=now)
        except Exception:
            # A campaign that cannot be drawn must not keep the others waiting.
            logger.exception("the tasks of campaign %s were not drawn", pk)
    return made


def raise_attempts(campaign: Campaign, *, max_failed_attempts: int, max_lost_attempts: int) -> None:
    """Allow each task at least this many tries; tasks that failed already need `retry_task`.

    Raises WrongState for a cancelled campaign, InvalidCampaign for numbers below today's.
    """
    limits = {"max_failed_attempts": max_failed_attempts, "max_lost_attempts": max_lost_attempts}
    errors = {
        name: [f"must be from {getattr(campaign, name)} (today's) to {MAX_TRIES}"]
        for name, value in limits.items()
        if not getattr(campaign, name) <= value <= MAX_TRIES
    }
    if errors:
        raise InvalidCampaign(errors)
    # One transaction: a task added concurrently must get the same limits as the others.
    with transaction.atomic():
        changed = Campaign.objects.filter(pk=campaign.pk).exclude(state=CampaignState.CANCELLED)
        if not changed.update(revision=F("revision") + 1, **limits):
            raise WrongState("The campaign was cancelled; clone it to run it again.")
        Task.objects.filter(campaign=campaign).update(
            max_failed_attempts=Greatest(F("max_failed_attempts"), max_failed_attempts),
            max_lost_attempts=Greatest(F("max_lost_attempts"), max_lost_attempts),
        )
    campaign.refresh_from_db()


def lock_growing(campaign: Campaign) -> Campaign:
    """Lock and return the campaign. Raises WrongState unless tasks may be added to it."""
    locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    if locked.state not in CAMPAIGN_TRANSITIONS["grow"].sources:
        raise WrongState(f"The campaign is {locked.state}; launch it first, or clone it.")
    return locked


def note_growth(
    campaign: Campaign,
    locked: Campaign,
    new_tasks: int,
    actor: Actor,
    now: dt.datetime,
    reason: str = "Tasks were added.",
) -> None:
    """Count the new tasks, and make a completed campaign active again."""
    rows = Campaign.objects.filter(pk=campaign.pk)
    rows.update(task_count=F("task_count") + new_tasks, revision=F("revision") + 1)
    reactivate(locked, actor, now, reason)
    campaign.refresh_from_db()
