"""How the tasks of a claim come from several campaigns in turn, and who is charged for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django.db import transaction

from campaigns.lifecycle.charges import CHARGES
from campaigns.models import Attempt, Task, TaskQuerySet
from campaigns.sharing.turns import Claimant, take_turns
from workers.models import Worker


class Offer(NamedTuple):
    """The tasks that wait for a worker, and the campaigns that take turns with them."""

    worker: Worker
    waiting: TaskQuerySet
    claimants: Sequence[Claimant]


def locked_in_turn(offer: Offer, waiting: TaskQuerySet, count: int) -> dict[Task, int]:
    """Lock up to `count` tasks; return them, each with the campaign that pays for it."""
    taken: dict[int, list[int]] = {}

    def lock(numbers: Mapping[int, int]) -> dict[int, list[Task]]:
        tasks = {}
        for campaign, number in numbers.items():
            own = waiting.filter(campaign=campaign)
            if earlier := taken.get(campaign):
                own = own.exclude(pk__in=earlier)
            tasks[campaign] = list(locked(own)[:number])
            taken.setdefault(campaign, []).extend(task.pk for task in tasks[campaign])
        return tasks

    return dict(take_turns(offer.claimants, count, lock))


def locked(waiting: TaskQuerySet) -> TaskQuerySet:
    """Lock the tasks with their campaigns loaded; those that another claim has locked are left."""
    return waiting.select_related("campaign").select_for_update(skip_locked=True, of=("self",))


def charge(leased: Sequence[tuple[Attempt, int]], offered: Sequence[Claimant]) -> None:
    """Let the accounts grow by what was handed out, once it is committed.

    `leased` has each new attempt with the campaign that pays for it.
    """
    weights = {claimant.campaign: claimant.weight for claimant in offered}
    charges: dict[int, float] = defaultdict(float)
    for attempt, payer in leased:
        charges[payer] += (attempt.time_budget_seconds or 0.0) / weights[payer]
    transaction.on_commit(lambda: CHARGES.add(charges), robust=True)
