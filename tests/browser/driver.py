"""Helpers for tests in a real Chromium: signing in, recording problems, axe, waiting."""

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

# A loaded machine draws slowly. The timeout of the test still applies.
PATIENCE_SECONDS = 60
# How many points a hero chart draws, in its plot and in its lanes.
DRAWN = (
    "[...document.querySelectorAll('.hero-plot .marks path')]"
    ".reduce((sum, path) => sum + Number(path.dataset.points), 0)"
)


def sign_in(page: Page, server: LiveServer, person: User) -> None:
    """Give the page a signed-in session of this person."""
    client = Client()
    client.force_login(person)
    value = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": value, "url": server.url}])


def watch(page: Page, server: LiveServer) -> list[str]:
    """Return a list that collects problems of the page from now on.

    These are script errors, errors on the console, and requests to other servers.
    """
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    own = (server.url, "data:", "blob:")
    page.on(
        "request",
        lambda request: None if request.url.startswith(own) else problems.append(request.url),
    )
    return problems


def serious(page: Page) -> list[str]:
    """Return the serious and critical findings of axe on the page in its current state."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{finding['id']}: {finding['help']} {[node['html'] for node in finding['nodes'][:3]]}"
        for finding in Axe().run(page).response["violations"]
        if finding["impact"] in {"serious", "critical"}
    ]


def fits(page: Page) -> bool:
    """Return whether the page is not wider than the screen."""
    fitting: bool = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return fitting


def wait_until(page: Page, condition: str) -> None:
    """Wait until a JavaScript expression is true; fail after PATIENCE_SECONDS.

    Playwright's own wait_for_function needs eval, which the pages' policy forbids.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not page.evaluate(condition):
        if time.monotonic() > end:
            pytest.fail(f"not true within {PATIENCE_SECONDS} s: {condition}")
        page.wait_for_timeout(20)


def refresh(page: Page) -> None:
    """Let page and panel refresh now, and wait until the answers are shown.

    If another refresh is under way, its answer may be older than this call, and does not count.
    """
    assert page.locator("[data-live]").count(), "this page does not refresh"
    page.evaluate(
        """() => new Promise((done) => {
            const start = performance.now();
            const waiting = new Set(document.querySelectorAll("[data-live]"));
            const listening = new AbortController();
            document.addEventListener("xeenet:refreshed", ({ detail }) => {
                if (detail.asked < start) return;
                waiting.delete(detail.root);
                if (waiting.size) return;
                listening.abort();
                done();
            }, listening);
            document.dispatchEvent(new CustomEvent("xeenet:refresh"));
        })"""
    )


class Work:
    """Counts the processor time that a page's scripts, styles and layouts take.

    Other programs of the machine do not count, however long they make the page wait.
    """

    KINDS = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
    # Styles and layout follow a script before the next frame.
    SETTLE = """() => new Promise((done) => {
        requestAnimationFrame(() => requestAnimationFrame(done));
        setTimeout(done, 2000);  // a busy machine may draw no frame
    })"""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def milliseconds(self) -> float:
        """Return the processor time since the page was opened, once all is drawn."""
        self._page.evaluate(self.SETTLE)
        rows = self._session.send("Performance.getMetrics")["metrics"]
        seconds = {row["name"]: row["value"] for row in rows}
        return 1000 * sum(seconds[kind] for kind in self.KINDS)


def picture(page: Page, name: str) -> None:
    """Save a screenshot if XEENET_TEST_SCREENSHOTS names a folder for them."""
    if folder := os.environ.get("XEENET_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
