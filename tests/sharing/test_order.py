"""The order in which tasks that wait are handed out, and that real turns follow it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from campaigns.sharing.order import MOST_BATCHES, Batch, waiting_order
from campaigns.sharing.turns import Claimant, Turns
from tests.sharing.test_turns import claimant

Waiting = Sequence[tuple[Claimant, int]]


def ends(order: Sequence[Batch]) -> dict[int, int]:
    """Return after how many tasks each campaign has its last one."""
    count, last = 0, {}
    for batch in order:
        count += batch.tasks
        last[batch.campaign] = count
    return last


def real_ends(waiting: Waiting) -> dict[int, int]:
    """Return the same of turns taken one by one."""
    turns = Turns(each for each, _ in waiting)
    left = {each.campaign: tasks for each, tasks in waiting}
    count, last = 0, {}
    while turn := turns.next():
        count += 1
        left[turn.campaign] -= 1
        if not left[turn.campaign]:
            last[turn.campaign] = count
            turns.drop(turn.campaign)
    return last


def test_one_campaign_is_one_batch() -> None:
    assert waiting_order([(claimant(1), 1)]) == [Batch(1, 1)]
    assert ends(waiting_order([(claimant(1), 7)])) == {1: 7}
    assert waiting_order([(claimant(1), 0)]) == waiting_order([]) == []


def test_a_small_campaign_ends_when_it_has_had_its_share() -> None:
    assert ends(waiting_order([(claimant(1), 100), (claimant(2), 10)])) == {1: 110, 2: 20}


def test_equal_campaigns_end_together() -> None:
    order = waiting_order([(claimant(number), 60) for number in range(3)])
    assert ends(order) == {0: 178, 1: 179, 2: 180}


def test_who_is_behind_comes_first() -> None:
    assert ends(waiting_order([(claimant(1, account=100.0), 10), (claimant(2), 5)])) == {
        1: 15,
        2: 5,
    }


@pytest.mark.parametrize("seed", range(20))
def test_campaigns_end_where_their_turns_would_let_them(seed: int) -> None:
    draws = random.Random(seed)
    waiting = [
        (
            claimant(
                number,
                owner=draws.randrange(4),
                account=draws.choice([0.0, 50.0, 300.0]),
                weight=draws.choice([0.5, 1.0, 2.0]),
                seconds=draws.choice([10.0, 30.0]),
            ),
            draws.randrange(1, 200),
        )
        for number in range(8)
    ]
    foretold, real = ends(waiting_order(waiting)), real_ends(waiting)
    assert foretold.keys() == real.keys()
    # Tasks do not flow: within a round each may have its turn sooner or later.
    a_round = max(each.seconds / each.weight for each, _ in waiting)
    tasks = sum(a_round * each.weight / each.seconds for each, _ in waiting)
    for campaign, count in real.items():
        assert foretold[campaign] == pytest.approx(count, abs=tasks + len(waiting))


def test_the_owners_first_campaign_ends_first_and_costs_others_nothing() -> None:
    first, later = claimant(1, owner=7, place=1), claimant(2, owner=7)
    waiting = [(first, 60), (later, 60), (claimant(3), 60)]
    order = waiting_order(waiting)
    assert ends(order[: order.index(Batch(2, 59))]) == {1: 90, 3: 30}
    assert real_ends(waiting)[1] == pytest.approx(90, abs=1)


def test_equals_behind_the_first_share_what_it_leaves() -> None:
    mine = [(claimant(1, owner=7, place=1), 10), *((claimant(n, owner=7), 50) for n in (2, 3))]
    order = waiting_order(mine)
    assert order[0] == Batch(1, 10)
    # Neither of both has all of its tasks before the other has any.
    halves = Counter[int]()
    for batch in order[1:-1]:
        halves[batch.campaign] += batch.tasks
    assert min(halves[2], halves[3]) > 0


def test_every_task_of_many_campaigns_is_in_few_batches() -> None:
    draws = random.Random(1)
    waiting = [
        (claimant(number, account=draws.uniform(0, 100)), draws.randrange(1, 1_000))
        for number in range(1_000)
    ]
    order = waiting_order(waiting)
    assert len(order) <= MOST_BATCHES + 1_000
    counted = Counter[int]()
    for batch in order:
        assert batch.tasks > 0
        counted[batch.campaign] += batch.tasks
    assert counted == {each.campaign: tasks for each, tasks in waiting}
