"""The pages in a real Chromium: they draw, refresh in place, and do not disturb the reader."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns.clock import database_now
from campaigns.models import Campaign
from tests import factories
from tests.browser.driver import DRAWN, PATIENCE_SECONDS, fits, refresh, sign_in, wait_until, watch
from workers.models import Worker
from xeenet_site.web import roles

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HOSTILE = "<img src=x onerror=document.title='bro'+'ken'> {{ 7*7 }} \u202egnp.exe"


@pytest.fixture
def problems(browser_page: Page, live_server: LiveServer) -> list[str]:
    """Return the list of the page's problems, which must stay empty."""
    return watch(browser_page, live_server)


def running_campaign(worker: Worker, tasks: int = 12, **fields: Any) -> Campaign:
    """Return a campaign with two results, one failure and many open tasks."""
    now = database_now()
    campaign = factories.active_campaign(tasks, now=now, max_failed_attempts=1, **fields)
    for value in (3.4, 3.3):
        factories.finish(factories.claim_one(worker, now=now), value, now=database_now())
    factories.fail(factories.claim_one(worker, now=now), now=database_now())
    return campaign


def open_menu(page: Page) -> None:
    """Open the menu in the head of a campaign."""
    page.click("#head-menu summary")


def add_result(worker: Worker, value: float) -> None:
    now = database_now()
    factories.finish(factories.claim_one(worker, now=now), value, now=now)


