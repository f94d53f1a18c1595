"""campaigns.standings.progress: counts of a campaign, its rate and its remaining time."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, TaskState
from campaigns.standings import progress as progress_module
from campaigns.standings.progress import campaign_progress
from tests.factories import SMALL_SPACE, active_campaign, at, campaign, claim_one, fail, run, worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def test_a_campaign_that_has_not_begun_knows_nothing_yet() -> None:
    progress = campaign_progress(campaign(search_space=SMALL_SPACE), now=at(0))
    assert (progress.total, progress.done, progress.fraction) == (0, 0, 0.0)
    assert (progress.tasks_per_hour, progress.eta_seconds) == (None, None)
    assert progress.compute_seconds == 0.0


def test_progress_counts_tasks_by_state_and_failures_by_class() -> None:
    running = active_campaign(7, max_failed_attempts=1, allow_simulated=True)
    run(3.0, seconds=1)
    run(None, seconds=2)
    run(3.0, seconds=3, simulated=True)
    fail(claim_one(worker(), now=at(4)), FailureClass.TIMEOUT, now=at(4))
    lifecycle.cancel_task(running.tasks.filter(state=TaskState.PENDING)[0], now=at(5))
    claim_one(worker(), now=at(6))

    progress = campaign_progress(running, now=at(7))

    assert (progress.pending, progress.leased, progress.completed) == (1, 1, 3)
    assert (progress.failed, progress.cancelled) == (1, 1)
    assert (progress.simulated, progress.diverged) == (1, 1)
    assert (progress.total, progress.done) == (7, 5)
    assert progress.fraction == pytest.approx(5 / 7)
    assert progress.failure_classes == {"timeout": 1}
    # 9.6 s by the agent's clock for each result, 1 s for the failure.
    assert progress.compute_seconds == pytest.approx(3 * 9.6 + 1.0)


def test_the_rate_is_that_of_tasks_that_ran_and_tells_when_the_rest_is_done() -> None:
    running = active_campaign(10)
    for seconds in (360, 720):
        run(seconds=seconds)
    progress = campaign_progress(running, now=at(720))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert progress.eta_seconds == pytest.approx(8 * 360)

    # Cancelled tasks do not count towards the rate.
    for task in running.tasks.filter(state=TaskState.PENDING)[:5]:
        lifecycle.cancel_task(task, now=at(720))
    progress = campaign_progress(running, now=at(720))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert progress.eta_seconds == pytest.approx(3 * 360)


def test_a_fleet_that_stopped_is_seen_to_slow_down() -> None:
    running = active_campaign(5)
    run(seconds=360)
    run(seconds=720)
    later = campaign_progress(running, now=at(1440))
    assert later.tasks_per_hour == pytest.approx(5.0)


def test_the_rate_follows_the_fleet_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "RATE_WINDOW", 3)
    running = active_campaign(6)
    for seconds in (7200, 7260, 7320, 7380):
        run(seconds=seconds)
    progress = campaign_progress(running, now=at(7380))
    assert progress.tasks_per_hour == pytest.approx(60.0)


def test_a_finished_campaign_keeps_its_rate_and_has_no_time_left() -> None:
    finished = active_campaign(2)
    run(seconds=360)
    run(seconds=720)
    finished = Campaign.objects.get(pk=finished.pk)
    progress = campaign_progress(finished, now=at(99_999))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert (progress.eta_seconds, progress.fraction) == (None, 1.0)


def test_progress_costs_six_queries_and_one_until_something_ends(
    django_assert_num_queries: Any,
) -> None:
    running = active_campaign(50)
    run()
    with django_assert_num_queries(6):
        campaign_progress(running, now=at(20))
    with django_assert_num_queries(1):
        campaign_progress(running, now=at(21))
    run(None, seconds=30)
    running.refresh_from_db()
    assert campaign_progress(running, now=at(31)).diverged == 1
