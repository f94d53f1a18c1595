"""Fair shares by virtual time: who gets what of many turns, and who waits how long."""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

import pytest

from campaigns.sharing.turns import Claimant, Turns, take_turns


def claimant(campaign: int, **fields: object) -> Claimant:
    """Return a claimant of an owner of its own."""
    usual = {"owner": campaign, "place": None, "account": 0.0, "weight": 1.0, "seconds": 10.0}
    return Claimant(campaign, **(usual | fields))  # type: ignore[arg-type]


def order(claimants: Sequence[Claimant], count: int) -> list[int]:
    """Return whose tasks are the next `count`."""
    turns = Turns(claimants)
    return [turn.campaign for _ in range(count) if (turn := turns.next())]


def endless(numbers: Mapping[int, int]) -> dict[int, list[int]]:
    """Give as many tasks as asked for; a task is the number of its campaign."""
    return {campaign: [campaign] * number for campaign, number in numbers.items()}


def stock(tasks: dict[int, int]) -> Callable[[Mapping[int, int]], dict[int, list[int]]]:
    """Give tasks until these are used up."""

    def take(numbers: Mapping[int, int]) -> dict[int, list[int]]:
        given = {}
        for campaign, number in numbers.items():
            some = min(number, tasks.get(campaign, 0))
            tasks[campaign] = tasks.get(campaign, 0) - some
            given[campaign] = [campaign] * some
        return given

    return take


class Fleet:
    """Campaigns that claims of a fleet are handed tasks of, with their accounts."""

    def __init__(self, claimants: Sequence[Claimant]) -> None:
        self.claimants = {each.campaign: each for each in claimants}
        self.seconds: Counter[int] = Counter()

    def claim(self, count: int) -> list[int]:
        """Hand out tasks, and charge for them; return their campaigns."""
        given = take_turns(self.claimants.values(), count, endless)
        for campaign, payer in given:
            seconds = self.claimants[campaign].seconds
            self.seconds[campaign] += round(seconds)
            paying = self.claimants[payer]
            grown = paying.account + seconds / paying.weight
            self.claimants[payer] = paying._replace(account=grown)
        return [campaign for campaign, _ in given]

    @property
    def spread(self) -> float:
        """How far the accounts are apart, in virtual seconds."""
        accounts = [each.account for each in self.claimants.values()]
        return max(accounts) - min(accounts)


def test_equal_campaigns_take_turns_whatever_their_ids() -> None:
    assert order([claimant(3), claimant(1), claimant(2)], 6) == [1, 2, 3, 1, 2, 3]


def test_the_smallest_account_goes_first_until_it_has_caught_up() -> None:
    behind, ahead = claimant(2, account=5.0), claimant(1, account=30.0)
    assert order([ahead, behind], 5) == [2, 2, 2, 1, 2]


def test_twice_the_weight_is_twice_the_time() -> None:
    assert Counter(order([claimant(1, weight=2.0), claimant(2)], 300)) == {1: 200, 2: 100}


def test_shares_are_of_time_not_of_tasks() -> None:
    short, long = claimant(1, seconds=10.0), claimant(2, seconds=90.0)
    assert Counter(order([short, long], 1_000)) == {1: 900, 2: 100}


@pytest.mark.parametrize("seed", range(3))
def test_the_shares_of_1000_campaigns_are_those_of_their_weights(seed: int) -> None:
    draws = random.Random(seed)
    fleet = Fleet(
        [
            claimant(
                number,
                weight=draws.choice([0.5, 1.0, 1.0, 1.0, 2.0, 5.0]),
                seconds=draws.choice([10.0, 30.0, 60.0, 120.0]),
                # Of a few owners, who put none of their campaigns first.
                owner=draws.randrange(20),
            )
            for number in range(1_000)
        ]
    )
    a_round = max(each.seconds / each.weight for each in fleet.claimants.values())
    turns = Turns(fleet.claimants.values())
    for _ in range(300_000):
        turn = turns.next()
        assert turn is not None
        assert turn.payer == turn.campaign
        fleet.seconds[turn.campaign] += round(fleet.claimants[turn.campaign].seconds)
    weights = sum(each.weight for each in fleet.claimants.values())
    total = fleet.seconds.total()
    for campaign, each in fleet.claimants.items():
        fair = total * each.weight / weights
        assert fleet.seconds[campaign] == pytest.approx(fair, rel=0.1), each
    # Nobody waits longer than a round: no account is further behind than one turn costs.
    accounts = [fleet.seconds[key] / each.weight for key, each in fleet.claimants.items()]
    assert max(accounts) - min(accounts) <= a_round


@pytest.mark.parametrize("seed", range(5))
def test_nobody_is_ever_more_than_a_round_behind_however_claims_come(seed: int) -> None:
    draws = random.Random(seed)
    fleet = Fleet(
        [
            claimant(number, weight=draws.uniform(0.1, 10), seconds=draws.uniform(1, 100))
            for number in range(40)
        ]
    )
    a_round = max(each.seconds / each.weight for each in fleet.claimants.values())
    for _ in range(1_000):
        fleet.claim(draws.choice([1, 1, 2, 16, 64]))
        assert fleet.spread <= a_round * (1 + 1e-9)


