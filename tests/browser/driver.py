"""What the tests in a real Chromium share: signing in, what must not happen, what axe says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from playwright.sync_api import Page

# A loaded machine needs its time to draw; a test's own timeout still ends it.
PATIENCE_SECONDS = 60


def sign_in(page: Page, server: LiveServer, person: User) -> None:
    """Give the page the session of a person who has signed in."""
    client = Client()
    client.force_login(person)
    value = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": value, "url": server.url}])


def watch(page: Page, server: LiveServer) -> list[str]:
    """Return a list that fills with what must not happen.

    Errors of scripts and on the console, and requests that leave this server.
    """
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    own = (server.url, "data:", "blob:")
    page.on(
        "request",
        lambda request: None if request.url.startswith(own) else found.append(request.url),
    )
    return found


def serious(page: Page) -> list[str]:
    """Return the serious and critical findings of axe on the page as it stands."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{one['id']}: {one['help']} {[node['html'] for node in one['nodes'][:3]]}"
        for one in Axe().run(page).response["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


def fits(page: Page) -> bool:
    """Return whether nothing makes the page wider than the screen."""
    fitting: bool = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return fitting


def wait_until(page: Page, condition: str) -> None:
    """Wait until a JavaScript expression holds on the page, at most as long as a page may take.

    Playwright's own wait_for_function would need eval, which the pages' policy stops.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not page.evaluate(condition):
        if time.monotonic() > end:
            pytest.fail(f"did not come to be within {PATIENCE_SECONDS} s: {condition}")
        page.wait_for_timeout(20)


def refresh(page: Page) -> None:
    """Make the page's own poll happen now, and wait for what it brings.

    A poll that is under way was answered earlier than now, and takes the one asked for with it:
    then it is asked for once more.
    """
    page.evaluate(
        """() => new Promise((done) => {
            const listening = new AbortController();
            let own;
            const ask = () => htmx.trigger("[data-poll]", "refresh");
            document.addEventListener("htmx:beforeRequest", ({ detail }) => {
                if (detail.requestConfig.triggeringEvent?.type === "refresh") own = detail.xhr;
            }, listening);
            document.addEventListener("htmx:afterSettle", ({ detail }) => {
                if (detail.xhr !== own) return ask();
                listening.abort();
                done();
            }, listening);
            ask();
        })"""
    )


def picture(page: Page, name: str) -> None:
    """Keep a screenshot where XEENET_TEST_SCREENSHOTS names a folder for them."""
    if folder := os.environ.get("XEENET_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