def test_a_running_campaign_refreshes_in_place(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    worker = factories.worker()
    campaign = running_campaign(worker)
    page = browser_page
    page.goto(live_server.url + campaign.get_absolute_url())
    page.wait_for_selector("#hero.drawn .dot")
    assert page.evaluate(DRAWN) == 3
    page.evaluate("window.chartBefore = document.querySelector('.hero-plot')")
    page.click("#search-space summary")
    page.focus("#tab-runs")
    page.evaluate("scrollTo(0, 120)")

    add_result(worker, 3.1)
    refresh(page)

    assert page.locator("#figures .value").first.inner_text().startswith("3.1000")
    assert page.locator("#board tbody tr").count() == 3
    wait_until(page, f"{DRAWN} === 4")
    # The chart was updated, not replaced; open details, focus and scroll position are kept.
    assert page.evaluate("document.querySelector('.hero-plot') === window.chartBefore")
    assert page.evaluate("document.querySelector('#search-space').open")
    assert page.evaluate("document.activeElement.id") == "tab-runs"
    assert page.evaluate("scrollY") == 120
    assert problems == []


def test_polling_happens_by_itself_and_ends_with_the_campaign(
    clock_page: Page, live_server: LiveServer
) -> None:
    problems = watch(clock_page, live_server)
    worker = factories.worker()
    campaign = running_campaign(worker, tasks=4)
    clock_page.clock.install()
    clock_page.goto(live_server.url + campaign.get_absolute_url())
    assert clock_page.locator("[data-live]").count() == 1
    add_result(worker, 3.2)
    clock_page.clock.run_for(3100)
    wait_until(
        clock_page,
        "!document.querySelector('[data-live]') && document.body.innerText.includes('3.2000')",
    )
    assert clock_page.locator("#head .chip").inner_text() == "completed"
    assert problems == []


def test_sorting_changes_the_page_and_its_address(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaign = running_campaign(factories.worker())
    page = browser_page
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}runs/")
    page.click("#runs th:has-text('Seed') a")
    page.wait_for_url("**sort=seed")
    assert page.locator("th[aria-sort=ascending]").inner_text() == "Seed ▲"
    page.go_back()
    page.wait_for_url("**/runs/")
    page.wait_for_selector(".site-head")
    assert problems == []


def test_cancelling_asks_first_and_says_what_is_lost(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    owner = factories.user("ada")
    worker = factories.worker()
    campaign = running_campaign(worker, owner=owner)
    factories.claim_one(worker, now=database_now())
    page = browser_page
    sign_in(page, live_server, owner)
    page.goto(live_server.url + campaign.get_absolute_url())
    open_menu(page)
    page.click("#cancel-button")
    assert "1 running task will be stopped" in page.locator("#cancel-dialog").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#cancel-dialog").is_visible()
    open_menu(page)
    page.click("#cancel-button")
    page.fill("#cancel-reason", "the wrong data set")
    page.click("#cancel-dialog .button.danger")
    page.wait_for_selector(".notice.success")
    assert page.locator("#facts .facts-cut").inner_text().endswith("the wrong data set")
    campaign.refresh_from_db()
    assert campaign.state == "cancelled"
    assert problems == []


def test_an_open_question_is_not_swept_away_by_a_refresh(
    clock_page: Page, live_server: LiveServer
) -> None:
    owner = factories.user("ada")
    campaign = running_campaign(factories.worker(), owner=owner)
    sign_in(clock_page, live_server, owner)
    clock_page.clock.install()
    clock_page.goto(live_server.url + campaign.get_absolute_url())
    open_menu(clock_page)
    clock_page.click("#cancel-button")
    clock_page.wait_for_selector("#cancel-dialog[open]")
    clock_page.wait_for_load_state(
        "networkidle"
    )  # wait for a poll that began before the dialog opened
    polls: list[str] = []
    clock_page.on("request", lambda request: polls.append(request.url))
    clock_page.clock.run_for(10_000)
    assert polls == []
    clock_page.keyboard.press("Escape")
    with clock_page.expect_request("**/campaigns/**"):
        clock_page.clock.run_for(4000)


def hold(page: Page, address: str) -> list[Route]:
    """Hold back the page's requests to this path; return a list that collects them."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(lambda url: urlsplit(url).path == address, keep)
    return held


def wait_for_held(page: Page, held: list[Route], number: int) -> None:
    """Wait until this number of requests is held back."""
    end = time.monotonic() + PATIENCE_SECONDS
    while len(held) < number:
        assert time.monotonic() < end, f"{len(held)} of {number} requests came"
        page.wait_for_timeout(20)


def test_a_question_opened_while_a_poll_was_under_way_stays_open(
    browser_page: Page, live_server: LiveServer
) -> None:
    owner = factories.user("ada")
    campaign = running_campaign(factories.worker(), owner=owner)
    page = browser_page
    sign_in(page, live_server, owner)
    page.goto(live_server.url + campaign.get_absolute_url())
    held = hold(page, campaign.get_absolute_url())
    page.evaluate("document.dispatchEvent(new CustomEvent('xeenet:refresh'))")
    wait_for_held(page, held, 1)
    open_menu(page)
    page.click("#cancel-button")
    page.wait_for_selector("#cancel-dialog[open]")
    page.evaluate("document.addEventListener('xeenet:refreshed', () => (window.used = true))")
    with page.expect_response(lambda answer: answer.url == held[0].request.url):
        held[0].continue_()
    # What the script does with the answer is done before this second one can be answered.
    page.evaluate("fetch('/healthz')")
    assert not page.evaluate("window.used")
    assert page.locator("#cancel-dialog").is_visible()


def test_a_click_is_not_lost_to_a_poll_that_was_under_way(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = running_campaign(factories.worker())
    page = browser_page
    runs = f"{campaign.get_absolute_url()}runs/"
    page.goto(live_server.url + runs)
    held = hold(page, runs)
    page.evaluate("document.dispatchEvent(new CustomEvent('xeenet:refresh'))")
    wait_for_held(page, held, 1)
    page.click("#runs th:has-text('Seed') a")
    wait_for_held(page, held, 2)
    poll, click = held
    assert "sort=seed" in click.request.url
    # The poll's answer arrives first, and is left unused: it is about what the click replaces.
    page.evaluate("document.addEventListener('xeenet:refreshed', () => (window.used = true))")
    with page.expect_response(lambda answer: answer.url == poll.request.url):
        poll.continue_()
    page.evaluate("fetch('/healthz')")
    assert not page.evaluate("window.used")
    click.continue_()
    page.wait_for_selector("th[aria-sort=ascending]:has-text('Seed')")
    assert page.url.endswith("sort=seed")


def test_the_theme_is_switched_and_remembered(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    page = browser_page
    page.goto(live_server.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("[data-theme-switch]")
    page.click("[data-theme-switch]")
    assert page.locator("[data-theme-switch]").text_content() == "Theme: dark"
    dark = page.evaluate(ground)
    assert dark != light
    page.goto(live_server.url + "/workers/")
    assert page.evaluate(ground) == dark
    assert problems == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_the_screen(
    browser_page: Page, live_server: LiveServer, problems: list[str], width: int
) -> None:
    worker = factories.worker("a-worker-with-quite-a-long-name-on-some-machine")
    campaign = running_campaign(worker, name=HOSTILE * 3)
    task = campaign.tasks.first()
    assert task is not None
    page = browser_page
    # An operator's navigation is the longest.
    sign_in(page, live_server, factories.user("ada", role=roles.OPERATOR))
    page.set_viewport_size({"width": width, "height": 800})
    for path in (
        "/",
        "/campaigns/",
        "/campaigns/new/",
        campaign.get_absolute_url(),
        f"{campaign.get_absolute_url()}tasks/",
        task.get_absolute_url(),
        "/workers/",
        f"/workers/{worker.pk}/",
        "/workers/fleets/",
        "/login/",
    ):
        page.goto(live_server.url + path)
        assert fits(page), path
        assert "broken" not in page.title()
    for narrower in (width, 360):
        page.set_viewport_size({"width": narrower, "height": 800})
        # All links of the navigation are in reach: the rest of them in a menu on a phone.
        if not page.locator(".site-menu").is_visible():
            page.click(".menu-button")
        for link in page.locator(".site-nav a").all():
            box = link.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= narrower
    assert problems == []


def test_the_first_screen_of_a_campaign_shows_figures_chart_and_leaders(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = running_campaign(factories.worker())
    browser_page.goto(live_server.url + campaign.get_absolute_url())
    row = browser_page.locator("#board tbody tr").nth(1).bounding_box()
    assert row is not None
    assert row["y"] + row["height"] <= 800


def test_a_lost_connection_is_told(browser_page: Page, live_server: LiveServer) -> None:
    campaign = running_campaign(factories.worker())
    page = browser_page
    page.goto(live_server.url + campaign.get_absolute_url())
    page.route(re.compile("/campaigns/"), lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new CustomEvent('xeenet:refresh'))")
    page.wait_for_selector(".connection-lost .when-lost")
    page.unroute(re.compile("/campaigns/"))
    page.evaluate("document.dispatchEvent(new CustomEvent('xeenet:refresh'))")
    page.wait_for_selector("body:not(.connection-lost)")


def test_a_page_works_by_keyboard_alone(browser_page: Page, live_server: LiveServer) -> None:
    campaign = running_campaign(factories.worker(), name="by keyboard")
    page = browser_page
    page.goto(live_server.url + "/campaigns/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    page.focus(f"#campaign-{campaign.pk}")
    page.keyboard.press("Enter")
    page.wait_for_url("**" + campaign.get_absolute_url())
