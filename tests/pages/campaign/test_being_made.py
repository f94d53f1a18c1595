"""A large launch while its tasks are being made: every door says how many are left."""

from __future__ import annotations

import datetime as dt
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from campaigns import health, jobs, lifecycle
from campaigns.clock import database_now
from campaigns.models import Campaign
from tests import factories
from tests.lifecycle.test_drawing import of_ten

pytestmark = pytest.mark.django_db


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """A campaign of which ten tasks are made, and twenty are not."""
    of_ten(monkeypatch)
    return factories.active_campaign(30, name="large", now=database_now())


def shown(campaign: Campaign) -> str:
    output = StringIO()
    call_command("campaign", "show", str(campaign.pk), stdout=output)
    return output.getvalue()


def test_every_door_says_how_many_tasks_are_being_made(client: Client, large: Campaign) -> None:
    client.force_login(factories.user())
    page = client.get(large.get_absolute_url()).text
    assert "20 being made" in page
    assert ">10 waiting</a>" in page
    assert "0/30 done, 0 running, 20 being made" in shown(large)
    answer = client.get(reverse("api-campaign", args=[large.pk])).json()
    assert (answer["task_count"], answer["undrawn_tasks"]) == (30, 20)
    assert answer["drawing_since"] is not None
    progress = answer["progress"]
    assert (progress["pending"], progress["undrawn"], progress["total"]) == (10, 20, 30)

    jobs.draw_tasks()
    page = client.get(large.get_absolute_url()).text
    assert "being made" not in page
    assert ">30 waiting</a>" in page
    assert "being made" not in shown(large)


def test_the_admin_shows_it(client: Client, large: Campaign) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    page = client.get(reverse("admin:campaigns_campaign_change", args=[large.pk])).text
    assert "Undrawn tasks" in page
    assert "Drawing since" in page


def test_the_dialog_before_cancelling_counts_what_is_not_made(
    client: Client, large: Campaign
) -> None:
    client.force_login(factories.user(role="operator"))
    assert "20 more are not made." in client.get(large.get_absolute_url()).text


def test_the_panel_of_the_last_task_that_is_made_leads_to_no_further(
    client: Client, large: Campaign
) -> None:
    def leads_on(number: int) -> bool:
        address = reverse("campaign-side", args=[large.pk])
        page = client.get(address, {"open": f"task-{number}"}).text
        return f"open=task-{number + 1}" in page

    assert leads_on(8)
    assert not leads_on(9)


def test_health_names_a_launch_that_is_not_through_after_minutes(large: Campaign) -> None:
    def concerns(now: dt.datetime) -> list[str]:
        live = health.live_campaigns()
        figures = health.health(live, now=now)
        return [concern.text for concern in health.concerns(figures, live, now=now, reader=None)]

    now = database_now()
    assert not [text for text in concerns(now) if "still to be made" in text]
    (named,) = [
        text for text in concerns(now + dt.timedelta(minutes=11)) if "still to be made" in text
    ]
    assert named.startswith("“large” has 20 tasks that are still to be made, since ")
    lifecycle.cancel(large, now=now)
    assert not [
        text for text in concerns(now + dt.timedelta(minutes=11)) if "still to be made" in text
    ]
