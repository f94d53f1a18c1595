"""Reading runs and attempts, and how values spread."""

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


def run(config: str, val_bpb: float) -> Run:
    return Run(1, 1, 1, {}, config, val_bpb, 1, 1, 1, "cpu")


def campaign_with_everything() -> Campaign:
    """Two measured results, one diverged, one simulated, one failure, one loss, one running."""
    campaign = factories.active_campaign(8, allow_simulated=True, max_failed_attempts=1)
    worker = factories.worker("lab-1")
    lost = factories.claim_one(worker)
    lifecycle.expire(now=factories.at(60))
    lost.refresh_from_db()
    assert lost.outcome == "lost"
    for second, value in ((70, 3.0), (80, 2.5)):
        attempt = factories.claim_one(worker, now=factories.at(second))
        factories.finish(attempt, value, now=factories.at(second + 9))
    diverged = factories.claim_one(worker, now=factories.at(90))
    body = factories.completed(diverged.task)
    body["metrics"] |= {
        "val_bpb": None,
        "eval_nll_nats": None,
        "train_loss": None,
        "diverged": True,
        "stop_reason": "diverged",
    }
    lifecycle.submit(worker, diverged.lease_id, body, now=factories.at(95))
    invented = factories.claim_one(worker, now=factories.at(96))
    body = factories.completed(invented.task, 1.0)
    body["simulated"] = True
    lifecycle.submit(worker, invented.lease_id, body, now=factories.at(97))
    factories.fail(
        factories.claim_one(worker, now=factories.at(98)), FailureClass.OOM, now=factories.at(99)
    )
    factories.claim_one(worker, now=factories.at(100))
    campaign.refresh_from_db()
    return campaign


@pytest.mark.django_db
def test_only_measured_ranked_results_are_runs() -> None:
    found = read_runs(campaign_with_everything())
    assert found.total == 2
    assert [one.val_bpb for one in found.runs] == [3.0, 2.5]
    assert found.runs[0].tokens == 409_600
    assert not found.is_sample


@pytest.mark.django_db
def test_runs_are_narrowed_to_a_device() -> None:
    campaign = factories.active_campaign(2)
    worker = factories.worker()
    factories.finish(factories.claim_one(worker), 3.0, device_used="cpu")
    factories.finish(factories.claim_one(worker), 2.0, device_used="cuda")
    assert [one.val_bpb for one in read_runs(campaign, device="cuda").runs] == [2.0]


@pytest.mark.django_db
def test_of_many_results_a_fair_share_is_read() -> None:
    campaign = factories.active_campaign(60)
    worker = factories.worker()
    for number in range(60):
        factories.finish(factories.claim_one(worker), 2 + number / 100)
    found = read_runs(campaign, limit=20)
    assert found.total == 60
    assert found.is_sample
    assert 15 <= len(found.runs) <= 25
    # From all parts of the campaign, and the same ones each time.
    assert {one.number // 20 for one in found.runs} == {0, 1, 2}
    assert found == read_runs(campaign, limit=20)


@pytest.mark.django_db
def test_the_timeline_has_every_attempt_with_its_real_times() -> None:
    found = timeline(campaign_with_everything(), now=factories.at(130))
    assert found.total == len(found.spans) == 7
    first, last = found.spans[0], found.spans[-1]
    assert (first.outcome, first.started_at) == ("lost", factories.NOW)
    assert (last.outcome, last.ended_at) == ("running", factories.at(130))
    assert (found.spans[2].started_at, found.spans[2].ended_at) == (
        factories.at(80),
        factories.at(89),
    )


@pytest.mark.django_db
def test_endings_count_what_brought_no_ranked_result() -> None:
    found = endings(campaign_with_everything())
    assert found.total == 6
    assert {one.label: one.attempts for one in found.endings} == {
        "diverged loss": 1,
        "failed: out of memory": 1,
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
