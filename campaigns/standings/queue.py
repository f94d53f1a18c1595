"""Which tasks run, how many wait, and how campaigns take turns: what all of them share."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db import models
from django.db.models import BigIntegerField, Count, Exists, F, Min, OuterRef, Q, QuerySet, Value
from django.db.models.functions import JSONObject

from campaigns.models import AttemptOutcome, Campaign, CampaignState, Package, Task, TaskState
from campaigns.models.share import DEFAULT_WEIGHT
from campaigns.sharing.turns import Claimant
from xeenet_site.web.prepared import Prepared, Slot

# Tasks that began at different times are so many rows at most.
MOST_ROWS: Final = 5_000
# In the order in which they are read.
_CAMPAIGN: Final = "0 campaign"
_RUNS: Final = "1 run"
_WAITS: Final = "2 waits"
_NO_TIME: Final = Value(None, models.DateTimeField())
_NO_LEASE: Final = (_NO_TIME, Value(None, models.BigIntegerField()))
_PACKAGE: Final = "package__"
# No campaign has this key.
_NOBODY: Final = 0
# Of a further campaign: who may run it, how long its runs take, and the key of its pace.
_COLUMNS: Final = (
    *("state", "revision", "kept_runs", "undrawn_tasks", "experiment"),
    *("allow_simulated", "required_isolation"),
    *("budget_kind", "time_budget_seconds", "work_unit", "work_amount", "cost_model"),
    *("package__sha256", "package__origin", "package__approved_at"),
)
_SHARE: Final = ("owner_id", "share__place", "share__account", "share__weight")


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
    """What workers hold of each campaign, what waits, and how campaigns take turns.

    `pending` counts the pending tasks of active campaigns, and is empty where only one has any.
    `claimants` are the campaigns with open tasks, as claims see them. `others` are the further ones
    of these, with the columns that a forecast needs.
    """

    running: Mapping[int, Sequence[Running]] = field(default_factory=dict)
    pending: Mapping[int, int] = field(default_factory=dict)
    claimants: Mapping[int, Claimant] = field(default_factory=dict)
    others: Sequence[Campaign] = ()

    def upcoming(self, slots: Mapping[int, int]) -> dict[int, list[Running]]:
        """Return which of the held tasks do not run yet, by campaign.

        A worker claims a task shortly before a place is free, so what it holds beyond its places
        comes next. `slots` are the places by worker; of one that is not in it, all run.
        """
        held: dict[int, list[tuple[dt.datetime, int, Running]]] = defaultdict(list)
        for campaign, tasks in self.running.items():
            for task in tasks:
                if task.worker_id in slots:
                    held[task.worker_id].append((task.started_at, campaign, task))
        found: dict[int, list[Running]] = defaultdict(list)
        for worker, tasks_of in held.items():
            for _, campaign, task in sorted(tasks_of)[slots[worker] :]:
                found[campaign].append(task)
        return dict(found)

    @property
    def smallest_account(self) -> float:
        """Where the account of a campaign that is launched now begins, of those with tasks."""
        accounts = [
            each.account for each in self.claimants.values() if each.campaign in self.pending
        ]
        return min(accounts, default=0.0)


def queue_of(campaigns: Sequence[Campaign]) -> Queue:
    """Return what runs of all campaigns, and what waits if others than one wait. One query.

    Turns matter only between campaigns, so what waits of one alone is not counted.
    """
    listed = {campaign.pk for campaign in campaigns}
    active = [campaign.pk for campaign in campaigns if campaign.state == CampaignState.ACTIVE]
    running: dict[int, list[Running]] = defaultdict(list)
    pending: dict[int, int] = {}
    claimants, others = {}, []
    for what, at, campaign, until, holder, columns, _, number in _QUEUE.rows(
        alone=active[0] if len(active) == 1 else _NOBODY
    ):
        if what == _RUNS:
            running[campaign] += [Running(at, until, holder)] * number
        elif what == _WAITS:
            pending[campaign] = number
        else:
            claimants[campaign] = _claimant(campaign, columns)
            if campaign not in listed:
                others.append(_campaign(campaign, columns))
    others.sort(key=lambda campaign: campaign.pk)
    return Queue(dict(running), pending, claimants, others)


def _queue() -> QuerySet[Any, Any]:
    runs = Task.objects.filter(state=TaskState.LEASED, attempts__outcome=AttemptOutcome.RUNNING)
    pending = Task.objects.filter(state=TaskState.PENDING, campaign__state=CampaignState.ACTIVE)
    own = Task.objects.filter(campaign=OuterRef("pk")).order_by()
    waits = Q(Exists(own.filter(state=TaskState.PENDING)), state=CampaignState.ACTIVE)
    rivals = Campaign.objects.filter(waits).order_by().exclude(pk=Slot("alone", BigIntegerField()))
    holds = Exists(own.filter(state=TaskState.LEASED))
    # The index of waiting tasks has all that is read of these.
    rows = _rows(runs, _RUNS, F("attempts__started_at"), F("lease_expires_at"), F("worker_id"))
    rows = rows.union(
        _rows(pending.filter(Exists(rivals)), _WAITS, _NO_TIME, *_NO_LEASE),
        _campaigns(Campaign.objects.filter(waits | Q(holds)).order_by()),
        all=True,
    )
    return rows.order_by("what", "at", "first")[:MOST_ROWS]


def _rows(tasks: QuerySet[Task], what: str, at: Any, until: Any, holder: Any) -> QuerySet[Any, Any]:
    """Group tasks by their times, with the first of each group and how many it has."""
    alike = tasks.order_by().annotate(
        what=Value(what, models.CharField()),
        at=at,
        until=until,
        holder=holder,
        columns=Value(None, models.JSONField()),
    )
    grouped = alike.values_list("what", "at", "campaign_id", "until", "holder", "columns")
    return grouped.annotate(first=Min("pk"), number=Count("*"))


def _campaigns(campaigns: QuerySet[Campaign]) -> QuerySet[Any, Any]:
    """Return the columns of campaigns as rows of the queue, so that no further query loads them."""
    rows = campaigns.annotate(
        what=Value(_CAMPAIGN, models.CharField()),
        at=_NO_TIME,
        until=_NO_LEASE[0],
        holder=_NO_LEASE[1],
        columns=JSONObject(**{name: F(name) for name in (*_COLUMNS, *_SHARE)}),
        first=Value(0, models.BigIntegerField()),
        number=Value(0, models.BigIntegerField()),
    )
    return rows.values_list("what", "at", "pk", "until", "holder", "columns", "first", "number")


# Each page of a campaign and each list asks it.
_QUEUE: Final = Prepared(_queue)


def _claimant(pk: int, columns: dict[str, Any]) -> Claimant:
    owner, place, account, weight = (columns[name] for name in _SHARE)
    seconds = columns["time_budget_seconds"]
    return Claimant(pk, owner, place, account or 0.0, weight or DEFAULT_WEIGHT, seconds)


def _campaign(pk: int, columns: dict[str, Any]) -> Campaign:
    own = {name: columns[name] for name in _COLUMNS if not name.startswith(_PACKAGE)}
    of_package = {
        name.removeprefix(_PACKAGE): columns[name] for name in _COLUMNS if name.startswith(_PACKAGE)
    }
    return Campaign(pk=pk, package=Package(**of_package), **own)
