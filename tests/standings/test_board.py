"""campaigns.standings.board: the leaderboard's rows by how tasks ended, ranked rows first."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, TaskState
from campaigns.standings import board
from campaigns.standings.board import EVERYTHING, STATES, LeaderboardQuery
from campaigns.standings.rows import Line, Standing
from tests.factories import active_campaign, at, claim_one, completed, fail, run, worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db

# Task numbers by standing: two ranked results on two devices, and a task of each other standing.
NUMBERS = {
    Standing.COMPLETED: [1, 0],
    Standing.DIVERGED: [2],
    Standing.BUDGET_TOO_SMALL: [3],
    Standing.IMPLAUSIBLE: [6],
    Standing.FAILED: [4],
    Standing.SIMULATED: [5],
}


def run_without_a_step(*, seconds: float) -> None:
    attempt = claim_one(worker(), now=at(seconds))
    body = completed(attempt.task, stop_reason="budget_too_small", steps_completed=0)
    no_values = {"val_bpb": None, "eval_nll_nats": None, "train_loss": None, "eval_bytes": 0}
    body["metrics"] = (body["metrics"] or {}) | no_values | {"eval_tokens": 0, "tokens_trained": 0}
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(seconds))
    assert answer.verdict == "accepted", answer.message


@pytest.fixture
def campaign() -> Campaign:
    campaign = active_campaign(8, allow_simulated=True, max_failed_attempts=1, shares_seeds=False)
    run(3.0, seconds=1)
    run(2.5, seconds=2, device_used="cuda")
    run(None, seconds=3)
    run_without_a_step(seconds=4)
    fail(claim_one(worker(), now=at(5)), FailureClass.OOM, now=at(5))
    run(1.0, seconds=6, simulated=True)
    run(0.5, seconds=7)
    campaign.refresh_from_db()
    return campaign


def rows(campaign: Campaign, limit: int = 10, offset: int = 0, **parts: Any) -> list[Line]:
    query = LeaderboardQuery(**parts)
    failed = campaign.tasks.filter(state=TaskState.FAILED).count()
    counts = board.counts(campaign, query, failed=failed)
    return board.lines(campaign, query, counts, limit=limit, offset=offset)


def test_each_state_holds_the_tasks_that_ended_so(campaign: Campaign) -> None:
    for standing, numbers in NUMBERS.items():
        lines = rows(campaign, state=standing)
        assert [line.number for line in lines] == numbers
        assert {line.standing for line in lines} == {standing}
    counts = board.counts(campaign, LeaderboardQuery(), failed=1)
    assert counts == {standing: len(numbers) for standing, numbers in NUMBERS.items()}


def test_what_has_no_value_stands_below_what_is_ranked_and_says_why(campaign: Campaign) -> None:
    lines = rows(campaign, state=EVERYTHING)

    assert [(line.rank, line.number) for line in lines] == [
        (1, 1),
        (2, 0),
        (None, 6),
        (None, 2),
        (None, 3),
        (None, 4),
    ]
    assert [line.reason for line in lines] == [
        "",
        "",
        "implausible, not counted: val_bpb is below half of what lzma reaches on this data set",
        "diverged: the loss became NaN or infinite",
        "budget too small: no training step fitted, or not its evaluation",
        "failed: out of memory",
    ]
    assert [line.value for line in lines] == [2.5, 3.0, 0.5, None, None, None]


def test_what_nobody_measured_is_shown_only_where_it_is_asked_for_by_name(
    campaign: Campaign,
) -> None:
    for state in STATES:
        simulated = [
            line for line in rows(campaign, state=state) if line.standing == Standing.SIMULATED
        ]
        assert len(simulated) == (state == Standing.SIMULATED)
    (line,) = rows(campaign, state=Standing.SIMULATED)
    assert (line.rank, line.value) == (None, 1.0)
    assert "not measured" in line.reason


def test_pages_of_ranked_and_other_rows_follow_one_another(campaign: Campaign) -> None:
    whole = [line.number for line in rows(campaign, state=EVERYTHING)]

    pages = [rows(campaign, limit=2, offset=offset, state=EVERYTHING) for offset in (0, 2, 4, 6)]

    assert [line.number for page in pages for line in page] == whole


def test_every_order_keeps_the_ranked_rows_first(campaign: Campaign) -> None:
    for sort in ("-rank", "-seed", "param.lr", "-time", "device", "value"):
        lines = rows(campaign, state=EVERYTHING, sort=sort)
        assert {line.rank for line in lines[:2]} == {1, 2}
        assert len(lines) == 6
    assert [line.number for line in rows(campaign, state=EVERYTHING, sort="-seed")] == [
        1,
        0,
        6,
        4,
        3,
        2,
    ]


def test_a_device_leaves_out_other_devices_and_tasks_that_reported_none(campaign: Campaign) -> None:
    on_cpu = rows(campaign, state=EVERYTHING, device="cpu")

    assert [line.number for line in on_cpu] == [0, 6, 2, 3]
    assert board.counts(campaign, LeaderboardQuery(device="cpu"), failed=1)[Standing.FAILED] == 0


def test_an_order_is_sorted_once_for_all_its_pages(
    campaign: Campaign, django_assert_num_queries: Any
) -> None:
    rows(campaign, limit=4, state=EVERYTHING, sort="-steps")
    counts = board.counts(campaign, LeaderboardQuery(state=EVERYTHING, sort="-steps"), failed=1)

    with django_assert_num_queries(2):  # the ranked rows and the rows without a rank
        board.lines(
            campaign, LeaderboardQuery(state=EVERYTHING, sort="-steps"), counts, limit=5, offset=0
        )


def test_an_order_is_sorted_anew_when_a_result_comes_in(campaign: Campaign) -> None:
    assert [line.number for line in rows(campaign, sort="-seed")] == [1, 0]
    run(2.0, seconds=7)
    campaign.refresh_from_db()
    assert [(line.number, line.rank) for line in rows(campaign, sort="-seed")] == [
        (7, 1),
        (1, 2),
        (0, 3),
    ]


def test_rows_far_down_an_order_are_read_from_the_database(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.caching.KEPT_KEYS", 1)

    assert [line.number for line in rows(campaign, sort="-seed", offset=1)] == [0]
    assert [line.number for line in rows(campaign, state=EVERYTHING, sort="-seed", offset=3)] == [
        4,
        3,
        2,
    ]


def test_what_is_no_column_sorts_nothing(campaign: Campaign) -> None:
    with pytest.raises(ValueError, match="no column"):
        rows(campaign, state=Standing.FAILED, sort="task__campaign__owner__password")
