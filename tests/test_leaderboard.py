"""campaigns.leaderboard: who leads, how far a campaign is, and the points of its chart."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import leaderboard, lifecycle
from campaigns.models import Campaign, TaskState
from tests.factories import (
    SMALL_SPACE,
    active_campaign,
    at,
    campaign,
    claim_one,
    completed,
    fail,
    finish,
    worker,
)
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def run(
    val_bpb: float | None = 3.0, *, seconds: float = 10, simulated: bool = False, **changes: Any
) -> None:
    """Claim the next task and bring its result; None is a run that diverged."""
    attempt = claim_one(worker(), now=at(seconds))
    if val_bpb is None:
        nothing = {"val_bpb": None, "diverged": True, "eval_nll_nats": None, "train_loss": None}
        body = completed(attempt.task, **changes)
        body["metrics"] = (body["metrics"] or {}) | nothing
    else:
        body = completed(attempt.task, val_bpb, **changes)
    body["simulated"] = simulated
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(seconds))
    assert answer.verdict == "accepted", answer.message


def test_results_are_ranked_best_first_with_equal_ones_by_time() -> None:
    one = active_campaign(4)
    for seconds, value in ((1, 3.0), (2, 2.5), (3, 3.0), (4, 2.0)):
        run(value, seconds=seconds)
    rows = leaderboard.rank(one)
    assert [(row.rank, row.result.val_bpb, row.task.number) for row in rows] == [
        (1, 2.0, 3),
        (2, 2.5, 1),
        (3, 3.0, 0),
        (4, 3.0, 2),
    ]
    assert leaderboard.best(one) == rows[0].result


def test_equal_values_at_the_same_instant_have_one_order_so_pages_never_overlap() -> None:
    one = active_campaign(6)
    for _ in range(6):
        run(3.0)
    whole = [row.result.pk for row in leaderboard.rank(one)]
    pages = [leaderboard.rank(one, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [row.result.pk for page in pages for row in page] == whole
    assert [row.rank for page in pages for row in page] == [1, 2, 3, 4, 5, 6]


def test_what_was_not_measured_is_never_ranked() -> None:
    one = active_campaign(4, allow_simulated=True)
    run(1.0, simulated=True)
    run(None)
    fail(claim_one(worker(), now=at(10)), now=at(10))
    assert leaderboard.rank(one) == []
    assert leaderboard.best(one) is None
    run(3.0)
    assert [row.result.val_bpb for row in leaderboard.rank(one)] == [3.0]


def test_other_campaigns_are_not_in_it() -> None:
    one, other = active_campaign(1), active_campaign(1, now=at(1))
    run(3.0)
    run(2.0)
    assert [row.result.val_bpb for row in leaderboard.rank(one)] == [3.0]
    assert [row.result.val_bpb for row in leaderboard.rank(other)] == [2.0]


def test_a_device_is_ranked_among_itself() -> None:
    one = active_campaign(3)
    run(2.0, device_used="cuda")
    run(3.0, device_used="cpu")
    run(2.5, device_used="cpu")
    rows = leaderboard.rank(one, device="cpu")
    assert [(row.rank, row.result.val_bpb) for row in rows] == [(1, 2.5), (2, 3.0)]


def test_a_page_of_the_leaderboard_is_one_query(django_assert_num_queries: Any) -> None:
    one = active_campaign(5)
    for _ in range(5):
        run()
    with django_assert_num_queries(1):
        for row in leaderboard.rank(one, limit=5):
            assert row.result.attempt.worker.name.startswith("worker-")
            assert row.task.state == TaskState.COMPLETED


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


# --- progress -------------------------------------------------------------------------------------


def test_a_campaign_that_has_not_begun_knows_nothing_yet() -> None:
    progress = leaderboard.progress(campaign(search_space=SMALL_SPACE), now=at(0))
    assert (progress.total, progress.done, progress.fraction) == (0, 0, 0.0)
    assert (progress.tasks_per_hour, progress.eta_seconds) == (None, None)
    assert progress.compute_seconds == 0.0


def test_progress_counts_tasks_by_state_and_failures_by_class() -> None:
    one = active_campaign(7, max_failed_attempts=1, allow_simulated=True)
    run(3.0, seconds=1)
    run(None, seconds=2)
    run(3.0, seconds=3, simulated=True)
    fail(claim_one(worker(), now=at(4)), FailureClass.TIMEOUT, now=at(4))
    lifecycle.cancel_task(one.tasks.filter(state=TaskState.PENDING)[0], now=at(5))
    claim_one(worker(), now=at(6))

    progress = leaderboard.progress(one, now=at(7))

    assert (progress.pending, progress.leased, progress.completed) == (1, 1, 3)
    assert (progress.failed, progress.cancelled) == (1, 1)
    assert (progress.simulated, progress.diverged) == (1, 1)
    assert (progress.total, progress.done) == (7, 5)
    assert progress.fraction == pytest.approx(5 / 7)
    assert progress.failure_classes == {"timeout": 1}
    # 9.6 s by the agent's clock for each result, 1 s for the failure.
    assert progress.compute_seconds == pytest.approx(3 * 9.6 + 1.0)


def test_the_rate_is_that_of_tasks_that_ran_and_tells_when_the_rest_is_done() -> None:
    one = active_campaign(10)
    for seconds in (360, 720):
        run(seconds=seconds)
    progress = leaderboard.progress(one, now=at(720))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert progress.eta_seconds == pytest.approx(8 * 360)

    # Cancelling five in one click is no speed.
    for task in one.tasks.filter(state=TaskState.PENDING)[:5]:
        lifecycle.cancel_task(task, now=at(720))
    progress = leaderboard.progress(one, now=at(720))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert progress.eta_seconds == pytest.approx(3 * 360)


def test_a_fleet_that_stopped_is_seen_to_slow_down() -> None:
    one = active_campaign(5)
    run(seconds=360)
    run(seconds=720)
    later = leaderboard.progress(one, now=at(1440))
    assert later.tasks_per_hour == pytest.approx(5.0)


def test_the_rate_follows_the_fleet_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard, "RATE_WINDOW", 3)
    one = active_campaign(6)
    for seconds in (7200, 7260, 7320, 7380):
        run(seconds=seconds)
    progress = leaderboard.progress(one, now=at(7380))
    assert progress.tasks_per_hour == pytest.approx(60.0)


def test_a_finished_campaign_keeps_its_rate_and_has_no_time_left() -> None:
    one = active_campaign(2)
    run(seconds=360)
    run(seconds=720)
    one = Campaign.objects.get(pk=one.pk)
    progress = leaderboard.progress(one, now=at(99_999))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert (progress.eta_seconds, progress.fraction) == (None, 1.0)


def test_progress_costs_five_queries_however_many_tasks(django_assert_num_queries: Any) -> None:
    one = active_campaign(50)
    run()
    with django_assert_num_queries(5):
        leaderboard.progress(one, now=at(20))


# --- the chart ------------------------------------------------------------------------------------


def test_points_come_in_order_of_time_each_with_the_best_measured_so_far() -> None:
    one = active_campaign(7, max_failed_attempts=1, allow_simulated=True)
    run(3.0, seconds=1)
    run(1.0, seconds=2, simulated=True)
    run(3.5, seconds=3)
    run(None, seconds=4)
    fail(claim_one(worker(), now=at(5)), now=at(5))
    run(2.5, seconds=6)
    lifecycle.cancel(one, now=at(7))

    points = leaderboard.points(one)

    assert [(point.number, point.val_bpb, point.best_so_far) for point in points] == [
        (0, 3.0, 3.0),
        (1, 1.0, 3.0),
        (2, 3.5, 3.0),
        (3, None, 3.0),
        (4, None, 3.0),
        (5, 2.5, 2.5),
    ]
    assert [point.simulated for point in points] == [False, True, False, False, False, False]
    assert [point.is_ranked for point in points] == [True, False, True, False, False, True]
    assert (points[4].state, points[4].failure_class) == (TaskState.FAILED, "script_error")
    assert [point.finished_at for point in points] == [at(seconds) for seconds in range(1, 7)]


def test_before_the_first_measured_result_there_is_no_best() -> None:
    one = active_campaign(2, allow_simulated=True)
    run(1.0, simulated=True)
    assert [point.best_so_far for point in leaderboard.points(one)] == [None]


def test_the_points_are_one_query(django_assert_num_queries: Any) -> None:
    one = active_campaign(4)
    finish(claim_one(worker()), now=at(1))
    finish(claim_one(worker()), now=at(2))
    with django_assert_num_queries(1):
        assert len(leaderboard.points(one)) == 2
