"""What a refresh of a campaign's page brings: what changed, within 5 kB."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from campaigns.models import Campaign
from tests import factories
from tests.pages.live_page import Page
from xeenet_site.web import live

pytestmark = pytest.mark.django_db

MOST_BYTES = 5_000
RESULTS = 60


def study(tasks: int = RESULTS + 20, results: int = RESULTS, **fields: Any) -> Campaign:
    campaign = factories.active_campaign(tasks, **fields)
    for number in range(results):
        factories.run(3.4 - 0.001 * (number * 7 % results), seconds=number + 1)
    campaign.refresh_from_db()
    return campaign


def run(campaign: Campaign, value: float) -> int:
    """Let the next task end with this value, and return the number of its arm."""
    factories.run(value, seconds=100)
    return campaign.results.select_related("task__arm").latest("pk").task.arm.number


def test_one_new_result_brings_its_row_and_the_figures_in_less_than_5_kb(client: Client) -> None:
    campaign = study()
    page = Page(client, campaign.get_absolute_url())
    assert len(re.findall(r'<tr data-v="[^"]+" id="row-', page.markup)) == 50
    arm = run(campaign, 3.3805)
    answer = page.refresh()
    assert len(answer.content) <= MOST_BYTES
    news = page.news()
    assert len(news["rows"]["board-rows"]["order"]) == 50
    assert [key for key in news["parts"] if key.startswith("row-")] == [f"row-{arm}"]
    assert "figures" in news["parts"]
    assert news["points"]["total"] == RESULTS + 1
    assert not {"campaign", "board", "facts", "head-dialogs", "tabs"} & news["parts"].keys()
    assert page.refresh().status_code == 204


def test_a_new_first_row_stays_within_5_kb_although_every_row_may_change(client: Client) -> None:
    campaign = study()
    page = Page(client, campaign.get_absolute_url())
    arm = run(campaign, 2.5)
    assert len(page.refresh().content) <= MOST_BYTES
    assert page.news()["rows"]["board-rows"]["order"][0] == f"row-{arm}"


def test_nothing_is_sent_while_nothing_happens_to_anybody(client: Client) -> None:
    owner = factories.user("ada")
    campaign = study(5, 3, owner=owner)
    for person in (None, owner):
        if person:
            client.force_login(person)
        page = Page(client, f"{campaign.get_absolute_url()}?x=number")
        for _ in range(2):
            answer = page.refresh()
            assert (answer.status_code, answer.content) == (204, b"")


def test_a_campaign_that_ended_sends_a_page_that_refreshes_no_more(client: Client) -> None:
    campaign = study(3, 2)
    page = Page(client, campaign.get_absolute_url())
    factories.run(3.1, seconds=50)
    news = page.news()
    assert list(news["parts"]) == ["campaign"]
    assert "data-live=" not in news["parts"]["campaign"]


def test_who_may_read_no_more_is_sent_to_sign_in(client: Client, settings: Any) -> None:
    page = Page(client, study(3, 1).get_absolute_url())
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    answer = page.refresh()
    assert answer.headers["HX-Redirect"] == "/login/"
    assert answer.content == b""


def test_caches_keep_pages_and_refreshes_apart(client: Client) -> None:
    page = Page(client, study(3, 1).get_absolute_url())
    for answer in (page.refresh(), client.get(page.address)):
        assert live.HEADER in answer["Vary"]


@pytest.mark.parametrize(
    ("address", "rows"),
    [
        ("/campaigns/1/tasks/", "task-rows"),
        ("/campaigns/", "summary-rows"),
        ("/campaigns/?q=width&sort=name", "summary-rows"),
        ("/", "summary-rows"),
    ],
)
def test_other_pages_bring_what_changed_alone(client: Client, address: str, rows: str) -> None:
    campaign = study(5, 3, name="width study")
    address = address.replace("/1/", f"/{campaign.pk}/")
    page = Page(client, address)
    assert f'id="{rows}"' in page.markup
    before = len(client.get(address, headers={"HX-Request": "true"}).content)
    assert page.refresh().status_code == 204
    run(campaign, 3.1)
    news = page.news()
    assert any(key.startswith(("row-", "summary-")) for key in news["parts"])
    assert not {"campaign", "campaign-list", "overview"} & news["parts"].keys()
    assert sum(map(len, news["parts"].values())) < before
    assert page.refresh().status_code == 204
