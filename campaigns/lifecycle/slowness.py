"""Too slow for its work: which runs are, which arms are given up for it, and when.

A worker that was too slow gets no task of its campaign with as much work: see
`TaskQuerySet.claimable`. An arm is given up after several such workers, or when every machine that
may run it was too slow.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, FloatField, Min, OuterRef, Q, Value
from django.db.models.functions import Coalesce

from campaigns.fleet.budgets import evaluated_bytes
from campaigns.lifecycle import journal
from campaigns.lifecycle.endings import note_ended_task
from campaigns.lifecycle.journal import SERVER
from campaigns.models import (
    Arm,
    Attempt,
    BudgetKind,
    Campaign,
    CampaignState,
    FailureClass,
    Task,
    TaskState,
)
from workers.models import Worker
from workers.protocol import Submission
from workers.result_line import is_finding_without_value

# So many owners' workers must have been too slow for an arm before it is given up.
SLOW_WORKERS: Final = 3
# A machine that was seen within this time may come back and be fast enough.
LEFT_AFTER: Final = dt.timedelta(hours=1)
# A run that was ended before this share of its guard was not ended for being slow.
_GUARD_SHARE: Final = 0.9
_LIVE: Final = (CampaignState.ACTIVE, CampaignState.PAUSED)


def booked_class(attempt: Attempt, reported: FailureClass, body: Submission) -> FailureClass:
    """Return the class of a failure: under a work budget the end at the guard is too slow."""
    has_work = attempt.task.max_steps is not None
    if has_work and reported == FailureClass.TIMEOUT:
        seconds = body.get("wall_time_seconds")
        at_guard = seconds is None or seconds >= _GUARD_SHARE * attempt.budget_seconds
        return FailureClass.TOO_SLOW if at_guard else reported
    if not has_work and reported == FailureClass.TOO_SLOW:
        return FailureClass.TIMEOUT
    return reported


def why_too_slow(task: Task, metrics: dict[str, Any]) -> str:
    """Return what a measured result lacks of the task's work; "" when it has all, or diverged."""
    if task.max_steps is None or metrics.get("diverged") is True:
        return ""
    campaign, steps = task.campaign, metrics["steps_completed"]
    if steps < task.max_steps:
        return f"it made {steps:,} of {task.max_steps:,} steps within its guard"
    whole = evaluated_bytes(campaign.experiment, campaign.dataset_id)
    if is_finding_without_value(metrics, campaign.metric_spec) or metrics["eval_bytes"] < whole:
        return "its guard left no time to evaluate the whole validation split"
    return ""


def note_too_slow(attempt: Attempt, *, now: dt.datetime) -> None:
    """Give up what nobody is fast enough for, after an attempt that was too slow.

    Call it after the commit that ended the attempt.
    """
    arm = attempt.task.arm_id
    tries = Attempt.objects.filter(failure_class=FailureClass.TOO_SLOW, task__arm=arm)
    workers = Worker.objects.filter(attempts__in=tries).distinct()
    if workers.owner_count() >= SLOW_WORKERS:
        number = workers.count()
        why = f"too slow for this fleet: {number} workers did not finish it within their guards"
        _give_up(attempt.task.campaign_id, Q(arm=arm), why, now)
    _give_up_beyond_all(attempt.task.campaign_id, now, tried_by=attempt.worker_id)


def give_up_slow_tasks(*, now: dt.datetime) -> int:
    """Fail the tasks that no machine is fast enough for, of all campaigns; return how many.

    A sweep for machines that have gone since. As long as none has been seen, nothing is given up.
    """
    tries = Attempt.objects.filter(
        failure_class=FailureClass.TOO_SLOW, task__campaign=OuterRef("pk")
    )
    pending = Task.objects.filter(campaign=OuterRef("pk"), state=TaskState.PENDING)
    campaigns = Campaign.objects.filter(
        Exists(tries), Exists(pending), budget_kind=BudgetKind.WORK, state__in=_LIVE
    )
    keys = campaigns.order_by("pk").values_list("pk", flat=True)
    return sum(_give_up_beyond_all(campaign_id, now) for campaign_id in keys)


def _give_up_beyond_all(campaign_id: int, now: dt.datetime, *, tried_by: int | None = None) -> int:
    """Give up the tasks that every machine which may run them was too slow for."""
    campaign = Campaign.objects.get(pk=campaign_id)
    tries = Attempt.objects.filter(
        failure_class=FailureClass.TOO_SLOW, task__campaign=campaign
    ).order_by()
    # Without a cost model all work of a campaign is equal: any try rules out all of it.
    work = Coalesce("task__work_seconds", Value(0.0), output_field=FloatField())
    limits = dict(tries.values("worker").annotate(least=Min(work)).values_list("worker", "least"))
    machines = campaign.machines(now - LEFT_AFTER)
    able = set(machines.values_list("pk", flat=True)) | ({tried_by} if tried_by else set())
    if not able or not able <= limits.keys():
        return 0
    limit = max(limits[worker] for worker in able)
    tasks = Q(work_seconds__gte=limit) if limit else Q()
    why = "too slow for this fleet: every worker was too slow for as much work"
    return _give_up(campaign_id, tasks, why, now)


def _give_up(campaign_id: int, which: Q, why: str, now: dt.datetime) -> int:
    """Pending → failed for these tasks, and their arms are infeasible; return how many."""
    tasks = Task.objects.filter(
        which, campaign=campaign_id, state=TaskState.PENDING, max_steps__isnull=False
    )
    with transaction.atomic():
        # Lock order: campaign, task. This read only takes the locks.
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign_id)
        list(tasks.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
        Arm.objects.filter(campaign=campaign_id, pk__in=tasks.values("arm")).update(infeasible=why)
        journal.record_tasks(SERVER, tasks, TaskState.FAILED, now=now, reason=why)
        given_up = tasks.update(
            state=TaskState.FAILED, failure_class=FailureClass.TOO_SLOW, finished_at=now
        )
    if given_up:
        note_ended_task(campaign_id, now=now)
    return given_up
