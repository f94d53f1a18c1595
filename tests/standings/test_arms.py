"""campaigns.standings.arms: the board of arms, before, during and after their races."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign
from campaigns.standings import arms
from campaigns.standings.raced import ArmRow
from tests.factories import active_campaign, at, claim_one, finish, run, runner

pytestmark = pytest.mark.django_db

SECONDS = itertools.count(300)
VALUES = {0: 3.4, 1: 3.1, 2: 3.2, 3: 3.3}


def run_all(campaign: Campaign, values: dict[int, float] = VALUES, most: int = 100) -> None:
    for _ in range(min(most, campaign.tasks.filter(state="pending").count())):
        now = at(next(SECONDS))
        attempt = claim_one(runner(), now=now)
        finish(attempt, values[attempt.task.arm.number], now=now)
    campaign.refresh_from_db()


def board(campaign: Campaign, **part: int) -> list[ArmRow]:
    return arms.rows(campaign, **({"limit": 100} | part))


def brief(campaign: Campaign) -> list[tuple[int | None, str, int, float | None]]:
    return [(row.rank, row.standing, row.arm, row.value) for row in board(campaign)]


@pytest.fixture
def campaign() -> Campaign:
    screened = active_campaign(4)
    run_all(screened)
    return screened


def test_arms_that_never_raced_come_by_their_first_value_and_have_no_rank(
    campaign: Campaign,
) -> None:
    lifecycle.enqueue(campaign, campaign.arms.get(number=3).params, now=at(100))
    run_all(campaign, {3: 1.5})  # a lucky second seed moves nothing
    assert brief(campaign) == [
        (None, "screened", 1, 3.1),
        (None, "screened", 2, 3.2),
        (None, "screened", 3, 3.3),
        (None, "screened", 0, 3.4),
    ]
    assert arms.count(campaign) == 4
    assert arms.sentence(campaign).startswith("Nothing has raced: each of the 4 arms with a")


def test_a_race_puts_its_champion_first_and_ranks_those_proven_behind(campaign: Campaign) -> None:
    lifecycle.start_race(campaign, [0, 2, 3], seeds=3, now=at(200))
    assert [row.standing for row in board(campaign)] == ["racing"] * 3 + ["screened"]
    assert "A race runs." in arms.sentence(campaign)
    run_all(campaign)
    assert brief(campaign) == [
        (1, "champion", 2, 3.2),
        (2, "behind", 3, 3.3),
        (3, "behind", 0, 3.4),
        (None, "screened", 1, 3.1),
    ]
    first = board(campaign)[0]
    assert (first.seeds, first.at_least) == (3, False)
    assert first.half_width is not None
    assert first.params == campaign.arms.get(number=2).params
    assert first.first_task == 2
    assert arms.sentence(campaign).startswith("Arm 2 is ahead of the 2 arms it raced, of 4")


def test_arms_that_were_not_told_apart_share_the_first_rank(campaign: Campaign) -> None:
    lifecycle.start_race(campaign, [1, 2], seeds=3, now=at(200))
    run_all(campaign, {1: 3.0, 2: 3.0})
    assert brief(campaign)[:2] == [(1, "tied", 1, 3.0), (1, "tied", 2, 3.0)]
    assert "No champion: arms 1 and 2" in arms.sentence(campaign)


def test_an_early_champions_value_is_at_least_until_all_its_seeds_have_run(
    campaign: Campaign,
) -> None:
    lifecycle.start_race(campaign, [1, 2], seeds=12, now=at(200))
    run_all(campaign, most=6)
    assert (board(campaign)[0].standing, board(campaign)[0].at_least) == ("champion", True)
    run_all(campaign)
    assert (board(campaign)[0].seeds, board(campaign)[0].at_least) == (12, False)


def test_the_last_race_decides_and_arms_of_earlier_ones_keep_their_value(
    campaign: Campaign,
) -> None:
    lifecycle.start_race(campaign, [1, 2], seeds=3, now=at(200))
    run_all(campaign)
    lifecycle.start_race(campaign, [1, 3], seeds=3, now=at(next(SECONDS)))
    run_all(campaign, VALUES | {3: 2.0})
    assert brief(campaign) == [
        (1, "champion", 3, 2.0),
        (2, "behind", 1, 3.1),
        (None, "raced", 2, 3.2),
        (None, "screened", 0, 3.4),
    ]


def test_the_board_comes_in_pages_that_follow_one_another(campaign: Campaign) -> None:
    lifecycle.start_race(campaign, [1, 2], seeds=3, now=at(200))
    run_all(campaign)
    whole = [row.arm for row in board(campaign)]
    pages = [board(campaign, limit=1, offset=offset) for offset in range(5)]
    assert [row.arm for page in pages for row in page] == whole == [1, 2, 3, 0]
    assert pages[4] == []


def test_simulated_and_diverged_first_runs_are_not_on_the_board() -> None:
    campaign = active_campaign(3, allow_simulated=True)
    run(3.0, seconds=1)
    run(None, seconds=2)
    run(1.0, seconds=3, simulated=True)
    assert brief(campaign) == [(None, "screened", 0, 3.0)]


def test_a_board_costs_few_queries_and_a_known_race_none(
    campaign: Campaign, django_assert_max_num_queries: Any
) -> None:
    lifecycle.start_race(campaign, [1, 2, 3], seeds=3, now=at(200))
    run_all(campaign)
    with django_assert_max_num_queries(11):
        board(campaign)
    with django_assert_max_num_queries(1):
        board(campaign)
