"""campaigns.standings.leaderboard: which results are ranked, filters, orders and counts."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.models import Campaign
from campaigns.standings import board, leaderboard
from campaigns.standings.board import LeaderboardQuery
from campaigns.standings.rows import Line
from tests.factories import active_campaign, at, campaign, claim_one, fail, run, worker

pytestmark = pytest.mark.django_db


def rank(campaign: Campaign, *, limit: int = 100, offset: int = 0, **query: str) -> list[Line]:
    chosen = LeaderboardQuery(**query)
    counts = board.counts(campaign, chosen, failed=0)
    return board.lines(campaign, chosen, counts, limit=limit, offset=offset)


def test_results_are_ranked_best_first_with_equal_ones_by_time() -> None:
    running = active_campaign(4)
    for seconds, value in ((1, 3.0), (2, 2.5), (3, 3.0), (4, 2.0)):
        run(value, seconds=seconds)
    rows = rank(running)
    assert [(row.rank, row.value, row.number) for row in rows] == [
        (1, 2.0, 3),
        (2, 2.5, 1),
        (3, 3.0, 0),
        (4, 3.0, 2),
    ]


def test_equal_values_at_the_same_instant_have_one_order_so_pages_never_overlap() -> None:
    running = active_campaign(6)
    for _ in range(6):
        run(3.0)
    whole = [row.number for row in rank(running)]
    pages = [rank(running, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [row.number for page in pages for row in page] == whole
    assert [row.rank for page in pages for row in page] == [1, 2, 3, 4, 5, 6]


def test_what_was_not_measured_is_never_ranked() -> None:
    running = active_campaign(4, allow_simulated=True)
    run(1.0, simulated=True)
    run(None)
    fail(claim_one(worker(), now=at(10)), now=at(10))
    assert rank(running) == []
    run(3.0)
    running.refresh_from_db()
    assert [row.value for row in rank(running)] == [3.0]


def test_other_campaigns_are_not_in_it() -> None:
    first, second = active_campaign(1), active_campaign(1, now=at(1))
    run(3.0)
    run(2.0)
    assert [row.value for row in rank(first)] == [3.0]
    assert [row.value for row in rank(second)] == [2.0]


def test_a_device_is_ranked_among_itself() -> None:
    running = active_campaign(3)
    run(2.0, device_used="cuda")
    run(3.0, device_used="cpu")
    run(2.5, device_used="cpu")
    rows = rank(running, device="cpu")
    assert [(row.rank, row.value) for row in rows] == [(1, 2.5), (2, 3.0)]


def test_varying_params_are_those_that_can_differ_in_the_order_of_the_space() -> None:
    space = {
        "parameters": [
            {"name": "lr", "type": "float", "low": 0.1, "high": 0.2},
            {"name": "fixed", "type": "float", "low": 0.5, "high": 0.5},
            {"name": "layers", "type": "int", "low": 2, "high": 4},
            {"name": "one_step", "type": "int", "low": 2, "high": 3, "step": 2},
            {"name": "two_steps", "type": "int", "low": 2, "high": 4, "step": 2},
            {"name": "kind", "type": "choice", "values": ["adam"]},
            {"name": "flag", "type": "choice", "values": [1, True]},
        ]
    }
    varying, constant = leaderboard.varying_params(campaign(search_space=space))
    assert varying == ["lr", "layers", "two_steps", "flag"]
    assert constant == {"fixed": 0.5, "one_step": 2, "kind": "adam"}


def test_whole_params_are_those_that_never_have_a_fraction_or_a_word() -> None:
    space = {
        "parameters": [
            {"name": "lr", "type": "float", "low": 1, "high": 2},
            {"name": "layers", "type": "int", "low": 2, "high": 4},
            {"name": "width", "type": "choice", "values": [64, 128]},
            {"name": "scale", "type": "choice", "values": [1, 0.5]},
            {"name": "kind", "type": "choice", "values": [1, "adam"]},
            {"name": "flag", "type": "choice", "values": [True, False]},
        ]
    }
    assert leaderboard.whole_params(campaign(search_space=space)) == {"layers", "width"}


def test_any_column_sorts_the_same_ranks_in_the_database() -> None:
    running = active_campaign(4)
    for value, steps in ((3.0, 40), (2.5, 10), (2.0, 30), (3.5, 10)):
        run(value, steps_completed=steps)
    by_steps = rank(running, sort="steps")
    assert [(row.rank, row.steps) for row in by_steps] == [
        (2, 10),
        (4, 10),
        (1, 30),
        (3, 40),
    ]
    assert [row.rank for row in rank(running, sort="-rank", limit=2, offset=1)] == [
        3,
        2,
    ]
    lrs = [row.params["lr"] for row in rank(running, sort="-param.lr")]
    assert lrs == sorted(lrs, reverse=True)
    assert len(set(lrs)) == 4


def test_choices_of_numbers_sort_as_numbers() -> None:
    space = {"parameters": [{"name": "width", "type": "choice", "values": [8, 64, 512]}]}
    running = active_campaign(12, search_space=space)
    for _ in range(12):
        run()
    widths = [row.params["width"] for row in rank(running, sort="param.width")]
    assert widths == sorted(widths)
    assert {8, 64, 512} == set(widths)


@pytest.mark.parametrize("sort", ["task__campaign__owner__password", "-nothing", ""])
def test_what_is_no_column_sorts_nothing(sort: str) -> None:
    running = active_campaign(1)
    run()
    running.refresh_from_db()
    with pytest.raises(ValueError, match="no column"):
        rank(running, sort=sort)


def test_full_and_subset_evaluations_are_ranked_apart() -> None:
    running = active_campaign(2)
    run(3.0)
    nats = 2.0 * 16_384 * 0.6931471805599453
    run(2.0, eval_bytes=16_384, eval_tokens=16_384, eval_nll_nats=nats)
    assert [row.rank for row in rank(running)] == [1, 2]
    (full,) = rank(running, evaluation="full")
    assert (full.rank, full.value) == (1, 3.0)


def test_results_are_counted_by_kind_once_for_each_revision(
    django_assert_num_queries: Any,
) -> None:
    running = active_campaign(3, allow_simulated=True)
    run(3.0)
    run(None)
    run(1.0, simulated=True)
    running.refresh_from_db()
    with django_assert_num_queries(1):
        counted = leaderboard.kinds(running)
        assert leaderboard.kinds(running) == counted
    assert sum(kind.number for kind in counted) == 3
    assert [kind.number for kind in counted if kind.is_ranked] == [1]
    assert [kind.valued for kind in counted if kind.diverged] == [0]
