"""What the first look at a page costs, with nothing cached and a reader who is signed in."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns import jobs, lifecycle
from campaigns.models import Campaign
from tests import factories
from tests.factories import at
from xeenet_site.web import roles

pytestmark = [pytest.mark.django_db, pytest.mark.postgresql_only]

MOST = 15


@pytest.fixture
def raced() -> Campaign:
    """A campaign with a champion, whose next race runs, beside another that shares its workers.

    Its results are of two classes.
    """
    campaign = factories.active_campaign(20)
    worker = factories.worker(last_seen_at=at(0))
    for number in range(20):
        attempt = factories.claim_one(worker, now=at(number))
        factories.curve(attempt, [{"value": 4.0 - n / 10, "train_loss": 2.0} for n in range(6)])
        factories.finish(attempt, 3.0 + number / 50, now=at(number))
    lifecycle.start_race(campaign, [0, 1, 2], seeds=3, now=at(60))
    factories.run_pending(campaign, lambda task: 3.0 + task.arm.number / 5)
    lifecycle.start_race(campaign, [0, 3], seeds=3, now=at(600))
    lifecycle.add_tasks(campaign, 6, now=at(610))
    running = factories.claim_one(worker, now=at(620))
    factories.curve(running, [{"value": 4.0 - n / 10, "train_loss": 2.0} for n in range(6)])
    factories.active_campaign(3, now=at(630))
    factories.in_another_class(campaign.results.filter(task__arm__number__in=[7, 8, 9]))
    jobs.keep_noise_floors()
    campaign.refresh_from_db()
    return campaign


def addresses(campaign: Campaign) -> dict[str, int]:
    """Return addresses, each with the most queries of its first look."""
    other = Campaign.objects.exclude(pk=campaign.pk).get()
    running = campaign.tasks.get(state="leased").number
    side, honesty = reverse("campaign-side", args=[campaign.pk]), "campaign-honesty"
    return {
        campaign.get_absolute_url(): MOST,
        **{reverse("task", args=[campaign.pk, number]): MOST for number in (0, 5, running)},
        **{f"{side}?open={key}": MOST for key in ("arm-0", "arm-5", "task-0", f"task-{running}")},
        f"{campaign.get_absolute_url()}?open=arm-5": MOST,
        reverse(honesty, args=[campaign.pk]): MOST,
        reverse(honesty, args=[campaign.pk]) + "?rows=counted": MOST,
        reverse("campaign-races", args=[campaign.pk]): MOST,
        reverse("campaign-race-page", args=[campaign.pk, 1]): MOST,
        f"{reverse('compare')}?campaigns={campaign.pk},{other.pk}": MOST,
        f"{reverse('compare')}?tasks={campaign.pk}/0,{campaign.pk}/1": MOST,
        reverse("overview"): MOST,
        reverse("campaigns"): MOST,
        "/api/v1/overview": MOST,
    }


# What a page reads of a campaign only up to so many rows.
BOUNDS = (
    "campaigns.views.side._LARGE_CAMPAIGN",
    "campaigns.views.results.LARGE_CAMPAIGN",
    "campaigns.standings.headline.RUNS_READ",
    "campaigns.charts.points.MOST_POINTS",
)


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
def test_the_first_look_at_a_page_takes_few_queries(
    raced: Campaign, monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    for bound in BOUNDS if is_large else ():
        monkeypatch.setattr(bound, 5)
    client = Client()
    client.force_login(factories.user(role=roles.OPERATOR))
    too_many = {}
    for address, most in addresses(raced).items():
        cache.clear()
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        if len(captured) > most:
            too_many[address] = len(captured)
    assert too_many == {}