def test_between_two_turns_of_a_campaign_each_equal_other_has_one() -> None:
    last_turn: dict[int, int] = {}
    for number, campaign in enumerate(order([claimant(key) for key in range(1_000)], 5_000)):
        assert number - last_turn.get(campaign, number - 1_000) == 1_000
        last_turn[campaign] = number


def test_a_newcomer_at_the_smallest_account_has_its_share_and_no_more() -> None:
    fleet = Fleet([claimant(1), claimant(2)])
    for _ in range(100):
        fleet.claim(4)
    smallest = min(each.account for each in fleet.claimants.values())
    fleet.claimants[3] = claimant(3, account=smallest)
    assert Counter(fleet.claim(3)) == {1: 1, 2: 1, 3: 1}
    fleet.seconds.clear()
    for _ in range(100):
        fleet.claim(3)
    assert fleet.seconds == {1: 1_000, 2: 1_000, 3: 1_000}


# --- the owner's order ----------------------------------------------------------------------------


def test_whom_the_owner_put_first_takes_the_turns_of_all_of_the_owners_campaigns() -> None:
    mine = [claimant(1, owner=7), claimant(2, owner=7, place=2), claimant(3, owner=7, place=1)]
    other = claimant(4, owner=8)
    assert Counter(order([*mine, other], 400)) == {3: 300, 4: 100}


def test_the_accounts_of_those_grow_whose_turns_they_were() -> None:
    mine = [claimant(1, owner=7, weight=3.0, seconds=30.0), claimant(2, owner=7, place=1)]
    turns = Turns(mine)
    assert [turns.next() for _ in range(4)] == [(2, 1), (2, 2), (2, 1), (2, 1)]


def test_campaigns_of_equal_place_share_by_weight() -> None:
    mine = [
        claimant(1, owner=7, place=5),
        claimant(2, owner=7, place=1, weight=2.0),
        claimant(3, owner=7, place=1),
    ]
    first, second, third = (Counter(order(mine, 400))[key] for key in (1, 2, 3))
    # Two of four turns are the second's own; those of the first go to whoever of both is behind.
    assert (first, second + third) == (0, 400)
    assert second > third > 0


def test_campaigns_without_an_owner_are_those_of_the_command_line() -> None:
    ours = [claimant(1, owner=None), claimant(2, owner=None, place=1)]
    assert set(order(ours, 10)) == {2}


def test_the_order_of_an_owner_says_nothing_to_others() -> None:
    assert Counter(order([claimant(1), claimant(2, place=1)], 10)) == {1: 5, 2: 5}


# --- campaigns that have fewer tasks than their turns ---------------------------------------------


def test_a_campaign_without_a_further_task_leaves_its_turns_to_the_others() -> None:
    given = take_turns([claimant(1), claimant(2), claimant(3)], 12, stock({1: 1, 2: 3, 3: 100}))
    assert Counter(task for task, _ in given) == {1: 1, 2: 3, 3: 8}
    assert all(task == payer for task, payer in given)


def test_nobody_pays_for_a_task_that_was_not_there() -> None:
    mine = [claimant(1, owner=7, account=100.0), claimant(2, owner=7, place=1), claimant(3)]
    given = take_turns(mine, 6, stock({1: 10, 2: 2, 3: 10}))
    # The first turns were planned for the second, which had two tasks.
    assert Counter(given) == {(2, 2): 2, (3, 3): 4}


def test_a_turn_that_brought_no_task_is_taken_back() -> None:
    mine = [claimant(1, owner=7), claimant(2, owner=7, place=1, account=100.0), claimant(3)]
    given = take_turns(mine, 8, stock({1: 10, 2: 0, 3: 10}))
    assert Counter(given) == {(1, 1): 4, (3, 3): 4}


def test_a_claim_of_more_than_there_is_gets_all_there_is() -> None:
    given = take_turns([claimant(key) for key in range(10)], 64, stock(dict.fromkeys(range(10), 2)))
    assert Counter(task for task, _ in given) == dict.fromkeys(range(10), 2)
    assert take_turns([], 5, endless) == []
    assert take_turns([claimant(1)], 0, endless) == []


def test_a_claim_asks_for_the_tasks_of_few_campaigns() -> None:
    asked: deque[Mapping[int, int]] = deque()

    def take(numbers: Mapping[int, int]) -> dict[int, list[int]]:
        asked.append(numbers)
        return {}

    assert take_turns([claimant(key) for key in range(1_000)], 1, take) == []
    assert len(asked) == 16
    by_round: dict[int, int] = defaultdict(int)
    for number, numbers in enumerate(asked):
        by_round[number] = sum(numbers.values())
    assert set(by_round.values()) == {1}
