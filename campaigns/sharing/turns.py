"""Fair shares by virtual time: which campaign each task of a claim comes from.

Every campaign has an account: the seconds of budget that it was handed out, divided by its weight.
The next turn belongs to the campaign with the smallest account, so campaigns with waiting tasks get
time in proportion to their weights, and each has its turn once in a round. The campaigns of one
owner pool their turns: whoever of them the owner put first takes them.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

# After so often dividing anew a claim takes what it has; the worker asks again soon.
MOST_ROUNDS: Final = 16
# Behind all campaigns to which the owner gave a place.
_NO_PLACE: Final = float("inf")


class Claimant(NamedTuple):
    """A campaign that has a task for the worker.

    `account` is in virtual seconds, `seconds` is the budget of one of its tasks. `owner` is None
    for the campaigns of the command line, which count as those of one owner; `place` is None where
    the owner gave none.
    """

    campaign: int
    owner: int | None
    place: int | None
    account: float
    weight: float
    seconds: float

    @property
    def rank(self) -> float:
        """Its place in the owner's order; the smallest takes the turns of all."""
        return _NO_PLACE if self.place is None else self.place


class Turn(NamedTuple):
    """A task of `campaign` is next, and the account of `payer` grows by it."""

    campaign: int
    payer: int


class Turns:
    """The next turns of these claimants, of which each has any number of tasks until `drop`."""

    def __init__(self, claimants: Iterable[Claimant]) -> None:
        self._claimants = {claimant.campaign: claimant for claimant in claimants}
        self._accounts = {key: claimant.account for key, claimant in self._claimants.items()}
        self._heap = [(account, key) for key, account in self._accounts.items()]
        heapq.heapify(self._heap)
        # Of each owner, those that are first in the owner's order.
        self._leading: dict[int | None, set[int]] = {}
        self._owned: dict[int | None, set[int]] = defaultdict(set)
        for key, claimant in self._claimants.items():
            self._owned[claimant.owner].add(key)
        for owner in self._owned:
            self._order(owner)

    def next(self) -> Turn | None:
        """Return the next turn; None without a claimant."""
        while self._heap:
            account, payer = self._heap[0]
            if self._accounts.get(payer) != account:
                heapq.heappop(self._heap)  # dropped, or its account changed since
                continue
            leading = self._leading[self._claimants[payer].owner]
            taker = (
                payer
                if payer in leading
                else min(leading, key=lambda key: (self._accounts[key], key))
            )
            self._charge(payer, self._claimants[taker].seconds)
            return Turn(taker, payer)
        return None

    def refund(self, turn: Turn) -> None:
        """Take a turn back that brought no task."""
        if turn.payer in self._accounts:
            self._charge(turn.payer, -self._claimants[turn.campaign].seconds)

    def drop(self, campaign: int) -> None:
        """Leave out a campaign that has no more tasks."""
        del self._accounts[campaign]
        owner = self._claimants[campaign].owner
        self._owned[owner].discard(campaign)
        self._order(owner)

    def _charge(self, payer: int, seconds: float) -> None:
        self._accounts[payer] += seconds / self._claimants[payer].weight
        heapq.heappush(self._heap, (self._accounts[payer], payer))

    def _order(self, owner: int | None) -> None:
        ranks = {key: self._claimants[key].rank for key in self._owned[owner]}
        first = min(ranks.values(), default=_NO_PLACE)
        self._leading[owner] = {key for key, rank in ranks.items() if rank == first}


def take_turns(
    claimants: Iterable[Claimant],
    count: int,
    take: Callable[[Mapping[int, int]], Mapping[int, Sequence[T]]],
) -> list[tuple[T, int]]:
    """Hand out up to `count` tasks; return each with the campaign whose account it is on.

    `take` is asked for so many tasks of each campaign, and returns those that it got, none of them
    twice. A campaign of which it got fewer drops out, and the rest is divided anew.
    """
    turns = Turns(claimants)
    given: list[tuple[T, int]] = []
    for _ in range(MOST_ROUNDS):
        planned: dict[int, list[Turn]] = defaultdict(list)
        for _ in range(count - len(given)):
            if turn := turns.next():
                planned[turn.campaign].append(turn)
        if not planned:
            break
        taken = take({campaign: len(its_turns) for campaign, its_turns in planned.items()})
        for campaign, its_turns in planned.items():
            tasks = taken.get(campaign, ())
            given += [(task, turn.payer) for task, turn in zip(tasks, its_turns, strict=False)]
            if len(tasks) < len(its_turns):
                for turn in its_turns[len(tasks) :]:
                    turns.refund(turn)
                turns.drop(campaign)
    return given
