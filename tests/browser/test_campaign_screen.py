"""What of a campaign's page is in sight at once: its lines, its rows, its menus, in Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns.clock import database_now
from campaigns.models import Campaign
from tests.browser.driver import fits, picture, serious, sign_in, wait_until
from tests.pages.campaign.campaign_states import LONG_NAMES, STATES, Stage

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# The bar: so many rows with a name of 60 characters, and as drawn.
FEWEST_ROWS = 6
DRAWN_ROWS = 8
ROWS_IN_SIGHT = """[...document.querySelectorAll("#board-rows tr")].filter(
    (row) => row.getBoundingClientRect().bottom <= innerHeight).length"""


def shown(page: Page, server: LiveServer, state: str) -> Campaign:
    """Open the page of a campaign in this state, as its owner, at 1280 × 800."""
    stage = Stage(database_now())
    campaign = STATES[state](stage)
    sign_in(page, server, stage.owner)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(server.url + campaign.get_absolute_url())
    return campaign


def height(page: Page, selector: str) -> float:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["height"]


@pytest.mark.parametrize("what", LONG_NAMES)
def test_a_long_name_takes_one_line_and_leaves_the_board_in_sight(
    browser_page: Page, live_server: LiveServer, what: str
) -> None:
    page = browser_page
    shown(page, live_server, f"name: {what}")
    assert height(page, "#head") == 40
    assert height(page, "#facts") == 24
    assert page.evaluate(ROWS_IN_SIGHT) >= FEWEST_ROWS
    # The buttons stay whole beside the name.
    box = page.locator("#head-menu summary").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 1280
    assert fits(page)
    picture(page, f"screen-{what}")


@pytest.mark.timeout(300)  # a whole race first, on a machine that may be busy
def test_the_first_screen_has_verdict_figures_chart_and_eight_rows(
    browser_page: Page, live_server: LiveServer
) -> None:
    page = browser_page
    shown(page, live_server, "champion")
    assert page.evaluate(ROWS_IN_SIGHT) >= DRAWN_ROWS
    assert height(page, "#board-rows tr:nth-child(2)") == 28
    assert height(page, "#verdict") <= 52
    assert serious(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert fits(page)
    assert serious(page) == []
    # Two params, the value and its interval have room on a phone.
    assert page.evaluate(
        "document.querySelector('#board-frame').scrollWidth"
        " <= document.querySelector('#board-frame').clientWidth"
    )
    figure = page.locator("#figures .value").first.bounding_box()
    assert figure is not None
    assert figure["y"] <= 844 / 3


def test_the_menu_works_by_keys_and_closes_before_its_dialog(
    browser_page: Page, live_server: LiveServer
) -> None:
    page = browser_page
    shown(page, live_server, "one param")
    page.focus("#head-menu summary")
    page.keyboard.press("Enter")
    assert page.locator("#clone-link").is_visible()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == "clone-link"
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "cancel-button"
    page.keyboard.press("Escape")
    assert not page.locator("#clone-link").is_visible()
    assert page.evaluate("document.activeElement.parentElement.id") == "head-menu"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector("#cancel-dialog[open]")
    assert not page.locator("#clone-link").is_visible()
    page.keyboard.press("Escape")
    page.click("#all-facts summary")
    assert page.locator("#script-sha256 + button").is_visible()
    page.click("#figures")
    assert not page.locator("#script-sha256 + button").is_visible()


def test_ticked_rows_bring_a_bar_that_says_how_many_and_runs_them_again(
    browser_page: Page, live_server: LiveServer
) -> None:
    page = browser_page
    campaign = shown(page, live_server, "one param")
    assert not page.locator("#board-chosen").is_visible()
    rows = page.locator("#board-rows .pick")
    for place in range(3):
        rows.nth(place).check()
    assert page.locator("#board-chosen").is_visible()
    count = "getComputedStyle(document.querySelector('.chosen-count'), '::before').content"
    assert page.evaluate(count) == "counter(chosen)"
    before = campaign.task_count
    page.fill("#again-runs", "2")
    page.click("#again-button")
    page.wait_for_selector(".notice.success:has-text('Added 6 runs.')")
    campaign.refresh_from_db()
    assert campaign.task_count == before + 6


def test_the_verdicts_button_lets_the_first_arms_race(
    browser_page: Page, live_server: LiveServer
) -> None:
    page = browser_page
    campaign = shown(page, live_server, "one param")
    page.click("#verdict-action:has-text('Race the top 5')")
    page.wait_for_selector(".notice.success:has-text('Race 1 began: 5 arms')")
    wait_until(page, "document.querySelector('#head .chip').innerText === 'racing'")
    assert campaign.races.count() == 1
