"""The side panel: one arm or task beside the page, named by the address."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns import lifecycle
from campaigns.models import Attempt, Campaign, ProgressPoint
from tests import factories
from tests.factories import NOW
from tests.pages.live_page import Page
from workers.protocol import FailureClass
from xeenet_site.web import live

pytestmark = pytest.mark.django_db

HOSTILE = "</textarea><script>alert(1)</script> {{ 7*7 }} \u202egnp.exe"


def panel(client: Client, campaign: Campaign, key: str, **query: str) -> Any:
    return client.get(reverse("campaign-side", args=[campaign.pk]), {"open": key, **query})


def live_panel(client: Client, campaign: Campaign, key: str) -> Page:
    return Page(client, f"{reverse('campaign-side', args=[campaign.pk])}?open={key}")


@pytest.mark.parametrize("tab", ["campaign", "campaign-runs", "campaign-tasks", "campaign-log"])
def test_the_address_of_a_page_opens_it_also_without_scripts(client: Client, tab: str) -> None:
    campaign = factories.completed_task().campaign
    url = reverse(tab, args=[campaign.pk])
    # The script fills the frame.
    page = client.get(url, {"open": "arm-0", "state": "completed"}).text
    assert re.search(
        r'<dialog class="side" id="side"[^>]* open data-open="arm-0" data-awaits>', page
    )
    assert '<h2 id="side-title" tabindex="-1">Arm 0</h2>' in page
    assert f'href="{url}?state=completed" aria-label="Close"' in page
    assert f'id="side-whole" href="{url}?state=completed&amp;whole=1&amp;open=arm-0"' in page
    # Its links keep the filters of the page behind it.
    whole = client.get(url, {"open": "arm-0", "state": "completed", "whole": "1"}).text
    assert re.search(r'<dialog class="side" id="side"[^>]* open data-open="arm-0">', whole)
    assert f'href="{url}?state=completed&amp;whole=1&amp;open=task-0"' in whole
    closed = client.get(url).text
    assert '<dialog class="side" id="side"' in closed
    assert "side-title" not in closed.replace('aria-labelledby="side-title"', "")


def test_a_refresh_of_the_page_behind_it_costs_no_panel(client: Client) -> None:
    campaign = factories.active_campaign(1)
    url = campaign.get_absolute_url() + "?open=arm-0"
    assert client.get(url).context["side"] is not None
    fragment = client.get(url, headers={"HX-Request": "true"})
    assert "side-title" not in fragment.text
    assert fragment.context["side"] is None


@pytest.mark.parametrize("key", ["arm-7", "task-7"])
def test_what_does_not_exist_is_said_in_the_panel(client: Client, key: str) -> None:
    campaign = factories.active_campaign(1)
    answer = panel(client, campaign, key)
    assert answer.status_code == 404
    assert f"There is no {key.replace('-', ' ')} in this campaign." in answer.text
    page = client.get(campaign.get_absolute_url(), {"open": key, "whole": "1"})
    assert page.status_code == 200
    assert f"There is no {key.replace('-', ' ')} in this campaign." in page.text
    refresh = {live.HEADER: f"{live.version()} - "}
    url = reverse("campaign-side", args=[campaign.pk])
    assert client.get(url, {"open": key}, headers=refresh).status_code == 404


@pytest.mark.parametrize(
    "key", ["", "arm", "arm--1", "arm-01", "worker-1", "arm-9999999999", "x\0"]
)
def test_a_word_that_names_nothing_opens_nothing(client: Client, key: str) -> None:
    campaign = factories.active_campaign(1)
    assert panel(client, campaign, key).status_code == 404
    page = client.get(campaign.get_absolute_url(), {"open": key})
    assert page.status_code == 200
    assert "side-title" not in page.text.replace('aria-labelledby="side-title"', "")


def test_the_arms_of_another_campaign_are_not_opened(client: Client) -> None:
    factories.active_campaign(5)
    assert panel(client, factories.active_campaign(1), "arm-3").status_code == 404
    assert panel(client, factories.active_campaign(1), "task-3").status_code == 404


def test_a_draft_opens_and_has_no_arms(client: Client) -> None:
    draft = factories.campaign()
    page = client.get(draft.get_absolute_url(), {"open": "arm-0", "whole": "1"})
    assert page.status_code == 200
    assert "There is no arm 0 in this campaign." in page.text


# --- Each state ----------------------------------------------------------------------------------


def test_a_pending_task_has_no_value_and_says_so(client: Client) -> None:
    task = factories.pending_task()
    page = panel(client, task.campaign, "task-0").text
    assert "</svg>pending</span>" in page
    assert 'title="no result yet"' in page
    assert "Not on the board" in page
    assert "side-curve" not in page


def test_a_running_task_shows_its_worker_and_its_curve(client: Client) -> None:
    attempt = factories.leased_task(factories.worker("attic"))
    factories.curve(attempt, ({"value": 4 - n / 10} for n in range(6)))
    page = panel(client, attempt.task.campaign, "task-0").text
    assert "</svg>leased</span>" in page
    assert "<bdi>attic</bdi>" in page
    assert '<svg class="side-curve"' in page


def test_a_failed_task_shows_the_class_and_the_end_of_stderr(client: Client) -> None:
    task = factories.failed_task(FailureClass.OOM)
    for key in ("task-0", "arm-0"):
        page = panel(client, task.campaign, key).text
        assert "out of memory" in page
        assert "Traceback …" in page
        assert "</svg>failed</span>" in page


def test_a_simulated_value_is_marked_and_not_on_the_board(client: Client) -> None:
    campaign = factories.active_campaign(1, allow_simulated=True)
    factories.run(2.0, simulated=True)
    page = panel(client, campaign, "task-0").text
    assert "SIMULATED" in page
    assert "Not on the board" in page


def test_a_diverged_run_has_no_value(client: Client) -> None:
    campaign = factories.active_campaign(1)
    factories.run(None)
    assert "</svg>diverged</span>" in panel(client, campaign, "arm-0").text


def test_an_arm_of_one_seed_claims_nothing(client: Client) -> None:
    campaign = factories.active_campaign(3)
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    page = panel(client, campaign, "arm-1").text
    assert "4.0000" in page
    assert "One seed only, which proves nothing." in page
    assert "Row 2 of 3 on the board." in page
    assert "Rank" not in page


def test_an_arm_of_a_race_shows_interval_seeds_and_rank(client: Client) -> None:
    race = factories.decided_race()
    page = panel(client, race.campaign, "arm-0").text
    assert "proven ahead of every rival of its race" in page
    assert "Rank 1, row 1 of 2 on the board." in page
    assert 'class="interval"' in page
    assert page.count("<circle") >= 4
    own = panel(client, race.campaign, "task-2").text
    assert 'class="seed own"' in own
    assert "arm 0</a>: 3.0000, ± " in own


def test_twelve_seeds_are_all_listed(client: Client) -> None:
    campaign = factories.active_campaign(1)
    lifecycle.run_again(campaign.arms.get(), 11, now=NOW)
    factories.run_pending(campaign, lambda task: 3.0 + task.number / 100)
    page = panel(client, campaign, "arm-0").text
    assert page.count('data-open="task-') == 12
    assert page.count("<circle") >= 12
    assert "(median of 12)" in page


def test_thirty_params_each_have_their_place_in_the_range(client: Client) -> None:
    parameters: list[dict[str, Any]] = [
        {"name": f"p{n:02}", "type": "float", "low": 0.0, "high": 1.0} for n in range(28)
    ]
    parameters += [
        {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        {"name": "word", "type": "choice", "values": ["a", "<b>", True, 1]},
        {"name": "same", "type": "choice", "values": [7]},
    ]
    space = {"parameters": parameters, "constraints": []}
    campaign = factories.active_campaign(8, search_space=space)
    middle = {f"p{n:02}": 0.5 for n in range(28)} | {"lr": 1e-3, "word": 1, "same": 7}
    task = lifecycle.enqueue(campaign, middle, now=NOW)
    page = panel(client, campaign, f"arm-{task.arm.number}").text
    assert page.count('class="param-bar"') == 30
    # The middle of the range, also of a logarithmic one; 1 is not True.
    assert page.count('cx="80.0"') == 29
    assert page.count('cx="155.0"') == 1
    assert "Same for all" in page
    assert "<b>" not in page


def test_an_unusual_param_is_bold(client: Client) -> None:
    space = {
        "parameters": [{"name": "p", "type": "float", "low": 0.0, "high": 1.0}],
        "constraints": [],
    }
    campaign = factories.active_campaign(1, search_space=space)
    for value in (0.4, 0.45, 0.5, 0.55, 0.6, 0.99):
        task = lifecycle.enqueue(campaign, {"p": value}, now=NOW)
    assert "<strong>0.99</strong>" in panel(client, campaign, f"arm-{task.arm.number}").text
    usual = campaign.arms.get(params={"p": 0.5})
    assert "<strong>" not in panel(client, campaign, f"arm-{usual.number}").text


def test_the_curve_is_drawn_over_those_of_others(client: Client) -> None:
    campaign = factories.active_campaign(4)
    for number in range(4):
        attempt = factories.claim_one(factories.runner(), now=factories.at(number))
        points = ({"value": 4 - n / 10 - number / 100} for n in range(1, 9))
        factories.curve(attempt, points)
        factories.finish(attempt, 3.0 + number)
    page = panel(client, campaign, "arm-0").text
    others = re.search(r'<path class="others" d="([^"]*)"', page)
    assert others is not None
    assert others[1].count("M") == 3
    assert page.count('class="curve"') == 1


# --- Refreshing ----------------------------------------------------------------------------------


def test_the_part_that_refreshes_has_no_field_to_lose(client: Client) -> None:
    owner = factories.user()
    client.force_login(owner)
    campaign = factories.active_campaign(1, owner=owner)
    page = live_panel(client, campaign, "arm-0")
    assert "side-note-text" in page.markup
    page.hashes, page.after = {}, "-"
    part = page.news()["parts"]["side-live"]
    assert "textarea" not in part
    assert "<input" not in part


def test_nothing_is_sent_while_nothing_has_changed(client: Client) -> None:
    campaign = factories.active_campaign(2)
    arm, task, other = (live_panel(client, campaign, key) for key in ("arm-0", "task-0", "task-1"))
    for page in (arm, task, other):
        assert page.refresh().status_code == 204
    factories.claim(factories.runner())
    # Who runs it is no new revision.
    assert arm.news()["parts"]
    assert task.news()["parts"]
    assert other.news() == {}
    attempt = Attempt.objects.get()
    factories.curve(attempt, [{"train_loss": 3.5}, {"train_loss": 3.4}])
    assert task.news()["parts"]
    factories.curve(attempt, [{"train_loss": 3.3, "seq": 2, "elapsed_seconds": 2.0}])
    assert list(task.news()["parts"]) == ["side-curve"]
    factories.finish(attempt)
    campaign.refresh_from_db()
    assert task.news()["after"] == str(campaign.revision)
    assert task.news() == {}


def test_the_panel_is_not_made_anew_for_a_revision_that_it_has(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = live_panel(client, factories.active_campaign(2), "arm-0")
    # Nothing may read what the panel shows.
    monkeypatch.setattr("campaigns.views.side._parts", None)
    assert page.refresh().status_code == 204


def test_it_refreshes_only_while_the_campaign_is_live(client: Client) -> None:
    campaign = factories.active_campaign(1)
    assert "data-live=" in panel(client, campaign, "arm-0").text
    factories.run(3.0)
    assert "data-live=" not in panel(client, campaign, "arm-0").text


# --- Neighbours ----------------------------------------------------------------------------------


def test_neighbours_follow_the_board(client: Client) -> None:
    campaign = factories.active_campaign(3)
    values = {0: 3.2, 1: 3.0, 2: 3.1}
    factories.run_pending(campaign, lambda task: values[task.number])
    page = panel(client, campaign, "arm-2").text
    assert re.search(r'id="side-before"[^>]*open=arm-1"', page)
    assert re.search(r'id="side-after"[^>]*open=arm-0"', page)
    assert "side-before" not in panel(client, campaign, "arm-1").text
    assert "side-after" not in panel(client, campaign, "arm-0").text
    task = panel(client, campaign, "task-1").text
    assert re.search(r'id="side-before"[^>]*open=task-0"', task)
    assert re.search(r'id="side-after"[^>]*open=task-2"', task)


# --- Cost ----------------------------------------------------------------------------------------


def test_it_needs_the_same_few_queries_however_many_seeds_and_attempts(client: Client) -> None:
    campaign = factories.active_campaign(6)
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    arm = campaign.arms.get(number=0)

    def queries() -> int:
        panel(client, campaign, "arm-0")
        with CaptureQueriesContext(
            connection,
        ) as captured:
            panel(client, campaign, "arm-0")
        return len(captured)

    few = queries()
    lifecycle.run_again(arm, 12, now=NOW)
    factories.run_pending(campaign, lambda _: 3.0)
    ProgressPoint.objects.bulk_create(
        ProgressPoint(attempt=attempt, seq=n, elapsed_seconds=n, step=n, value=4.0)
        for attempt in Attempt.objects.filter(task__arm=arm)
        for n in range(5)
    )
    assert queries() == few
    assert few <= 9
