"""The page "For agents" in a real Chromium: it is accessible, and its program can be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_django.live_server_helper import LiveServer

from tests import factories
from tests.browser.driver import fits, picture, serious, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import ColorScheme, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_serious_and_nothing_runs_off_the_side(
    browser_page: Page, live_server: LiveServer, scheme: ColorScheme, width: int
) -> None:
    factories.active_campaign(1)
    browser_page.emulate_media(color_scheme=scheme)
    browser_page.set_viewport_size({"width": width, "height": 800})
    browser_page.goto(f"{live_server.url}/agents/")

    picture(browser_page, f"agents-{scheme}-{width}")
    assert serious(browser_page) == []
    assert fits(browser_page)


def test_the_copy_button_gives_the_whole_program(
    browser_page: Page, live_server: LiveServer
) -> None:
    browser_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    browser_page.goto(f"{live_server.url}/agents/")

    # Record the button's texts, because "Copied" is shown for a moment only.
    browser_page.evaluate(
        """() => {
            const button = document.querySelector("[data-copy=agents-loop]");
            const remember = () => (window.words = [...(window.words ?? []), button.textContent]);
            new MutationObserver(remember).observe(button, { childList: true });
        }"""
    )
    browser_page.locator("[data-copy=agents-loop]").click()
    wait_until(browser_page, "window.words?.includes('Copied') ?? false")

    copied = browser_page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == browser_page.locator("#agents-loop").inner_text().strip()
    assert f'SERVER = "{live_server.url}"' in copied
