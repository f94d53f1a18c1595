"""How the tasks of a large launch come about: the first in the request, the rest in slices later.

What the sampler has yet to draw is `Campaign.undrawn_tasks`, beginning at draw `Campaign.draws`. A
slice moves both in one transaction with its tasks, so a process that dies loses nothing, and the
next one goes on with the same points. While anything is undrawn, the campaign neither completes nor
begins a race, which a database constraint and `endings` hold to.
"""

from __future__ import annotations

import datetime as dt
import logging
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from campaigns.lifecycle import journal
from campaigns.lifecycle.arms import NewTask, TaskMaker
from campaigns.lifecycle.journal import SERVER, Change
from campaigns.models import Campaign, TaskOrigin
from campaigns.search.samplers import Params, sample
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.steps import SLICE_STEPS, StepsSpent

# So many tasks a request makes itself, and so many a slice: about a tenth of a second.
SLICE: Final = 1_000
JOB: Final = "campaigns.jobs.draw_tasks"

logger = logging.getLogger(__name__)


def draw_slice(campaign_id: int, *, now: dt.datetime) -> int:
    """Make the next tasks that the sampler has yet to draw, at most `SLICE`; return how many.

    Where it finds no further point, the campaign has the tasks that it has, and the journal says
    why. 0 also when another process drew these points meanwhile. Paused campaigns are drawn too:
    their tasks wait, as if all had been made at the launch.
    """
    campaign = Campaign.objects.filter(pk=campaign_id, undrawn_tasks__gt=0).first()
    if campaign is None:
        return 0
    # Before the transaction, which on SQLite holds the only write lock.
    points, problem = _next_points(campaign)
    with transaction.atomic():
        locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign_id)
        # Cancelled meanwhile, or drawn by another process.
        if locked.draws != campaign.draws or not locked.undrawn_tasks:
            return 0
        if problem and not points:
            _stop(locked, problem, now)
            return 0
        tasks = make_drawn(locked, points)
        note_drawn(locked, tasks)
    return len(tasks)


def make_drawn(campaign: Campaign, points: list[Params]) -> list[NewTask]:
    """Store the tasks of the campaign's next draws, with the time of the request for them.

    Call it in a transaction that has locked a campaign whose `drawing_since` is set.
    """
    assert campaign.drawing_since is not None  # noqa: S101 - a constraint of the database
    maker = TaskMaker(campaign, now=campaign.drawing_since)
    maker.load(points)
    tasks = [maker.task(params, TaskOrigin.SAMPLED) for params in points]
    maker.store(tasks)
    return tasks


def note_drawn(campaign: Campaign, tasks: list[NewTask]) -> None:
    """Count the tasks of the campaign's next draws as drawn, in the transaction that made them."""
    left = campaign.undrawn_tasks - len(tasks)
    columns: dict[str, Any] = {
        "draws": campaign.draws + len(tasks),
        "undrawn_tasks": left,
        "drawing_since": campaign.drawing_since if left else None,
    }
    # Cached counts are those of ended tasks; what else is cached may be a slice behind.
    if not left or any(task.infeasible for task in tasks):
        columns["revision"] = F("revision") + 1
    Campaign.objects.filter(pk=campaign.pk).update(**columns)


def give_up_undrawn(campaign: Campaign) -> None:
    """Draw nothing more: the campaign has the tasks that it has.

    Call it in a transaction that has locked the campaign, before the campaign ends.
    """
    rows = Campaign.objects.filter(pk=campaign.pk, undrawn_tasks__gt=0)
    if rows.update(
        task_count=F("task_count") - F("undrawn_tasks"), undrawn_tasks=0, drawing_since=None
    ):
        campaign.refresh_from_db(fields=["task_count", "undrawn_tasks", "drawing_since"])


def _next_points(campaign: Campaign) -> tuple[list[Params], str]:
    """Return the points of the next slice, and why the draw after them has none ("" if it may)."""
    space = SearchSpace.stored(campaign.search_space).with_budget(SLICE_STEPS)
    end = campaign.draws + min(SLICE, campaign.undrawn_tasks)
    points: list[Params] = []
    try:
        for draw in range(campaign.draws, end):
            points.append(sample(space, campaign.sampler, campaign.base_seed, draw))
    except StepsSpent:
        pass  # the next slice begins with this draw
    except UnsatisfiableSpace as error:
        return points, str(error)
    return points, ""


def _stop(campaign: Campaign, problem: str, now: dt.datetime) -> None:
    """Give up what is undrawn of the locked campaign, and write into its journal why."""
    wanted, undrawn = campaign.task_count - campaign.kept_runs, campaign.undrawn_tasks
    give_up_undrawn(campaign)
    Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
    reason = f"Only {wanted - undrawn:,} of {wanted:,} tasks were made. {problem}"
    change = Change(campaign, campaign.state, campaign.state)
    journal.record(SERVER, change, now=now, reason=reason)
    logger.warning("campaign %d: %s", campaign.pk, reason)


def ask_for_the_rest(campaign_id: int) -> None:
    """Have a background job draw what is undrawn, once this transaction is committed.

    A job of each minute draws it, too, should this one be lost.
    """
    if Campaign.objects.filter(pk=campaign_id, undrawn_tasks__gt=0).exists():
        transaction.on_commit(partial(_ask, campaign_id), robust=True)


def _ask(campaign_id: int) -> None:
    # Imported here, because django-q2 reads its settings at import.
    from django_q.tasks import async_task

    async_task(JOB, campaign_id)
