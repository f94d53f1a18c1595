"""Keys of one letter in a real Chromium: through rows, to the search, to their list; and off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from campaigns.clock import database_now
from tests import factories
from tests.browser.driver import serious, sign_in, wait_until, watch

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def problems(browser_page: Page, live_server: LiveServer) -> list[str]:
    """Return the list of the page's problems, which must stay empty."""
    return watch(browser_page, live_server)


def focused(page: Page) -> str:
    identifier: str = page.evaluate("document.activeElement.id")
    return identifier


def test_rows_and_search_of_the_list_of_campaigns(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaigns = [factories.active_campaign(1, now=database_now()) for _ in range(3)]
    newest, middle, _ = [f"campaign-{campaign.pk}" for campaign in reversed(campaigns)]
    page = browser_page
    page.goto(live_server.url + reverse("campaigns"))
    for key, expected in (("j", newest), ("j", middle), ("k", newest), ("k", newest)):
        page.keyboard.press(key)
        assert focused(page) == expected
    # With a modifier they belong to the browser.
    for combination in ("Control+j", "Alt+j", "Meta+j"):
        page.keyboard.press(combination)
        assert focused(page) == newest
    page.keyboard.press("/")
    assert focused(page) == "search-q"
    page.keyboard.type("j?/k")
    assert page.input_value("#search-q") == "j?/k"
    assert page.locator("#keys-dialog").is_hidden()
    page.goto(live_server.url + reverse("campaigns"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(live_server.url + campaigns[1].get_absolute_url())
    assert problems == []


def test_their_list_opens_by_key_and_by_button(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    page = browser_page
    page.goto(live_server.url + "/")
    page.keyboard.press("?")
    assert page.locator("#keys-dialog").is_visible()
    assert serious(page) == []
    # No key reaches the page below it.
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('#keys-dialog') !== null")
    page.keyboard.press("Escape")
    assert page.locator("#keys-dialog").is_hidden()
    page.click("#keys-button")
    assert page.locator("#keys-dialog").is_visible()
    assert problems == []


def test_they_are_switched_off_on_the_settings_page_and_stay_off(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaign = factories.active_campaign(1, now=database_now())
    page = browser_page
    sign_in(page, live_server, factories.user("ada"))
    page.goto(live_server.url + reverse("account"))
    page.uncheck("#keys [data-keys-switch]")
    page.goto(live_server.url + reverse("campaigns"))
    for key in ("j", "/", "?"):
        page.keyboard.press(key)
    assert focused(page) == ""
    assert page.locator("#keys-dialog").is_hidden()
    # Enter and Tab are no letters, and the list of keys still opens by its button.
    page.focus(f"#campaign-{campaign.pk}")
    page.keyboard.press("Enter")
    page.wait_for_url(live_server.url + campaign.get_absolute_url())
    page.click("#keys-button")
    page.check("#keys-dialog [data-keys-switch]")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    wait_until(page, "document.getElementById('keys-dialog').open")
    assert problems == []
