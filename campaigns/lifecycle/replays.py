"""Runs that are repeated once, because something kept them from coming as far as they can.

Under a time budget a disturbed run, or one with a slow set-up, trained less than its config can: it
gets a replay of the same arm on the same seed, free of charge. When the replay had less in its way,
it takes the place of the first run, which then counts for nothing but itself: the two tasks change
their purposes. Runs of races are never repeated (their looks wait for no more), nor runs of a work
budget, whose values do not depend on time.

A slow set-up is the trouble of a machine, so its replay runs on another one. It is made only while
one is online that may run the task, and given up when there is none any more.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from campaigns.lifecycle.arms import TaskMaker
from campaigns.lifecycle.campaigns import cancel_open_tasks
from campaigns.lifecycle.endings import note_ended_task, reactivate
from campaigns.lifecycle.journal import SERVER
from campaigns.models import (
    BudgetKind,
    Campaign,
    CampaignState,
    Result,
    Task,
    TaskPurpose,
    TaskQuerySet,
    TaskState,
)
from campaigns.search.samplers import MAX_TASKS

# So long a campaign waits for nothing but replays that other machines could run, and do not.
LONGEST_WAIT: Final = dt.timedelta(hours=1)
NOBODY_ELSE: Final = "No other machine is there to run it again."
_REPEATED: Final = (TaskPurpose.SCREEN, TaskPurpose.REPEAT)
_HINDERED: Final = Q(disturbed=True) | Q(slow_setup=True)
_LIVE: Final = (CampaignState.ACTIVE, CampaignState.PAUSED)


def is_to_be_repeated(result: Result) -> bool:
    """Return whether a result asks for a replay of its run.

    A run that diverged says so of its params, at any speed. A person's own program runs what it
    asks for, and perhaps nobody would run the replay.
    """
    task = result.task
    return bool(
        result.hindrances
        and not result.diverged
        and not result.attempt.worker.is_program
        and task.purpose in _REPEATED
        and task.campaign.budget_kind == BudgetKind.TIME
    )


def repeat_hindered(result: Result, *, now: dt.datetime) -> bool:
    """Add a replay of a run that `is_to_be_repeated`, at most one; return whether it did.

    After a slow set-up it is for other machines. Where none is online, only a disturbed run gets
    one. Call it after the commit that stored the result: the campaign's row is locked.
    """
    task, machine = result.task, ""
    if result.slow_setup and _has_other_machine(task.campaign, result.attempt.worker.machine, now):
        machine = result.attempt.worker.machine
    if not machine and not result.disturbed:
        return False
    with transaction.atomic():
        campaign = Campaign.objects.select_for_update(no_key=True).get(pk=task.campaign_id)
        is_full = campaign.task_count - campaign.kept_runs >= MAX_TASKS
        if campaign.state == CampaignState.CANCELLED or is_full:
            return False
        if not result.disturbed and campaign.state not in _LIVE:
            return False
        if _others(task).exists():
            return False
        maker = TaskMaker(campaign, now=now)
        maker.load()
        maker.store([maker.replay(task, not_on=machine)])
        Campaign.objects.filter(pk=campaign.pk).update(
            task_count=F("task_count") + 1, revision=F("revision") + 1
        )
        reactivate(campaign, SERVER, now, f"Task {task.number} was disturbed and runs again.")
    return True


def repeat_missed(*, since: dt.datetime, now: dt.datetime, limit: int) -> int:
    """Add the replays that a process did not add before it died; return how many.

    Also those for which a machine has come since, as long as their campaign runs.
    """
    others = Task.objects.filter(arm=OuterRef("arm"), seed=OuterRef("task__seed"))
    results = Result.objects.filter(
        _HINDERED,
        ~Exists(others.exclude(pk=OuterRef("task"))),
        created_at__gte=since,
        diverged=False,
        attempt__worker__is_program=False,
        task__purpose__in=_REPEATED,
        campaign__budget_kind=BudgetKind.TIME,
    )
    related = "task__campaign", "task__arm", "attempt__worker"
    batch = list(results.select_related(*related).order_by("pk")[:limit])
    return sum(repeat_hindered(result, now=now) for result in batch)


def settle_replay(result: Result) -> bool:
    """Let a replay take the place of the run that it repeats, if it had less in its way.

    Return whether it did.

    Call it in the transaction that stores the replay's result. The tasks change their purposes, so
    that boards, races and noise floors, which all leave replays out, count the better run.
    """
    replay = result.task
    if replay.purpose != TaskPurpose.REPLAY or not result.is_ranked:
        return False
    repeated = Result.objects.filter(_HINDERED, task__in=_others(replay))
    first = repeated.filter(task__purpose__in=_REPEATED).select_related("task").first()
    if first is None or result.hindrances >= first.hindrances:
        return False
    for task_id, purpose in ((first.task_id, TaskPurpose.REPLAY), (replay.pk, first.task.purpose)):
        Task.objects.filter(pk=task_id).update(purpose=purpose)
        is_screening = purpose == TaskPurpose.SCREEN
        Result.objects.filter(task=task_id).update(is_screening=is_screening)
    return True


def give_up_replays(*, now: dt.datetime) -> int:
    """Cancel the replays for other machines that nobody will run; return how many.

    No other machine is online that may run them, or they are all that their campaign has been
    waiting for, for an hour.
    """
    waiting = Task.objects.filter(state=TaskState.PENDING).exclude(not_on="")
    pairs = waiting.order_by("campaign", "not_on").values_list("campaign", "not_on").distinct()
    given_up = 0
    for campaign_id, machine in list(pairs):
        campaign = Campaign.objects.get(pk=campaign_id)
        replays = waiting.filter(campaign=campaign, not_on=machine)
        if _has_other_machine(campaign, machine, now):
            replays = replays.filter(created_at__lte=now - LONGEST_WAIT)
            if campaign.tasks.open().exclude(pk__in=replays.values("pk")).exists():
                continue
        given_up += _give_up(campaign, replays, now)
    return given_up


def _give_up(campaign: Campaign, replays: TaskQuerySet, now: dt.datetime) -> int:
    with transaction.atomic():
        given_up = cancel_open_tasks(replays, now=now, actor=SERVER, reason=NOBODY_ELSE)
    if given_up:
        note_ended_task(campaign.pk, now=now)
    return given_up


def _has_other_machine(campaign: Campaign, machine: str, now: dt.datetime) -> bool:
    """Return whether another machine is online that may run the campaign's tasks, and measures."""
    online = campaign.machines(now).filter(simulates=False).exclude(paused_until__gt=now)
    return any(worker.machine != machine for worker in online.only("hardware"))


def _others(task: Task) -> QuerySet[Task]:
    """Return the other tasks of the arm on the seed: a replay, or the run that it repeats."""
    return Task.objects.filter(arm=task.arm_id, seed=task.seed).exclude(pk=task.pk)
