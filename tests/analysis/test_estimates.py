"""campaigns.analysis.estimates: which importance a job computes before anybody requests it."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest

from campaigns import jobs
from campaigns.analysis import estimates
from campaigns.models import Campaign, CampaignState, ImportanceEstimate
from tests import factories

pytestmark = pytest.mark.django_db

LATER = estimates.AHEAD_EVERY + dt.timedelta(minutes=1)


def computed(campaign: Campaign, revision: int, device: str = "") -> ImportanceEstimate:
    return ImportanceEstimate.objects.create(
        campaign=campaign, device=device, revision=revision, computed_at=factories.NOW
    )


def at_revision(revision: int, **fields: Any) -> Campaign:
    campaign = factories.active_campaign(1)
    Campaign.objects.filter(pk=campaign.pk).update(revision=revision, **fields)
    campaign.refresh_from_db()
    return campaign


def behind(after: dt.timedelta = LATER) -> list[tuple[int, str]]:
    pairs = estimates.behind(now=factories.NOW + after, limit=10)
    return [(campaign.pk, device) for campaign, device in pairs]


def test_a_campaign_that_was_never_computed_is_and_a_draft_is_not() -> None:
    factories.campaign()
    fresh = at_revision(5)
    ImportanceEstimate.objects.create(campaign=fresh, asked_at=factories.NOW)

    assert behind() == [(fresh.pk, "")]
    computed(at_revision(5), 5)
    assert behind() == [(fresh.pk, "")]


def test_a_running_campaign_is_computed_anew_when_enough_came_in_and_some_time_went_by() -> None:
    little, enough = at_revision(1_020), at_revision(1_021)
    for campaign in (little, enough):
        computed(campaign, 1_000)

    assert behind() == [(enough.pk, "")]
    assert behind(after=dt.timedelta(minutes=1)) == []
    Campaign.objects.update(state=CampaignState.COMPLETED)
    assert {pk for pk, _ in behind()} == {little.pk, enough.pk}


def test_a_device_that_somebody_asked_about_is_kept_too() -> None:
    campaign = at_revision(30)
    computed(campaign, 30)
    computed(campaign, 10, device="cuda")

    assert behind() == [(campaign.pk, "cuda")]


def test_a_campaign_that_cannot_be_analysed_keeps_no_other_from_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = factories.active_campaign(1), factories.active_campaign(1)
    Campaign.objects.update(revision=1)
    Campaign.objects.filter(pk=bad.pk).update(search_space={})

    with caplog.at_level(logging.ERROR, logger="campaigns.jobs"):
        assert jobs.keep_importance() == 1

    assert ImportanceEstimate.objects.get().campaign == good
    assert f"importance of campaign {bad.pk} was not computed" in caplog.text
    monkeypatch.setattr(jobs, "IMPORTANCE_SECONDS", -1.0)
    ImportanceEstimate.objects.all().delete()
    assert jobs.keep_importance() == 0


def test_an_importance_that_was_kept_is_the_one_that_was_computed() -> None:
    campaign = factories.active_campaign(20)
    for number in range(20):
        factories.run(3.0 + number / 50, seconds=number)
    campaign.refresh_from_db()

    computed_now = estimates.importance_now(campaign)

    stored = estimates.estimate(campaign)
    assert stored.importance == computed_now
    assert len(computed_now.parameters) == 2
    assert (stored.total, stored.is_behind, stored.is_pending) == (20, False, False)


def test_an_estimate_of_too_few_results_is_computed_anew_once_there_are_enough() -> None:
    campaign = factories.active_campaign(20)
    assert estimates.importance_now(campaign).parameters == []
    for number in range(20):
        factories.run(3.0 + number / 50, seconds=number)
    campaign.refresh_from_db()

    stale = estimates.estimate(campaign)
    assert (stale.is_pending, stale.is_behind) == (True, True)
    estimates.importance_now(campaign)
    assert len(estimates.estimate(campaign).importance.parameters) == 2


def test_a_job_for_a_campaign_that_is_gone_does_nothing() -> None:
    assert jobs.compute_importance(123_456, "") == 0
