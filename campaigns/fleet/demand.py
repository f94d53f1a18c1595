"""How many workers a fleet should have: what waits for it, by need, and what its workers hold.

Schedulers ask often, so the cost does not grow with the tasks: every count stops at a bound, and
the number of queries depends on the kinds of needs alone, which are few.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from campaigns.models import Campaign, Task, TaskState
from campaigns.models.task import oldest_of, since_when_due
from workers.fleet_token import FleetToken
from workers.models import SHUT_OUT, Worker, called_lately
from workers.protocol import FleetDemand, FleetNeed, IsolationTier

# Of each need so many tasks are counted at least, and as many as the fleet can run at a time.
MOST_COUNTED: Final = 10_000
# What its workers were able to within this time tells what the next ones will be.
REMEMBERED: Final = dt.timedelta(days=7)
DEVICES: Final = ("cpu", "cuda", "mps")
ANY_DEVICE: Final = "any"


class _Kind(NamedTuple):
    """Workers of a fleet that are alike, live and retired ones."""

    isolation: str
    simulates: bool
    accepts_uploaded_scripts: bool
    device: str | None
    live: int
    # Tasks that the live ones run at a time.
    slots: int

    @property
    def tier(self) -> str:
        """Their isolation tier; an agent that reports none counts as the weakest."""
        return self.isolation or IsolationTier.T0.value


class _Need(NamedTuple):
    """What tasks want of a worker: a device, and the weakest tier that may run them."""

    device: str
    tier: str

    def met_by(self, kind: _Kind) -> bool:
        has_device = self.device in {ANY_DEVICE, "cpu"} or self.device == kind.device
        return has_device and kind.tier >= self.tier


@dataclass(frozen=True)
class _Fleet:
    """A fleet's workers by kind."""

    max_live: int
    kinds: Sequence[_Kind]

    @property
    def slots(self) -> int:
        """Tasks that one of its workers runs at a time, on average; 1 while nobody knows."""
        live = sum(kind.live for kind in self.kinds)
        return max(1, sum(kind.slots for kind in self.kinds) // live) if live else 1

    def live(self, need: _Need | None = None) -> int:
        """How many of its live workers meet the need."""
        return sum(kind.live for kind in self.kinds if need is None or need.met_by(kind))

    def wanted(self, tasks: int) -> int:
        """How many workers run so many tasks at a time."""
        return min(self.max_live, -(-tasks // self.slots))

    def able(self) -> Worker:
        """Return a worker, unsaved, with all that any worker of the fleet is able to.

        While none has told what it is, the next one may be able to everything.
        """
        known = [kind for kind in self.kinds if kind.isolation]
        return Worker(
            isolation=max((kind.tier for kind in known), default=max(IsolationTier).value),
            simulates=bool(known) and all(kind.simulates for kind in known),
            accepts_uploaded_scripts=not known
            or any(kind.accepts_uploaded_scripts for kind in known),
        )


def demand(token: FleetToken, *, now: dt.datetime) -> FleetDemand:
    """Return how many workers the fleet of this token should have, and why."""
    fleet = _Fleet(token.max_live, _kinds(token, now))
    waiting = _waiting(fleet, now)
    needs: dict[_Need, list[int]] = {}
    for campaign, _ in waiting:
        needs.setdefault(_need(campaign), []).append(campaign.pk)
    most = max(MOST_COUNTED, token.max_live * fleet.slots)
    claimable = {need: _count(keys, most, now) for need, keys in needs.items()}
    leased = _leased(token)
    rows = [_row(fleet, need, claimable, leased) for need in sorted({*claimable, *leased})]
    firsts = [first for _, first in waiting]
    total = sum(claimable.values()) + sum(leased.values())
    return {
        "claimable": sum(claimable.values()),
        "leased": sum(leased.values()),
        "oldest_wait_seconds": (now - min(firsts)).total_seconds() if firsts else None,
        "live_workers": fleet.live(),
        "wanted_workers": fleet.wanted(total),
        "max_live": token.max_live,
        "needs": rows,
    }


def _row(
    fleet: _Fleet, need: _Need, claimable: Mapping[_Need, int], leased: Mapping[_Need, int]
) -> FleetNeed:
    waits, held = claimable.get(need, 0), leased.get(need, 0)
    return {
        "device": need.device,
        "tier": need.tier,
        "claimable": waits,
        "leased": held,
        "live_workers": fleet.live(need),
        "wanted_workers": fleet.wanted(waits + held),
    }


def _kinds(token: FleetToken, now: dt.datetime) -> list[_Kind]:
    """Return the fleet's workers by kind: one query, with a row for each kind."""
    # The tasks of those that were silent for longer go to other workers, so others are wanted.
    # Their places in the fleet stay theirs until they are retired.
    live = ~Q(state__in=SHUT_OUT) & called_lately(now)
    of_token = Worker.objects.filter(fleet_token=token, last_seen_at__gte=now - REMEMBERED)
    device = F("hardware__devices__0")
    groups = of_token.order_by().annotate(device_name=device)
    columns = "isolation", "simulates", "accepts_uploaded_scripts", "device_name"
    counted = groups.values_list(*columns).annotate(
        live=Count("pk", filter=live),
        all_slots=Coalesce(Sum(Coalesce("slots", 1), filter=live), 0),
    )
    return [_Kind(*row) for row in counted]


def _waiting(fleet: _Fleet, now: dt.datetime) -> list[tuple[Campaign, dt.datetime]]:
    """Return the campaigns with tasks for the fleet, each with when the first became due."""
    able = fleet.able()
    campaigns = Campaign.objects.handing_out_to(able).runnable_by(able)
    columns = campaigns.only("required_isolation", "search_space").order_by("pk")
    waiting = []
    for campaign in columns.annotate(**since_when_due(now)):
        first = oldest_of(campaign)
        if first is not None:
            waiting.append((campaign, first))
    return waiting


def _count(campaigns: Sequence[int], most: int, now: dt.datetime) -> int:
    """Count the due tasks of these campaigns, up to `most`."""
    return Task.objects.filter(campaign__in=campaigns).due(now).order_by()[:most].count()


def _leased(token: FleetToken) -> Counter[_Need]:
    """Count the tasks that the fleet's workers hold, by need: two queries."""
    tasks = Task.objects.filter(state=TaskState.LEASED, worker__fleet_token=token)
    grouped = tasks.order_by().values_list("campaign").annotate(number=Count("*"))
    numbers = dict(grouped)
    held: Counter[_Need] = Counter()
    campaigns = Campaign.objects.filter(pk__in=numbers)
    for campaign in campaigns.only("required_isolation", "search_space"):
        held[_need(campaign)] += numbers[campaign.pk]
    return held


def _need(campaign: Campaign) -> _Need:
    """Return what the campaign's tasks want of a worker.

    They want a device when its search space allows a single one.
    """
    parameters = campaign.search_space.get("parameters", [])
    values = [each.get("values") for each in parameters if each.get("name") == "device"]
    device = values[0][0] if values and values[0] and len(values[0]) == 1 else ANY_DEVICE
    return _Need(device if device in DEVICES else ANY_DEVICE, campaign.required_isolation)
