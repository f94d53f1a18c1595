"""Campaign, its tabs, list and overview in a real Chromium: mouse, keyboard, accessibility."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from campaigns import steering
from campaigns.clock import database_now
from campaigns.models import Campaign
from tests import factories
from tests.browser.driver import fits, picture, serious, sign_in, wait_until
from workers.protocol import FailureClass

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def study(results: int = 6) -> Campaign:
    """Return a running campaign of "ada" with results on two devices, failures and open tasks."""
    now = database_now()
    owner = factories.user("ada")
    campaign = factories.active_campaign(
        results + 12,
        name="Learning rate and width",
        description="Does a wider model want a smaller step?",
        owner=owner,
        now=now,
        max_failed_attempts=1,
    )
    first, second = factories.worker("lab-1", last_seen_at=now), factories.worker("lab-2")
    for number in range(results):
        attempt = factories.claim_one((first, second)[number % 2], now=now)
        device = ("cpu", "cuda")[number % 2]
        value = 3.4 - 0.03 * number + 0.05 * (number % 3)
        factories.finish(attempt, value, now=database_now(), device_used=device)
    for failure_class in (FailureClass.OOM, FailureClass.TIMEOUT):
        attempt = factories.claim_one(second, now=now)
        factories.fail(attempt, failure_class, now=database_now())
    factories.claim_one(first, now=now)
    steering.add_tasks(owner, campaign, 5, now=database_now())
    return campaign


def owner_of(campaign: Campaign) -> User:
    assert campaign.owner is not None
    return campaign.owner


@pytest.mark.timeout(300)  # twenty-one pages, on a machine that may be busy
def test_axe_finds_nothing_serious_in_light_dark_and_on_a_phone(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = study()
    page = browser_page
    base = campaign.get_absolute_url()
    paths = {
        "overview": "/",
        "campaigns": "/campaigns/",
        "campaign": base,
        "runs": f"{base}runs/",
        "tasks": f"{base}tasks/",
        "workers": f"{base}workers/",
        "log": f"{base}log/",
    }
    page.goto(live_server.url)
    picture(page, "overview-anonymous")
    sign_in(page, live_server, owner_of(campaign))
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 800})
        for name, path in paths.items():
            page.goto(live_server.url + path)
            if name == "campaign":
                page.wait_for_selector("#hero.drawn .dot")
            picture(page, f"{name}-{scheme}-{width}")
            assert fits(page), path
            # The phone's pages have the same markup, so run axe only once per scheme.
            assert width == 390 or serious(page) == [], path


def test_the_runs_are_sorted_and_filtered_in_place(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = study()
    page = browser_page
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}runs/")
    page.evaluate("window.samePage = true")
    page.click("#runs th:has-text('Steps') a")
    page.wait_for_url("**sort=steps")
    page.wait_for_selector("#runs th[aria-sort=ascending]:has-text('Steps')")
    page.click("#device-2")
    page.wait_for_url("**device=cuda")
    wait_until(page, "document.querySelectorAll('#runs tbody tr').length === 3")
    assert page.evaluate("window.samePage")


def test_ticked_arms_are_compared_and_race_from_the_board(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = study()
    page = browser_page
    sign_in(page, live_server, owner_of(campaign))
    page.goto(live_server.url + campaign.get_absolute_url())
    page.click("#class-menu summary")
    page.click("#class-2")
    page.wait_for_url("**class=*")
    wait_until(page, "document.querySelectorAll('#board tbody tr').length === 3")
    page.click("#class-menu summary")
    page.click("#class-1")
    wait_until(page, "document.querySelector('#class-1').ariaCurrent === 'true'")
    page.check("#pick-0")
    page.check("#pick-2")
    page.click("#compare-button")
    page.wait_for_url("**/compare/?tasks=**")
    assert "Cannot be told: no shared seeds of A and B" in page.locator("#verdict").inner_text()
    page.click("#race-button")
    page.wait_for_url(f"**{campaign.get_absolute_url()}")
    assert "Race 1 began: 2 arms" in page.locator(".notice.success").inner_text()


def test_the_tabs_and_their_filters_work_by_keyboard(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = study()
    page = browser_page
    page.goto(live_server.url + campaign.get_absolute_url())
    page.focus("#tab-tasks")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks/")
    page.focus("#failure-oom")
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelectorAll('#tasks tbody tr').length === 1")
    assert "out of memory" in page.locator("#tasks tbody").inner_text()
    page.focus("#tab-log")
    page.keyboard.press("Enter")
    page.wait_for_url("**/log/")
    assert "added tasks" in page.locator("#log tbody").inner_text()


def test_the_whole_hash_is_copied_where_its_first_letters_stand(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = study()
    page = browser_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(live_server.url + campaign.get_absolute_url())
    page.click("#all-facts summary")
    for what, sha256 in (("script", campaign.package_id), ("dataset", campaign.dataset_id)):
        page.click(f"[data-copy={what}-sha256]")
        page.wait_for_selector(f"[data-copy={what}-sha256]:has-text('Copied')")
        assert page.evaluate("navigator.clipboard.readText()") == sha256


def test_adding_tasks_asks_how_many_and_a_no_adds_none(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = study()
    page = browser_page
    sign_in(page, live_server, owner_of(campaign))
    page.goto(live_server.url + campaign.get_absolute_url())
    page.click("#add-button")
    picture(page, "add-dialog")
    page.keyboard.press("Escape")
    assert not page.locator("#add-dialog").is_visible()
    page.click("#add-button")
    page.fill("#add-count", "7")
    page.keyboard.press("Enter")
    page.wait_for_selector(".notice.success:has-text('Added 7 tasks.')")
    before = campaign.task_count
    campaign.refresh_from_db()
    assert campaign.task_count == before + 7


def test_the_list_is_searched_while_typing_and_keeps_its_order(
    browser_page: Page, live_server: LiveServer
) -> None:
    study()
    factories.campaign(name="Depth alone")
    page = browser_page
    page.goto(live_server.url + "/campaigns/")
    page.click("th:has-text('Campaign') a")
    page.wait_for_url("**sort=name")
    page.fill("#search-q", "depth")
    wait_until(page, "document.querySelectorAll('#campaign-list tbody tr').length === 1")
    page.wait_for_url("**q=depth**sort=name")
    page.select_option("#search-state", "active")
    page.wait_for_selector("#campaign-list :text('No campaign matches.')")


def test_the_dialogs_of_a_campaigns_menu_work_without_scripts(
    chromium: Browser, live_server: LiveServer
) -> None:
    campaign = factories.active_campaign(2, owner=factories.user("ada"), now=database_now())
    context = chromium.new_context(
        java_script_enabled=False, viewport={"width": 1280, "height": 800}
    )
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)
        sign_in(page, live_server, owner_of(campaign))
        page.goto(live_server.url + campaign.get_absolute_url())
        assert not page.locator("dialog:visible").count()
        page.click("#head-menu summary")
        page.click("#tries-button")
        page.click("#tries-dialog [data-closes]")
        page.wait_for_selector("#tries-dialog", state="hidden")
        page.click("#cancel-button")
        page.fill("#cancel-reason", "The question has changed.")
        page.click("#cancel-dialog .danger")
        page.wait_for_selector("text=Cancelled. Results that exist stay.")
    finally:
        context.close()
    campaign.refresh_from_db()
    assert (campaign.state, campaign.state_reason) == ("cancelled", "The question has changed.")
