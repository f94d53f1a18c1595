"""In which order the waiting tasks of campaigns with shares are handed out, for forecasts.

Tasks flow: between two virtual times each campaign is handed its weight in seconds of budget for
each virtual second. What is handed out between them becomes one batch per campaign.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from campaigns.sharing.turns import Claimant

# About so many batches in all, of which each costs a forecast a step.
MOST_BATCHES: Final = 2_000
# Between so many virtual times at most, however few campaigns there are.
MOST_STEPS: Final = 64
# What rounding may take from a task that is due.
_NEARLY: Final = 1e-9


class Batch(NamedTuple):
    """Tasks of one campaign that are handed out one after the other."""

    campaign: int
    tasks: int


@dataclass
class _Waiting:
    """A campaign's tasks that wait, and how many of them are in a batch."""

    claimant: Claimant
    tasks: int
    given: int = 0

    @property
    def ends_at(self) -> float:
        """The virtual time at which its last task is handed out, if only its own turns are."""
        claimant = self.claimant
        return claimant.account + self.seconds / claimant.weight

    @property
    def seconds(self) -> float:
        """The budgets of all its tasks."""
        return self.tasks * self.claimant.seconds

    @property
    def left(self) -> int:
        return self.tasks - self.given

    def seconds_until(self, at: float) -> float:
        """Return the seconds of its own turns until a virtual time."""
        claimant = self.claimant
        return (min(at, self.ends_at) - claimant.account) * claimant.weight


def _pooled(owned: Sequence[_Waiting], at: float) -> list[tuple[_Waiting, float]]:
    """Return what each of an owner's campaigns is handed until a virtual time, in seconds.

    Their turns together go to those that the owner put first; equals share by their own turns.
    """
    own = {each.claimant.campaign: max(0.0, each.seconds_until(at)) for each in owned}
    pooled, handed = sum(own.values()), []
    for rank in sorted({each.claimant.rank for each in owned}):
        equals = [each for each in owned if each.claimant.rank == rank]
        turns = sum(own[each.claimant.campaign] for each in equals)
        whole = sum(each.seconds for each in equals)
        for each in equals:
            part = own[each.claimant.campaign] / turns if turns else 1 / len(equals)
            handed.append((each, each.seconds if pooled >= whole else pooled * part))
        pooled = max(0.0, pooled - whole)
    return handed


def _give(waiting: _Waiting, seconds: float) -> int:
    """Hand out what so many seconds since the beginning are worth; return how many more tasks."""
    until = min(waiting.tasks, int(seconds / waiting.claimant.seconds + _NEARLY))
    new = max(0, until - waiting.given)
    waiting.given += new
    return new


def waiting_order(waiting: Iterable[tuple[Claimant, int]]) -> list[Batch]:
    """Return all of these tasks in the order in which they are handed out.

    Each claimant comes with how many tasks it has. One that ends at a virtual time comes last of
    what is handed out until then, because the others have had their part by then.
    """
    known = [_Waiting(claimant, tasks) for claimant, tasks in waiting if tasks > 0]
    owners: dict[int | None, list[_Waiting]] = defaultdict(list)
    for each in known:
        owners[each.claimant.owner].append(each)
    batches: list[Batch] = []
    for at in _steps(known, owners.values()):
        handed = [pair for owned in owners.values() for pair in _pooled(owned, at)]
        given = [(each, tasks) for each, seconds in handed if (tasks := _give(each, seconds))]
        ending = [each for each, _ in given if not each.left]
        if len(ending) > 1:
            # Each has its last task when the others have had all but that.
            given = [(each, tasks - (not each.left)) for each, tasks in given]
            given += [(each, 1) for each in ending]
        else:
            given.sort(key=lambda pair: not pair[0].left)
        batches += [Batch(each.claimant.campaign, tasks) for each, tasks in given if tasks]
    # What rounding left.
    batches += [Batch(each.claimant.campaign, each.left) for each in known if each.left]
    return batches


def _steps(known: Sequence[_Waiting], owners: Iterable[Sequence[_Waiting]]) -> list[float]:
    """Return the virtual times at which the order changes, thinned out where they are many."""
    times = {each.claimant.account for each in known} | {each.ends_at for each in known}
    steps = _thinned(times, len(known))
    for owned in owners:
        if len({each.claimant.rank for each in owned}) > 1:
            times |= _ends_by_rank(owned, steps)
    return _thinned(times, len(known))


def _thinned(times: set[float], campaigns: int) -> list[float]:
    steps = sorted(times)
    most = max(2, min(MOST_STEPS, MOST_BATCHES // max(1, campaigns)))
    if len(steps) > most:
        steps = [steps[(step + 1) * len(steps) // most - 1] for step in range(most)]
    return steps


def _ends_by_rank(owned: Sequence[_Waiting], steps: Sequence[float]) -> set[float]:
    """Return when those of each rank have all they want of what the owner is handed together."""
    wanted = defaultdict[float, float](float)
    for each in owned:
        wanted[each.claimant.rank] += each.seconds
    ends, until = set(), 0.0
    handed = [(at, sum(max(0.0, each.seconds_until(at)) for each in owned)) for at in steps]
    for _, seconds in sorted(wanted.items()):
        until += seconds
        for (before, less), (at, more) in pairwise(handed):
            if less < until <= more:
                ends.add(before + (at - before) * (until - less) / (more - less))
                break
    return ends
