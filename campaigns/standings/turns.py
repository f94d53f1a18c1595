"""When the tasks of campaigns that share machines get their turn. Pure: no database, no clock.

A free slot takes the next task that its machine may run, of whichever campaign. Here tasks flow:
a batch is work that the free slots do together, and a slot that runs a task is free when that ends.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from campaigns.sharing.order import Batch

# Of a batch that is done up to so little nothing is left.
_NOTHING: Final = 1e-9


class Busy(NamedTuple):
    """A slot of a machine that runs a task for so many seconds more."""

    machine: int
    seconds: float


@dataclass(frozen=True)
class Turn:
    """When the waiting tasks of a campaign are done, in seconds from now; `ends` may be infinite.

    The last of its batches begins after `last_begins`. `ahead` tasks of other campaigns are handed
    out before its last one, by machines that it needs; of all that work its own is `share`.
    """

    last_begins: float
    ends: float
    ahead: int = 0
    share: float = 1.0


@dataclass
class _Group:
    """Machines that may run the same campaigns: their slots, and tasks per second of a slot."""

    slots: int
    rates: dict[int, float]
    busy: int = 0
    # The first batch that may still be for them.
    place: int = 0

    @property
    def free(self) -> int:
        return max(0, self.slots - self.busy)


def turns(
    queue: Iterable[Batch],
    slots: Mapping[int, int],
    seconds: Mapping[int, Mapping[int, float]],
    busy: Iterable[Busy],
) -> dict[int, Turn]:
    """Return when each campaign of the queue has had its turn.

    `slots` are those of each machine; `seconds[campaign][machine]` is what a task takes there, for
    the machines that may run it (infinite: nobody knows). `queue` is in the order in which tasks
    are handed out; a batch that no machine may run holds up nobody.
    """
    batches = _merged(batch for batch in queue if seconds.get(batch.campaign))
    groups = _groups(slots, seconds)
    releases = []
    for machine, left in sorted(busy, key=lambda run: run.seconds):
        if group := groups.get(_key(machine, seconds)):
            group.busy += 1
            releases.append((left, group))
    begins, ends = _flow(batches, list(groups.values()), releases)
    last = {batch.campaign: place for place, batch in enumerate(batches)}
    ahead = _ahead(batches, last, seconds)
    return {
        campaign: Turn(begins.get(place, math.inf), ends.get(place, math.inf), *ahead[campaign])
        for campaign, place in last.items()
    }


def _merged(queue: Iterable[Batch]) -> list[Batch]:
    batches: list[Batch] = []
    for batch in queue:
        if batches and batches[-1].campaign == batch.campaign:
            batches[-1] = Batch(batch.campaign, batches[-1].tasks + batch.tasks)
        elif batch.tasks > 0:
            batches.append(batch)
    return batches


def _key(machine: int, seconds: Mapping[int, Mapping[int, float]]) -> frozenset[int]:
    return frozenset(campaign for campaign, times in seconds.items() if machine in times)


def _groups(
    slots: Mapping[int, int], seconds: Mapping[int, Mapping[int, float]]
) -> dict[frozenset[int], _Group]:
    alike: dict[frozenset[int], list[int]] = defaultdict(list)
    for machine in slots:
        alike[_key(machine, seconds)].append(machine)
    groups = {}
    for campaigns, machines in alike.items():
        number = sum(slots[machine] for machine in machines)
        groups[campaigns] = _Group(
            number,
            {
                campaign: sum(slots[m] / seconds[campaign][m] for m in machines) / number
                for campaign in campaigns
            },
        )
    return groups


def _flow(
    batches: Sequence[Batch], groups: Sequence[_Group], releases: list[tuple[float, _Group]]
) -> tuple[dict[int, float], dict[int, float]]:
    """Return when each batch begins and ends, by its place in the queue, for those that do."""
    left = [float(batch.tasks) for batch in batches]
    begins: dict[int, float] = {}
    ends: dict[int, float] = {}
    released, time = 0, 0.0
    while len(ends) < len(batches):
        rates: dict[int, float] = defaultdict(float)
        for group in groups:
            while group.place < len(batches) and (
                group.place in ends or batches[group.place].campaign not in group.rates
            ):
                group.place += 1
            if group.free and group.place < len(batches):
                rates[group.place] += group.free * group.rates[batches[group.place].campaign]
        for place in rates:
            begins.setdefault(place, time)
        step = min((left[place] / rate for place, rate in rates.items() if rate), default=math.inf)
        if released < len(releases):
            step = min(step, releases[released][0] - time)
        if step == math.inf:
            break
        time += step
        for place, rate in rates.items():
            left[place] -= rate * step
            if left[place] <= _NOTHING * batches[place].tasks:
                ends[place] = time
        while released < len(releases) and releases[released][0] <= time:
            releases[released][1].busy -= 1
            released += 1
    return begins, ends


def _ahead(
    batches: Sequence[Batch], last: Mapping[int, int], seconds: Mapping[int, Mapping[int, float]]
) -> dict[int, tuple[int, float]]:
    """Return by campaign how many tasks of others are ahead of its last, and its share of work."""
    needed = {batch.campaign: seconds[batch.campaign] for batch in batches}
    mean = {campaign: sum(times.values()) / len(times) for campaign, times in needed.items()}
    able = {campaign: frozenset(times) for campaign, times in needed.items()}
    handed_out: Counter[int] = Counter()
    found = {}
    for place, (campaign, tasks) in enumerate(batches):
        handed_out[campaign] += tasks
        if last[campaign] == place:
            # Few kinds of machines, however many campaigns.
            rivals = {kind for kind in set(able.values()) if kind & able[campaign]}
            others = [key for key in handed_out if key != campaign and able[key] in rivals]
            own = handed_out[campaign] * mean[campaign]
            theirs = sum(handed_out[key] * mean[key] for key in others)
            share = own / (own + theirs) if math.isfinite(theirs) and own else 0.0
            found[campaign] = (sum(handed_out[key] for key in others), share)
    return found
