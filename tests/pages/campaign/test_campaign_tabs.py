"""The tabs of a campaign beside its results: tasks, workers and log."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from campaigns import lifecycle, steering
from campaigns.models import Campaign
from tests import factories
from workers.protocol import FailureClass
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

TABS = ("campaign-tasks", "campaign-workers", "campaign-log")
HOSTILE = '<script>alert(1)</script> {{ 7*7 }} \u202egnp.exe \' onload="x"'


def tab(client: Client, name: str, campaign: Campaign, **query: Any) -> str:
    return client.get(reverse(name, args=[campaign.pk]), query).text


def numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="task-\d+"[^>]*>(\d+)</a>', page)]


@pytest.mark.parametrize("role", [None, *roles.ROLES])
@pytest.mark.parametrize("name", TABS)
def test_everybody_who_may_read_sees_each_tab_with_the_same_head(
    client: Client, name: str, role: str | None
) -> None:
    campaign = factories.active_campaign(name="one head")
    if role:
        client.force_login(factories.user(role=role))
    page = tab(client, name, campaign)
    assert "<bdi>one head</bdi>" in page
    assert page.count('aria-current="page"') == 1
    assert f'id="{name.replace("campaign", "tab")}"' in page
    assert ("Pause campaign" in page) is (role == roles.OPERATOR)


@pytest.mark.parametrize("name", TABS)
def test_a_draft_says_on_each_tab_that_nothing_ran(client: Client, name: str) -> None:
    page = tab(client, name, factories.campaign())
    words = {
        "campaign-tasks": "A draft has no tasks",
        "campaign-workers": "Nothing runs before the campaign is launched",
        "campaign-log": "created the campaign",
    }
    assert words[name] in page


@pytest.mark.parametrize("name", TABS)
def test_the_queries_of_a_tab_do_not_grow(
    client: Client, name: str, django_assert_max_num_queries: Any
) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(12, owner=owner, max_failed_attempts=1)
    worker = factories.worker()
    for value in (3.0, 3.1, 3.2, 3.3):
        factories.run(value)
    for _ in range(4):
        factories.fail(factories.claim_one(worker, now=factories.at(20)), now=factories.at(21))
        steering.retry_task(owner, campaign.tasks.filter(state="failed")[0], now=factories.at(22))
    client.force_login(owner)
    with django_assert_max_num_queries(11):
        client.get(reverse(name, args=[campaign.pk]))


def test_hostile_text_is_shown_verbatim_on_each_tab(client: Client) -> None:
    worker = factories.worker(HOSTILE[:100])
    attempt = factories.leased_task(worker, name=HOSTILE)
    lifecycle.submit(
        worker, attempt.lease_id, factories.failure(message=HOSTILE), now=factories.NOW
    )
    campaign = attempt.task.campaign
    steering.pause(None, campaign, now=factories.NOW, reason=HOSTILE)
    for name in TABS:
        page = tab(client, name, campaign)
        assert escape(HOSTILE) in page, name
        assert "<script>alert" not in page, name
    assert escape(HOSTILE[:100]) in tab(client, "campaign-workers", campaign)


# --- tasks ----------------------------------------------------------------------------------------


def test_tasks_are_filtered_by_state_and_failure_with_the_numbers_beside(client: Client) -> None:
    campaign = factories.active_campaign(5, max_failed_attempts=1)
    worker = factories.worker()
    for failure in (FailureClass.OOM, FailureClass.OOM, FailureClass.TIMEOUT):
        factories.fail(factories.claim_one(worker), failure)
    page = tab(client, "campaign-tasks", campaign)
    assert numbers(page) == [0, 1, 2, 3, 4]
    assert re.search(r'id="state-failed"[^>]*>failed <span class="soft">3</span>', page)
    assert re.search(r'id="failure-oom"[^>]*>out of memory <span class="soft">2</span>', page)
    assert numbers(tab(client, "campaign-tasks", campaign, state="failed")) == [0, 1, 2]
    assert numbers(tab(client, "campaign-tasks", campaign, failure="timeout")) == [2]
    empty = tab(client, "campaign-tasks", campaign, failure="disk_full")
    assert "No task is failed by disk full" in empty


def test_tasks_are_sorted_by_any_column_and_what_is_unknown_comes_last(client: Client) -> None:
    campaign = factories.active_campaign(3)
    factories.run(3.5)
    factories.run(3.1)
    assert numbers(tab(client, "campaign-tasks", campaign, sort="value")) == [1, 0, 2]
    assert numbers(tab(client, "campaign-tasks", campaign, sort="-value")) == [0, 1, 2]
    assert numbers(tab(client, "campaign-tasks", campaign, sort="-number")) == [2, 1, 0]
    assert numbers(tab(client, "campaign-tasks", campaign, sort="worker__token")) == [0, 1, 2]


def test_many_tasks_come_in_pages_that_keep_filter_and_order(client: Client) -> None:
    campaign = factories.active_campaign(60)
    first = tab(client, "campaign-tasks", campaign, state="pending", sort="-number")
    assert numbers(first) == list(range(59, 9, -1))
    assert "?state=pending&amp;sort=-number&amp;page=2" in first
    second = tab(client, "campaign-tasks", campaign, state="pending", sort="-number", page=2)
    assert numbers(second) == list(range(9, -1, -1))


# --- workers --------------------------------------------------------------------------------------


def test_each_worker_is_shown_with_what_it_did(client: Client) -> None:
    campaign = factories.active_campaign(9, max_failed_attempts=1)
    good, bad = factories.worker("good"), factories.worker("bad")
    for value in (3.2, 3.1):
        factories.finish(factories.claim_one(good), value)
    factories.fail(factories.claim_one(bad), FailureClass.OOM)
    factories.claim_one(bad)
    factories.worker("idle")
    page = " ".join(re.sub("<[^>]+>", " ", tab(client, "campaign-workers", campaign)).split())
    assert "good offline no torch 2 3.1000 0 9.6 s 19.2 s none 0" in page
    assert "bad offline no torch 0 — 1 — 0 s 1 × out of memory 0" in page
    assert "idle" not in page


# --- log ------------------------------------------------------------------------------------------


def test_the_log_tells_people_server_and_failures_newest_first(client: Client) -> None:
    owner = factories.user("ada")
    campaign = factories.campaign(owner=owner)
    steering.launch(owner, campaign, now=factories.at(1))
    attempt = factories.claim_one(factories.worker("lab-1"), now=factories.at(2))
    factories.fail(attempt, FailureClass.OOM, now=factories.at(3))
    steering.pause(owner, campaign, now=factories.at(4))
    steering.cancel_task(owner, attempt.task, now=factories.at(5))
    page = tab(client, "campaign-log", campaign)
    rows = re.findall(r"<tr[^>]*>\s*<td>(.*?)</tr>", page, re.DOTALL)
    texts = [" ".join(re.sub("<[^>]+>", " ", row).split()[2:]) for row in rows]
    assert [row.removeprefix("ago ") for row in texts] == [
        "cancelled ada Task 0 : cancelled a task",
        "paused ada paused the campaign",
        "failed lab-1 Task 0 : attempt 1: out of memory exit code 1",
        "active ada launched the campaign",
        "draft the server created the campaign",
    ]


def test_a_pause_by_the_server_is_told_with_its_reason(client: Client) -> None:
    campaign = factories.active_campaign()
    lifecycle.pause(campaign, now=factories.at(5), reason="11 of the last 20 attempts failed.")
    page = tab(client, "campaign-log", campaign)
    assert "the server" in page
    assert "11 of the last 20 attempts failed." in page


def test_the_pages_of_the_log_hold_every_event_once(client: Client) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(1, owner=owner)
    # 40 events at each instant: pages must neither lose nor repeat events of the same time.
    for number in range(130):
        steering.add_tasks(owner, campaign, 1, now=factories.at(number // 40))
    events: list[str] = []
    path: str | None = reverse("campaign-log", args=[campaign.pk])
    pages = 0
    while path and pages < 5:
        page = client.get(path).text
        events += re.findall(r"added tasks|launched the campaign|created the campaign", page)
        older = re.search(r'id="log-older" href="([^"]*)"', page)
        path = f"{reverse('campaign-log', args=[campaign.pk])}{older[1]}" if older else None
        pages += 1
    assert pages == 3
    assert events.count("added tasks") == 130
    assert len(events) == 132


@pytest.mark.parametrize("before", ["", "yesterday", "2026-01-05~1~2", "2026-01-05T00:00Z~1~-1"])
def test_a_position_that_makes_no_sense_shows_the_newest(client: Client, before: str) -> None:
    page = tab(client, "campaign-log", factories.active_campaign(), before=before)
    assert "launched the campaign" in page


def test_an_order_that_follows_the_leases_is_never_an_old_one(client: Client) -> None:
    campaign = factories.active_campaign(3)
    path = reverse("campaign-tasks", args=[campaign.pk])
    task_numbers = re.compile(r'id="task-\d+"[^>]*>(\d+)</a>')
    assert task_numbers.findall(client.get(path, {"sort": "state"}).text) == ["0", "1", "2"]
    assert task_numbers.findall(client.get(path, {"state": "leased", "sort": "-number"}).text) == []
    # A claim does not move the campaign's revision, so a cached order would be stale.
    taken = factories.claim_one(factories.worker()).task
    waiting = [str(number) for number in range(3) if number != taken.number]
    by_state = task_numbers.findall(client.get(path, {"sort": "state"}).text)
    assert by_state == [str(taken.number), *waiting]
    leased = client.get(path, {"state": "leased", "sort": "-number"}).text
    assert task_numbers.findall(leased) == [str(taken.number)]
