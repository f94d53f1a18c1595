"""The form of a new campaign in a real Chromium: editing rows and previews while typing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from pytest_django.live_server_helper import LiveServer

from campaigns.models import Campaign
from tests import factories
from tests.browser.driver import fits, picture, sign_in, wait_until, watch

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SWEEP = """
method: grid
parameters:
  d_model: {values: [64, 128]}
  n_heads: {min: 2, max: 4}
"""


@pytest.fixture
def page(browser_page: Page, live_server: LiveServer) -> Page:
    """Return the form, opened by a researcher."""
    sign_in(browser_page, live_server, factories.user("ada"))
    browser_page.goto(live_server.url + "/campaigns/new/")
    return browser_page


@pytest.fixture
def unfolded(page: Page) -> Page:
    """Return the form with all of its folded parts open."""
    for fold in ("#space-fold", "#more-fields"):
        page.click(f"{fold} > summary")
    return page


@pytest.fixture(autouse=True)
def problems(browser_page: Page, live_server: LiveServer) -> list[str]:
    """Return the list of the page's problems, which must stay empty."""
    return watch(browser_page, live_server)


def names(page: Page) -> list[str]:
    return [field.input_value() for field in page.locator(".space-row input[id$=-name]").all()]


def previewed(page: Page, text: str) -> None:
    """Wait until the preview shows this text."""
    page.locator("#preview").get_by_text(text).first.wait_for()


def test_the_form_previews_what_is_typed_and_marks_mistakes_at_their_row(
    unfolded: Page, problems: list[str]
) -> None:
    page = unfolded
    page.fill("[name=base_seed]", "48")
    previewed(page, "0.001248")
    page.fill("#p1-values", "100, 128")
    page.fill("#c0-text", "d_model % 8 == 0")
    previewed(page, "d_model=100")
    page.fill("#p0-low", "much")
    page.locator("#p0-errors li").wait_for()
    assert page.locator("#p0-errors").inner_text() == "low must be a finite number"
    # The typed text and the focus stay.
    assert page.evaluate("document.activeElement.id") == "p0-low"
    page.fill("#p0-low", "0.001")
    wait_until(page, "!document.querySelector('#p0-errors li')")
    assert problems == []


def test_a_campaign_is_made_with_the_keyboard_alone(unfolded: Page, problems: list[str]) -> None:
    page = unfolded
    page.focus("[name=name]")
    page.keyboard.type("by keyboard")
    page.focus("#p1-up")
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('.space-row').id === 'p1'")
    # The focus moves with the row, so pressing Enter again would move it further.
    assert page.evaluate("document.activeElement.id") == "p1-up"
    page.focus("#add-parameter")
    page.keyboard.press("Enter")
    wait_until(page, "document.activeElement.id === 'p8-name'")
    page.keyboard.type("warmup")
    page.keyboard.press("Tab")
    page.keyboard.type("int")
    page.locator("#p8-step").wait_for()
    wait_until(page, "document.activeElement.id === 'p8-type'")
    page.keyboard.press("Tab")
    page.keyboard.type("10")
    page.keyboard.press("Tab")
    page.keyboard.type("20")
    page.focus("#p7-remove")
    page.keyboard.press("Enter")
    page.locator("#p7").wait_for(state="detached")
    # Without context_length nobody can say how many steps so many seconds are.
    page.focus("[name=budget_kind]")
    page.keyboard.type("after so many")
    page.focus("[name=name]")
    page.keyboard.press("Enter")
    page.locator(".notice.success").wait_for()
    parameters = Campaign.objects.get().search_space["parameters"]
    saved_names = [parameter["name"] for parameter in parameters]
    assert saved_names[:2] == ["d_model", "lr"]
    assert parameters[-1] == {"name": "warmup", "type": "int", "low": 10, "high": 20}
    assert "context_length" not in saved_names
    assert problems == []


def test_a_sweep_file_is_imported_and_comes_out_as_json(
    unfolded: Page, problems: list[str], tmp_path: Path
) -> None:
    page = unfolded
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    page.click("#import-space summary")
    page.set_input_files("#import-file", sweep)
    page.click("#import-button")
    page.get_by_text("everything in it is taken over").wait_for()
    assert names(page) == ["d_model", "n_heads"]
    assert page.locator("[name=sampler]").input_value() == "grid"
    previewed(page, "Grid points")
    with page.expect_download() as download:
        page.click("#export-space")
    assert '"n_heads", "type": "int", "low": 2' in download.value.path().read_text()
    page.click("#edit-json")
    page.locator("#id_search_space").wait_for()
    page.fill("#id_search_space", "{")
    previewed(page, "this is not JSON")
    assert problems == []


def test_what_is_typed_the_moment_a_field_appears_is_previewed(
    unfolded: Page, problems: list[str]
) -> None:
    page = unfolded
    # A MutationObserver runs as a microtask, directly after the script that inserted the field.
    page.evaluate(
        """() => new MutationObserver((_, observer) => {
            const field = document.getElementById("id_search_space");
            if (!field) return;
            observer.disconnect();
            field.value = "{";
            field.dispatchEvent(new Event("input", { bubbles: true }));
        }).observe(document.body, { childList: true, subtree: true })"""
    )
    page.click("#edit-json")
    previewed(page, "this is not JSON")
    assert problems == []


def test_the_first_screen_asks_little_and_one_click_launches(
    page: Page, problems: list[str]
) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    fields = page.locator("#campaign-form :is(input:not([type=hidden]), select, textarea)")
    asked = [field.get_attribute("id") for field in fields.all() if field.is_visible()]
    assert len(asked) <= 8, asked
    button = page.locator("#create-and-launch").bounding_box()
    assert button is not None
    assert button["y"] + button["height"] <= 800
    picture(page, "new-campaign-first-screen")
    page.set_viewport_size({"width": 390, "height": 800})
    assert fits(page)
    page.fill("[name=task_count]", "3")
    page.locator("#launch-cost:has-text('3 arms')").wait_for()
    page.click("#create-and-launch")
    page.locator("#head .chip:has-text('running')").wait_for()
    campaign = Campaign.objects.get()
    assert (campaign.state, campaign.tasks.count()) == ("active", 3)
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_form_on_a_phone_or_a_desk(
    unfolded: Page, scheme: str
) -> None:
    page = unfolded
    page.emulate_media(color_scheme=scheme)
    page.fill("#p0-low", "much")
    page.locator("#p0-errors li").wait_for()
    page.fill("#p0-low", "0.001")
    page.locator("#preview-frame").wait_for()
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert fits(page)
        picture(page, f"new-campaign-{scheme}-{width}")
        violations = Axe().run(page).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in violations] == []
