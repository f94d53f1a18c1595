"""How many tasks of a campaign are in each state, without counting 100,000 rows for each request.

Every verb that ends a task or reopens an ended one raises the campaign's revision, so ended tasks
are counted once per revision. Open tasks change with every lease and are counted each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.models import Count

from campaigns.caching import cached_for_each
from campaigns.models import Campaign, Result, Task, TaskQuerySet, TaskState

ENDED: Final = (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
_NAME: Final = "ended-tasks"


def tasks_by_state(campaign: Campaign) -> dict[str, int]:
    """Count a freshly loaded campaign's tasks by state: every state has a count, none is stale."""
    counted: dict[str, int] = {}

    def count_all(_: Sequence[Campaign]) -> dict[int, dict[str, int]]:
        # A single statement, so that a task that moves meanwhile is counted exactly once.
        counted.update(_by_state(campaign.tasks.all()))
        return {campaign.pk: {state: counted[state] for state in ENDED if state in counted}}

    ended = cached_for_each([campaign], _NAME, count_all)[campaign.pk]
    if not counted:
        counted = ended | _by_state(campaign.tasks.open())
        # Otherwise the cached counts are stale (a task ended meanwhile, or a process died before it
        # raised the revision): count again.
        if sum(counted.values()) != campaign.task_count - campaign.kept_runs:
            counted = _by_state(campaign.tasks.all())
    return dict.fromkeys(TaskState.values, 0) | counted


def _by_state(tasks: TaskQuerySet) -> dict[str, int]:
    # Count("*"), because the index by state does not hold the key: Count("pk") would read the whole
    # table. order_by() drops the default ordering, which would join the grouping.
    return dict(tasks.order_by().values_list("state").annotate(number=Count("*")))


def failed_by_class(campaign: Campaign) -> dict[str, int]:
    """Count the tasks that failed for good by failure class, most frequent first."""
    failed = campaign.tasks.filter(state=TaskState.FAILED).values_list("failure_class")
    return dict(failed.annotate(number=Count("*")).order_by("-number", "failure_class"))


def ended_tasks(campaigns: Sequence[Campaign]) -> dict[int, dict[str, int]]:
    """Count the ended tasks of freshly loaded campaigns by state; at most one query.

    A campaign has only the states that occur.
    """
    return cached_for_each(campaigns, _NAME, _count_ended)


def without_value(campaigns: Sequence[Campaign]) -> dict[int, int]:
    """Count the completed tasks of freshly loaded campaigns whose run has no value.

    At most one query, of a partial index. Failed tasks have no value either, and are not in it.
    """
    return cached_for_each(campaigns, "without-value", _count_without_value)


def _count_without_value(campaigns: Sequence[Campaign]) -> dict[int, int]:
    results = Result.objects.filter(campaign__in=campaigns, value__isnull=True).order_by()
    counted = dict(results.values_list("campaign_id").annotate(number=Count("*")))
    return {campaign.pk: counted.get(campaign.pk, 0) for campaign in campaigns}


def _count_ended(campaigns: Sequence[Campaign]) -> dict[int, dict[str, int]]:
    counts: dict[int, dict[str, int]] = {campaign.pk: {} for campaign in campaigns}
    ended = Task.objects.filter(campaign__in=campaigns, state__in=ENDED).order_by()
    by_state = ended.values_list("campaign_id", "state").annotate(number=Count("*"))
    for campaign_id, state, number in by_state:
        counts[campaign_id][state] = number
    return counts
