"""The admin's first page: the overview's figures, its concerns, and who sees the page."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, Schedule

from campaigns.models import Webhook, WebhookDelivery
from tests import factories
from workers import lifecycle as worker_lifecycle
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db


def figures(client: Client) -> dict[str, str]:
    """The label and value of each figure on the first page."""
    page = client.get(reverse("admin:index")).text
    pairs = re.findall(r'block text-sm">([^<]+)</span><span class="block[^>]*>([^<]+)<', page)
    return {label: value.strip() for label, value in pairs}


def overview_figures(client: Client) -> dict[str, str]:
    page = client.get(reverse("overview")).text
    return dict(re.findall(r'<dt>([^<]+)</dt><dd class="value">([^<]+)<', page))


def test_the_first_page_shows_the_overviews_figures(operator: Client) -> None:
    now = timezone.now()
    worker_lifecycle.see(worker := factories.worker(), now=now)
    factories.active_campaign(5, now=now)
    factories.finish(factories.claim_one(worker, now=now), now=now)
    factories.claim_one(worker, now=now)

    dashboard, overview = figures(operator), overview_figures(operator)

    assert (
        dashboard["Active campaigns"],
        dashboard["Tasks running"],
        dashboard["Tasks waiting"],
    ) == (
        "1",
        "1",
        "3",
    )
    for label in ("Active campaigns", "Tasks running", "Workers online"):
        assert dashboard[label] == overview[label]
    assert dashboard["Tasks ended in the last hour"] == overview["Tasks per hour"]


def test_what_needs_attention_is_said_with_hostile_names_verbatim(operator: Client) -> None:
    Schedule.objects.update(next_run=timezone.now() - dt.timedelta(hours=1))
    campaign = factories.active_campaign(name="<script>alert(1)</script>")
    type(campaign).objects.update(state="paused", state_reason="half of it failed")
    page = operator.get(reverse("admin:index")).text
    assert "the q-cluster is not running" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert(1)" not in page


def test_a_quiet_installation_says_that_nothing_needs_attention(operator: Client) -> None:
    Schedule.objects.update(next_run=timezone.now())
    assert "Nothing needs attention." in operator.get(reverse("admin:index")).text


def test_failed_jobs_and_webhooks_of_the_last_day_are_counted(operator: Client) -> None:
    now = timezone.now()
    for hours in (1, 30):
        at = now - dt.timedelta(hours=hours)
        Failure.objects.create(
            id=f"{hours:032}", name="job", func="f", started=at, stopped=at, success=False
        )
        hook = Webhook.objects.create(owner=factories.user(), url="https://example.org/")
        for state in ("failed", "pending"):
            WebhookDelivery.objects.create(
                webhook=hook,
                event="new_best",
                event_key=state,
                payload={},
                state=state,
                created_at=at,
            )
    counts = figures(operator)
    assert (counts["Jobs failed in 24 h"], counts["Webhooks failed in 24 h"]) == ("1", "1")
    assert "2 waiting" in operator.get(reverse("admin:index")).text


def test_the_first_page_costs_a_fixed_number_of_queries(
    operator: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(6):
        factories.leased_task(now=timezone.now())
    with django_assert_max_num_queries(25) as few:
        operator.get(reverse("admin:index"))
    for _ in range(6):
        factories.leased_task(now=timezone.now())
    with django_assert_max_num_queries(len(few)):
        operator.get(reverse("admin:index"))


@pytest.mark.parametrize("role", [roles.VIEWER, roles.RESEARCHER])
def test_only_staff_sees_it(client: Client, role: str) -> None:
    path = reverse("admin:index")
    assert client.get(path).status_code == 302
    client.force_login(factories.user(role=role))
    assert client.get(path).status_code == 302


def test_the_sidebar_lists_only_what_one_may_see(client: Client, operator: Client) -> None:
    assert reverse("admin:django_q_failure_changelist") in operator.get(reverse("admin:index")).text
    client.force_login(factories.user("clerk", is_staff=True))
    sidebar = client.get(reverse("admin:index")).text.split("<main")[0]
    assert reverse("admin:auth_user_changelist") not in sidebar
