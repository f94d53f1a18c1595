"""Which tasks run, and which wait in what order: the queue that all campaigns share."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db import models
from django.db.models import Count, Exists, F, Min, OuterRef, QuerySet, Value

from campaigns.models import AttemptOutcome, Campaign, CampaignState, Task, TaskState
from campaigns.standings.turns import Batch

# Tasks that came at different times are so many rows at most; of more, the oldest are read.
MOST_ROWS: Final = 5_000
_RUNS: Final = "a run"
_WAITS: Final = "waits"


class Running(NamedTuple):
    """A task that a worker holds."""

    started_at: dt.datetime
    lease_expires_at: dt.datetime
    worker_id: int

    def is_live(self, now: dt.datetime) -> bool:
        """Whether its lease holds; otherwise it waits again, once somebody takes it back."""
        return self.lease_expires_at >= now


@dataclass(frozen=True)
class Queue:
    """What workers hold of each campaign, and what waits, in the order of claims.

    `waiting` has pending tasks of active campaigns, and is empty where only one has any.
    """

    running: Mapping[int, Sequence[Running]] = field(default_factory=dict)
    waiting: Sequence[Batch] = ()

    @property
    def pending(self) -> dict[int, int]:
        """How many tasks of each campaign are in the order."""
        counted: dict[int, int] = defaultdict(int)
        for batch in self.waiting:
            counted[batch.campaign] += batch.tasks
        return counted

    def others(self, campaigns: Iterable[Campaign]) -> set[int]:
        """Return the ids of further campaigns that have tasks in the queue."""
        known = {campaign.pk for campaign in campaigns}
        return {*self.running, *(batch.campaign for batch in self.waiting)} - known


def queue_of(campaigns: Sequence[Campaign]) -> Queue:
    """Return what runs of all campaigns, and what waits if others than one wait. One query.

    The order of waiting tasks matters only between campaigns, so that of one alone is not read.
    """
    pending = Task.objects.filter(state=TaskState.PENDING, campaign__state=CampaignState.ACTIVE)
    ours = [campaign.pk for campaign in campaigns]
    if sum(campaign.state == CampaignState.ACTIVE for campaign in campaigns) > 1:
        ours = []
    active = Campaign.objects.filter(state=CampaignState.ACTIVE).exclude(pk__in=ours)
    with_pending = active.filter(Exists(pending.filter(campaign=OuterRef("pk"))))
    groups = pending.filter(Exists(with_pending.order_by()))
    runs = Task.objects.filter(state=TaskState.LEASED, attempts__outcome=AttemptOutcome.RUNNING)
    rows = _rows(
        runs, _RUNS, F("attempts__started_at"), F("lease_expires_at"), F("worker_id")
    ).union(
        # The index of waiting tasks has all of it.
        _rows(
            groups,
            _WAITS,
            F("available_at"),
            Value(None, models.DateTimeField()),
            Value(None, models.BigIntegerField()),
        ),
        all=True,
    )
    running: dict[int, list[Running]] = defaultdict(list)
    waiting = []
    # Runs come first, then what waits in the order of claims.
    ordered = rows.order_by("what", "at", "first")[:MOST_ROWS]
    for what, at, campaign, until, holder, _, number in ordered:
        if what == _RUNS:
            running[campaign] += [Running(at, until, holder)] * number
        else:
            waiting.append(Batch(campaign, number))
    return Queue(dict(running), waiting)


def _rows(tasks: QuerySet[Task], what: str, at: Any, until: Any, holder: Any) -> QuerySet[Any, Any]:
    """Group tasks by their times, with the first of each group and how many it has."""
    alike = tasks.order_by().annotate(
        what=Value(what, models.CharField()), at=at, until=until, holder=holder
    )
    grouped = alike.values_list("what", "at", "campaign_id", "until", "holder")
    return grouped.annotate(first=Min("pk"), number=Count("*"))
