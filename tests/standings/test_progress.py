"""campaigns.standings.progress: counts of a campaign, its rate and its remaining time."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.health import health
from campaigns.models import Campaign, TaskState
from campaigns.standings.headline import no_value
from campaigns.standings.progress import campaign_progress
from campaigns.standings.summaries import summarise
from tests.factories import (
    SMALL_SPACE,
    active_campaign,
    at,
    campaign,
    claim_one,
    fail,
    finish,
    run,
    worker,
)
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
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


def test_a_cancelled_task_says_nothing_of_the_fleet() -> None:
    running = active_campaign(10)
    by = worker(last_seen_at=at(0))
    for number in range(2):
        finish(claim_one(by, now=at(360 * number)), now=at(360 * (number + 1)))
    by.refresh_from_db()
    worker_lifecycle.see(by, now=at(720))
    progress = campaign_progress(running, now=at(720))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert progress.eta_seconds == pytest.approx(8 * 360)

    for task in running.tasks.filter(state=TaskState.PENDING)[:5]:
        lifecycle.cancel_task(task, now=at(720))
    progress = campaign_progress(Campaign.objects.get(pk=running.pk), now=at(720))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert progress.eta_seconds == pytest.approx(3 * 360)


def test_a_run_without_a_value_is_counted_once_whatever_kept_it_from_one() -> None:
    running = active_campaign(4, max_failed_attempts=1)
    run(3.0, seconds=1)
    run(None, seconds=2)
    fail(claim_one(worker(), now=at(3)), FailureClass.OOM, now=at(3))
    running.refresh_from_db()
    progress = campaign_progress(running, now=at(4))
    (summary,) = summarise([running], now=at(4))
    assert progress.no_value == summary.no_value == sum(no_value(progress).values()) == 2
    assert [(piece.state, piece.width) for piece in summary.bar] == [
        ("completed", 25.0),
        ("no-value", 25.0),
        ("failed", 25.0),
    ]


def test_a_finished_campaign_keeps_its_rate_and_has_no_time_left() -> None:
    finished = active_campaign(2)
    for number in (0, 1):
        # An hour of waiting between the two does not count.
        start = 4000 * number
        finish(claim_one(worker(), now=at(start)), now=at(start + 360))
    finished = Campaign.objects.get(pk=finished.pk)
    progress = campaign_progress(finished, now=at(99_999))
    assert progress.tasks_per_hour == pytest.approx(10.0)
    assert (progress.eta_seconds, progress.fraction) == (None, 1.0)


def test_progress_costs_few_queries_and_three_until_something_ends(
    django_assert_num_queries: Any,
) -> None:
    active_campaign(50)
    run()
    claim_one(worker(), now=at(20))
    running = Campaign.objects.select_related("package").get()
    with django_assert_num_queries(5):  # states, totals, what runs, pace, fleet
        campaign_progress(running, now=at(20))
    with django_assert_num_queries(3):  # states, what runs, fleet
        campaign_progress(running, now=at(21))
    run(None, seconds=30)
    running.refresh_from_db()
    assert campaign_progress(running, now=at(31)).diverged == 1


def test_a_task_that_is_claimed_ahead_comes_next_and_does_not_run() -> None:
    first, second = active_campaign(4), active_campaign(4)
    one_place, two_places, untold = worker(slots=1), worker(slots=2), worker()
    for by in (one_place, two_places, two_places, untold, untold):
        claim_one(by, now=at(0))
    Worker.objects.update(last_seen_at=at(2))
    before = campaign_progress(Campaign.objects.get(pk=first.pk), now=at(2))
    assert (before.running, before.upcoming) == (4, 0)

    claim_one(one_place, now=at(2))
    claim_one(two_places, now=at(2))
    loaded = [Campaign.objects.get(pk=campaign.pk) for campaign in (first, second)]
    told = [campaign_progress(one, now=at(3)) for one in loaded]
    assert [(one.leased, one.running, one.upcoming) for one in told] == [(4, 4, 0), (3, 1, 2)]
    # What comes next takes its turn on its worker, not a place beside the task that runs.
    assert told[1].eta_seconds == pytest.approx(18.0, abs=3.0)
    figures = health(loaded, now=at(3))
    assert (figures.running, figures.upcoming) == (5, 2)
    assert [summary.running for summary in summarise(loaded, now=at(3))] == [4, 1]
