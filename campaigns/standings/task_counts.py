"""How many tasks of a campaign are in each state, without counting 100,000 rows for each request.

Every verb that ends a task or reopens an ended one raises the campaign's revision, so ended tasks
are counted once per revision. Open tasks change with every lease and are counted each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import BigIntegerField, CharField, Count, QuerySet, Value

from campaigns.caching import cached_for_each
from campaigns.models import Campaign, Result, Task, TaskQuerySet, TaskState
from xeenet_site.web.prepared import Prepared, Slot

ENDED: Final = (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
_NAME: Final = "ended-tasks"
# Marks the rows of results without a value and of failure classes, beside those of states.
_NO_VALUE: Final = "no value"
_FAILURE: Final = "failure"


@dataclass
class Ended:
    """The ended tasks of a campaign. `by_state` and `failures` have only what occurs."""

    by_state: dict[str, int] = field(default_factory=dict)
    # Tasks that failed for good by failure class, most frequent first.
    failures: dict[str, int] = field(default_factory=dict)
    # Completed tasks whose run has no value.
    without_value: int = 0


def tasks_by_state(campaign: Campaign) -> dict[str, int]:
    """Count a freshly loaded campaign's tasks by state: every state has a count, none is stale."""
    counted: dict[str, int] = {}

    def count_all(_: Sequence[Campaign]) -> dict[int, Ended]:
        # A single statement, so that a task that moves meanwhile is counted exactly once.
        ended = _count([campaign], campaign.tasks.all())[campaign.pk]
        counted.update(ended.by_state)
        ended.by_state = {state: ended.by_state[state] for state in ENDED if state in counted}
        return {campaign.pk: ended}

    known = cached_for_each([campaign], _NAME, count_all)[campaign.pk]
    if not counted:
        counted = known.by_state | dict(_OPEN.rows(campaign=campaign.pk))
        # Otherwise the cached counts are stale (a task ended meanwhile, or a process died before it
        # raised the revision): count again.
        if sum(counted.values()) != campaign.tasks_made:
            counted = dict(_by_state(campaign.tasks.all()))
    return dict.fromkeys(TaskState.values, 0) | counted


def ended_tasks(campaigns: Sequence[Campaign]) -> dict[int, Ended]:
    """Count the ended tasks of freshly loaded campaigns, by the campaign's id; at most one query.

    Results without a value come from a partial index. Failed tasks have none either, and are not
    among them.
    """
    return cached_for_each(
        campaigns,
        _NAME,
        lambda these: _count(these, Task.objects.filter(campaign__in=these, state__in=ENDED)),
    )


def failed_by_class(campaign: Campaign) -> dict[str, int]:
    """Count a campaign's tasks that failed for good by failure class, most frequent first."""
    return ended_tasks([campaign])[campaign.pk].failures


def _by_state(tasks: TaskQuerySet) -> QuerySet[Any, Any]:
    # Count("*"), because the index by state does not hold the key: Count("pk") would read the whole
    # table. order_by() drops the default ordering, which would join the grouping.
    return tasks.order_by().values_list("state").annotate(number=Count("*"))


def _open() -> QuerySet[Any, Any]:
    return _by_state(Task.objects.open().filter(campaign_id=Slot("campaign", BigIntegerField())))


# The open tasks of a campaign by state. Each of its pages asks it.
_OPEN: Final = Prepared(_open)


def _count(campaigns: Sequence[Campaign], tasks: TaskQuerySet) -> dict[int, Ended]:
    """Count these tasks of the campaigns by state, the failed ones by class, and no values."""
    failed = Task.objects.filter(campaign__in=campaigns, state=TaskState.FAILED)
    without_value = Result.objects.filter(campaign__in=campaigns, value__isnull=True)
    parts: list[QuerySet[Any, Any]] = [
        _grouped(tasks, "state", Value("", CharField())),
        _grouped(failed, "failure_class", Value(_FAILURE, CharField())),
        without_value.order_by()
        .annotate(name=Value("", CharField()), what=Value(_NO_VALUE, CharField()))
        .values_list("campaign_id", "name", "what")
        .annotate(number=Count("*")),
    ]
    counts = {campaign.pk: Ended() for campaign in campaigns}
    rows = parts[0].union(*parts[1:], all=True)
    for campaign_id, name, what, number in sorted(rows, key=lambda row: (-row[3], row[1])):
        ended = counts[campaign_id]
        if what == _NO_VALUE:
            ended.without_value = number
        elif what == _FAILURE:
            ended.failures[name] = number
        else:
            ended.by_state[name] = number
    return counts


def _grouped(tasks: TaskQuerySet, column: str, what: Value) -> QuerySet[Any, Any]:
    grouped = tasks.order_by().annotate(what=what).values_list("campaign_id", column, "what")
    return grouped.annotate(number=Count("*"))
