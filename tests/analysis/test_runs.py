"""campaigns.analysis: reading of runs and attempts, and the distribution of their values."""

from __future__ import annotations

import pytest

from campaigns import lifecycle
from campaigns.analysis.attempts import endings, timeline
from campaigns.analysis.distribution import (
    distribution,
    pooled_deviation,
    rank_correlation,
    replicates,
)
from campaigns.analysis.reading import read_runs
from campaigns.analysis.runs import Run, evenly
from campaigns.models import Campaign
from tests import factories
from workers.protocol import FailureClass


def run(config: str, value: float) -> Run:
    return Run(1, 1, {}, config, value, value, 1, 1, 1, "cpu")


def campaign_with_everything() -> Campaign:
    """Two measured results, and of each other kind one: implausible, diverged, simulated and so on.

    Also a failure, a loss, and a running attempt.
    """
    campaign = factories.active_campaign(9, allow_simulated=True, max_failed_attempts=1)
    worker = factories.worker("lab-1")
    lost = factories.claim_one(factories.worker())
    lifecycle.expire(now=factories.at(60))
    lost.refresh_from_db()
    assert lost.outcome == "lost"
    for second, value in ((70, 3.0), (80, 2.5)):
        attempt = factories.claim_one(worker, now=factories.at(second))
        factories.finish(attempt, value, now=factories.at(second + 9))
    factories.run(0.5, seconds=89)
    factories.run(None, seconds=90, stop_reason="diverged")
    factories.run(1.0, seconds=96, simulated=True)
    factories.fail(
        factories.claim_one(worker, now=factories.at(98)), FailureClass.OOM, now=factories.at(99)
    )
    factories.claim_one(worker, now=factories.at(100))
    campaign.refresh_from_db()
    return campaign


@pytest.mark.django_db
def test_only_measured_ranked_results_are_runs() -> None:
    reading = read_runs(campaign_with_everything())
    assert reading.total == 2
    assert [measured.value for measured in reading.runs] == [3.0, 2.5]
    assert reading.runs[0].tokens == 409_600
    assert not reading.is_sample


@pytest.mark.django_db
def test_runs_are_narrowed_to_a_device() -> None:
    campaign = factories.active_campaign(2)
    worker = factories.worker()
    factories.finish(factories.claim_one(worker), 3.0, device_used="cpu")
    factories.finish(factories.claim_one(worker), 2.0, device_used="cuda")
    reading = read_runs(campaign, device="cuda")
    assert [measured.value for measured in reading.runs] == [2.0]


@pytest.mark.django_db
def test_of_many_results_a_fair_share_is_read() -> None:
    campaign = factories.active_campaign(60)
    worker = factories.worker()
    for number in range(60):
        factories.finish(factories.claim_one(worker), 2 + number / 100)
    reading = read_runs(campaign, limit=20)
    assert reading.total == 60
    assert reading.is_sample
    assert 15 <= len(reading.runs) <= 25
    # The sample covers all parts of the campaign and is the same each time.
    assert {measured.number // 20 for measured in reading.runs} == {0, 1, 2}
    assert reading == read_runs(campaign, limit=20)


@pytest.mark.django_db
def test_the_timeline_has_every_attempt_with_its_real_times() -> None:
    drawn = timeline(campaign_with_everything(), now=factories.at(130))
    assert drawn.total == len(drawn.spans) == 8
    first, last = drawn.spans[0], drawn.spans[-1]
    assert (first.outcome, first.started_at) == ("lost", factories.NOW)
    assert (last.outcome, last.ended_at) == ("running", factories.at(130))
    assert (drawn.spans[2].started_at, drawn.spans[2].ended_at) == (
        factories.at(80),
        factories.at(89),
    )


@pytest.mark.django_db
def test_endings_count_what_brought_no_ranked_result() -> None:
    counted = endings(campaign_with_everything())
    assert counted.total == 7
    assert {ending.label: ending.attempts for ending in counted.endings} == {
        "diverged loss": 1,
        "failed: out of memory": 1,
        "implausible, not counted": 1,
        "simulated, not measured": 1,
        "worker lost": 1,
    }


def test_a_distribution_rises_to_one() -> None:
    assert distribution([3.0, 1.0, 2.0, 2.0]) == [(1.0, 0.25), (2.0, 0.5), (2.0, 0.75), (3.0, 1.0)]


def test_evenly_keeps_both_ends() -> None:
    assert evenly(range(100), 4) == [0, 33, 66, 99]
    assert evenly([1, 2], 4) == [1, 2]


def test_repeated_configs_come_best_first_with_their_spread() -> None:
    runs = [run("a", 3.0), run("b", 2.0), run("a", 3.2), run("b", 2.2), run("c", 1.0)]
    groups = replicates(runs)
    assert [round(group.mean, 3) for group in groups] == [2.1, 3.1]
    assert groups[0].deviation == pytest.approx(0.2 / 2**0.5)
    assert pooled_deviation(groups) == pytest.approx(0.2 / 2**0.5)
    assert pooled_deviation([]) is None


def test_rank_correlation_sees_order_only() -> None:
    assert rank_correlation([1, 10, 1000], [0.3, 0.2, 0.1]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 1], [0.3, 0.2, 0.1]) is None
    # scipy.stats.spearmanr gives the same for these ties.
    tied = rank_correlation([1, 2, 2, 3, 5], [2, 1, 3, 3, 4])
    assert tied == pytest.approx(0.7631578947)
