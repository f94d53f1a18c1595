"""No page refreshes because time passes: the same state gives the same bytes, 26 seconds later."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django_q.models import Schedule

from campaigns import lifecycle
from campaigns.models import DeliveryState, Webhook, WebhookDelivery
from tests import factories
from tests.factories import NOW
from tests.pages.campaign.campaign_states import Stage
from tests.pages.live_page import Page
from xeenet_site.web import roles

# The database's own clock cannot be held.
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only]

TABS = (
    *("campaign", "campaign-runs", "campaign-races", "campaign-tasks"),
    *("campaign-workers", "campaign-honesty", "campaign-log"),
)


def run(stage: Stage, value: float) -> None:
    """Let the machine run the next task, which takes it a minute and a half."""
    attempt = factories.claim_one(stage.worker(), now=stage.now)
    stage.now += dt.timedelta(seconds=90)
    factories.finish(attempt, value, now=stage.now)


def world() -> tuple[Stage, list[str]]:
    """Make what has texts about time, and return the addresses of the pages that show it."""
    operator = factories.user("ada", role=roles.OPERATOR)
    stage = Stage(NOW, owner=operator)
    racing = stage.campaign(3, name="A race that runs")
    for value in (2.5, 2.6, 2.7):
        run(stage, value)
    lifecycle.start_race(racing, [0, 1], seeds=3, now=stage.now)
    run(stage, 2.4)
    # Nothing of it has ended, and nobody takes its tasks: its only worker pauses.
    stands_still = stage.campaign(3, name="Stands still", required_isolation="T1")
    until = stage.now + dt.timedelta(minutes=10)
    stage.worker("guarded", isolation="T1", paused_until=until, pause_reason="no memory")
    running = factories.claim_one(stage.worker(), now=stage.now)
    factories.curve(running, [{"train_loss": 3.5}, {"train_loss": 3.4}])
    # The q-cluster is away, and a receiver answers nothing.
    Schedule.objects.update(next_run=stage.now - dt.timedelta(minutes=20))
    hook = Webhook.objects.create(
        owner=operator, url="https://example.org/", secret="s" * 32, events=["new_best"]
    )
    again = stage.now + dt.timedelta(minutes=5)
    payload: dict[str, Any] = {"event": "new_best", "text": "It ended.", "test": True}
    pending = {"state": DeliveryState.PENDING, "attempts": 2, "last_error": "timed out"}
    WebhookDelivery.objects.create(
        webhook=hook,
        event="new_best",
        event_key="key",
        payload=payload,
        next_attempt_at=again,
        **pending,
    )
    task, other = running.task, stands_still.tasks.get(number=0)
    side = reverse("campaign-side", args=[racing.pk])
    return stage, [
        reverse("overview"),
        reverse("campaigns"),
        *(reverse(tab, args=[racing.pk]) for tab in TABS),
        f"{reverse('campaign-honesty', args=[racing.pk])}?rows=counted",
        reverse("campaign", args=[stands_still.pk]),
        task.get_absolute_url(),
        other.get_absolute_url(),
        f"{reverse('compare')}?tasks={task.name},{racing.pk}/0",
        f"{reverse('compare')}?campaigns={racing.pk},{stands_still.pk}",
        f"{side}?open=task-{task.number}",
        f"{side}?open=arm-{task.arm.number}",
        reverse("workers"),
        reverse("worker", args=[running.worker_id]),
        reverse("webhook", args=[hook.pk]),
    ]


def test_nothing_is_sent_while_only_time_passes(client: Client) -> None:
    stage, addresses = world()
    client.force_login(stage.owner)
    with time_machine.travel(stage.now + dt.timedelta(seconds=1), tick=False) as clock:
        pages = [Page(client, address) for address in addresses]
        brought = {}
        for seconds in (1, 5, 20):
            clock.shift(seconds)
            for page in pages:
                if news := page.news():
                    brought[page.address, seconds] = news
    assert brought == {}
