"""Who is next, and what each gets, among campaigns that take turns."""

from __future__ import annotations

from collections import Counter

import pytest

from campaigns.sharing.standing import Standing, standings
from campaigns.sharing.turns import Turns
from tests.sharing.test_turns import claimant


def test_who_has_had_least_is_next_and_weights_are_shares() -> None:
    known = standings(
        [
            claimant(1, account=30.0),
            claimant(2, account=10.0, weight=3.0),
            claimant(3, account=10.0),
        ]
    )
    assert list(known.items()) == [
        (2, Standing(1, 3, 0.6)),
        (3, Standing(2, 3, 0.2)),
        (1, Standing(3, 3, 0.2)),
    ]
    assert standings([]) == {}


def test_whom_the_owner_put_first_has_the_turns_and_the_shares_of_all() -> None:
    known = standings(
        [
            claimant(1, owner=7, account=5.0),
            claimant(2, owner=7, account=9.0, place=2),
            claimant(3, owner=7, account=50.0, place=1, weight=2.0),
            claimant(4, owner=8, account=7.0),
        ]
    )
    assert known == {
        3: Standing(1, 4, 0.8),
        4: Standing(2, 4, 0.2),
        1: Standing(None, 4, 0.0),
        2: Standing(None, 4, 0.0),
    }


def test_what_is_told_is_what_turns_bring() -> None:
    claimants = [
        claimant(1, owner=7),
        claimant(2, owner=7, place=1, weight=2.0, seconds=30.0),
        claimant(3, owner=8, weight=4.0),
        claimant(4, owner=9, seconds=20.0),
    ]
    turns = Turns(claimants)
    seconds = Counter[int]()
    for _ in range(10_000):
        turn = turns.next()
        assert turn is not None
        seconds[turn.campaign] += round(claimants[turn.campaign - 1].seconds)
    for campaign, standing in standings(claimants).items():
        assert seconds[campaign] / seconds.total() == pytest.approx(standing.share, abs=0.01)
