"""campaigns.standings.headline: what the campaign's own rows make its page say first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign
from campaigns.race.words import Finding
from campaigns.standings import headline
from campaigns.standings.progress import campaign_progress
from tests import factories
from tests.factories import active_campaign, at
from workers.models import Worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def told(campaign: Campaign, seconds: float = 60) -> str:
    campaign = Campaign.objects.select_related("package").get(pk=campaign.pk)
    now = at(seconds)
    return headline.sentence(campaign, campaign_progress(campaign, now=now), now=now)


def test_it_follows_the_campaign_from_its_launch_to_its_race() -> None:
    campaign = active_campaign(3)
    assert told(campaign).startswith("Nothing can run: no worker online. 3 tasks wait")
    worker = factories.worker(last_seen_at=at(50))
    assert told(campaign).startswith("No measured result yet.")
    factories.finish(factories.claim_one(worker, now=at(10)), 3.0, now=at(20))
    assert told(campaign).startswith("Only one arm has a measured value")
    gone = f"no worker online since {at(50):%H:%M} UTC"
    assert told(campaign, 96) == f"Nothing can run: {gone}. 2 tasks wait."
    factories.worker(last_seen_at=at(1_000))
    assert told(campaign, 1_000).startswith(f"Stalled: no task has ended since {at(20):%H:%M} UTC")
    lifecycle.pause(campaign, now=at(1_001))
    assert told(campaign, 1_002).startswith("Only one arm has a measured value")


def test_runs_without_a_value_are_counted_once_with_what_they_share() -> None:
    values: list[float | None] = [3.1, 3.2, 3.3, None]
    campaign = active_campaign(5, max_failed_attempts=1)
    for seconds, value in enumerate(values):
        factories.run(value, seconds=seconds)
    attempt = factories.claim_one(factories.worker(), now=at(9))
    factories.fail(attempt, FailureClass.OOM, now=at(9))
    assert told(campaign).startswith("2 of 5 runs have no value: 1 × diverged, 1 × out of memory")


def test_the_race_that_is_offered_would_settle_something(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = active_campaign(4)
    for number in range(3):
        factories.run(3.0 + number / 100, seconds=10 + number)
    factories.worker(last_seen_at=at(50))

    def offer() -> headline.RaceOffer | None:
        current = Campaign.objects.select_related("package").get(pk=campaign.pk)
        return headline.race_offer(current, campaign_progress(current, now=at(60)), now=at(60))

    first = offer()
    assert first is not None
    assert (first.arms, first.seeds) == ([0, 1, 2], 12)
    # 3 arms on 3, 3 on further 3 and 2 on further 6 seeds, of 9.6 s each.
    assert first.label == "Race the top 3 · ≤ 4 m 48 s on 1 worker"
    # Of 9, 9 and 12 runs four at a time: 3, 3 and 3 after each other.
    Worker.objects.update(slots=4)
    faster = offer()
    assert faster is not None
    assert faster.label == "Race the top 3 · ≤ 1 m 26 s on 1 worker"
    # While nothing is handed out, no forecast has counted them.
    lifecycle.pause(campaign, now=at(55))
    assert offer() == faster
    lifecycle.resume(campaign, now=at(56))
    Campaign.objects.update(race_seeds=24)
    longer = offer()
    assert longer is not None
    assert longer.seeds == 24
    Campaign.objects.update(race_seeds=12)

    tied = Finding(
        outcome="tie",
        looks=3,
        most_looks=3,
        seeds=12,
        leader=0,
        rival=1,
        estimate=0.01,
        bound=0.02,
        group=(0, 1),
        behind=(2,),
        dropped=(),
        infeasible=(),
        seeds_to_separate=40,
        arms=3,
    )
    for finding, seeds in (
        (tied, 40),
        (replace(tied, seeds_to_separate=59_031), None),
        (replace(tied, seeds_to_separate=None), None),
        (replace(tied, outcome=""), None),
    ):
        monkeypatch.setattr(headline.arms, "finding", lambda _, finding=finding: finding)
        race = offer()
        assert (race and (race.arms, race.seeds)) == (([0, 1], seeds) if seeds else None)


def test_arms_added_after_a_race_may_race_its_champion() -> None:
    race = factories.decided_race(max_failed_attempts=1)
    factories.worker(last_seen_at=at(190))

    def offer() -> headline.RaceOffer | None:
        current = Campaign.objects.select_related("package").get(pk=race.campaign_id)
        return headline.race_offer(current, campaign_progress(current, now=at(200)), now=at(200))

    assert offer() is None
    lifecycle.add_tasks(race.campaign, 4, now=at(100))
    # What has no value yet, none at all, or one far from the first may not.
    assert offer() is None
    for value, seconds in ((3.01, 110), (None, 120), (9.0, 130), (3.02, 140)):
        factories.run(value, seconds=seconds)
    challenge = offer()
    assert challenge is not None
    assert (challenge.arms, challenge.seeds) == ([0, 2, 5], 12)
    assert challenge.label.startswith("Race 2 newer arms against the champion · ≤ 4 m")

    lifecycle.start_race(race.campaign, [0, 2], seeds=3, now=at(150))
    assert offer() is None
    # The next race has seen all of them: the fourth was passed over.
    while race.campaign.tasks.filter(state="pending").exists():
        attempt = factories.claim_one(factories.runner(), now=at(160))
        factories.finish(attempt, 3.0 + attempt.task.arm.number, now=at(170))
    assert offer() is None


def test_a_race_that_comes_by_itself_is_not_offered() -> None:
    campaign = active_campaign(30, races_automatically=True)
    for number in range(3):
        factories.run(3.0 + number / 100, seconds=10 + number)
    campaign = Campaign.objects.select_related("package").get(pk=campaign.pk)
    progress = campaign_progress(campaign, now=at(60))
    assert headline.race_offer(campaign, progress, now=at(60)) is None
