"""The Content-Security-Policy in a real Chromium: every page works without violating it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from campaigns.clock import database_now
from tests import factories
from tests.browser.driver import sign_in, wait_until, watch

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Text that would run if a page did not escape it.
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script><p style='color:red'>{{ 7*7 }}"
# Downloads, and pages with another policy, which have their own tests.
NOT_PAGES = ("/admin/", "/api/", "/static/", "/logout/", "/metrics")
FILE = re.compile(r"\.(csv|json|jsonl|zip|py|txt|yaml|yml|sh|db)$|/bundle")
RECORD = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(
        `${event.effectiveDirective} blocked ${event.blockedURI} at ${event.sourceFile}`
        + `:${event.lineNumber} ${event.sample}`));
"""


@pytest.fixture
def page(browser_page: Page, live_server: LiveServer) -> Page:
    """Return a page of a signed-in operator that records violations of the policy."""
    browser_page.add_init_script(RECORD)
    operator = factories.user("otto", role="operator", is_staff=True, is_superuser=True)
    sign_in(browser_page, live_server, operator)
    return browser_page


@pytest.fixture
def problems(page: Page, live_server: LiveServer) -> list[str]:
    """Return the list of the page's problems, which must stay empty."""
    return watch(page, live_server)


@pytest.fixture
def world() -> None:
    """Create a campaign with charts and a failure, and a draft, with hostile text in all fields."""
    now = database_now()
    worker = factories.worker(HOSTILE[:100], hardware={"cpu_model": HOSTILE, "devices": ["cpu"]})
    factories.active_campaign(14, now=now, name=HOSTILE, description=HOSTILE, max_failed_attempts=1)
    for value in range(9):
        factories.finish(factories.claim_one(worker, now=now), 3.0 + value / 50, now=now)
    factories.fail(factories.claim_one(worker, now=now), now=now)
    factories.campaign(name=f"draft {HOSTILE}")


def breaches(page: Page) -> list[str]:
    violations: list[str] = page.evaluate("window.violations")
    return violations


def settle(page: Page) -> None:
    """Wait until all htmx requests are done and all visible charts are drawn."""
    wait_until(
        page,
        "!document.querySelector('.htmx-request')"
        " && [...document.querySelectorAll('.chart[data-figure]')].every((chart) =>"
        " chart.offsetParent === null || chart.querySelector('.main-svg'))",
    )


def shape(path: str) -> str:
    """Return the path with all numbers replaced by N; pages of the same shape are alike."""
    return re.sub(r"\d+", "N", urlsplit(path).path)


@pytest.mark.long
@pytest.mark.timeout(300)  # some twenty pages with their charts, on a machine that may be busy
def test_no_page_breaks_the_policy_whatever_text_it_shows(
    page: Page, problems: list[str], world: None, live_server: LiveServer
) -> None:
    waiting, seen = [reverse("overview"), reverse("campaign-new")], set[str]()
    while waiting:
        path = waiting.pop(0)
        if shape(path) in seen or path.startswith(NOT_PAGES) or FILE.search(urlsplit(path).path):
            continue
        seen.add(shape(path))
        page.goto(live_server.url + path)
        settle(page)
        # Panels of the analysis load when scrolled to.
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        settle(page)
        assert (path, breaches(page), problems) == (path, [], [])
        hrefs: list[str] = page.eval_on_selector_all(
            "a[href^='/']:not([download])",
            "links => links.map((link) => link.getAttribute('href'))",
        )
        waiting += hrefs
    assert len(seen) >= 12, seen
    assert reverse("audit") in seen


def test_an_inline_script_is_stopped_and_the_test_would_notice(
    page: Page, live_server: LiveServer
) -> None:
    page.goto(live_server.url + reverse("login"))
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
        }"""
    )
    wait_until(page, "window.violations.length === 1")
    assert page.evaluate("window.ran") is None


def test_the_admin_and_the_api_document_work_under_their_own_policies(
    page: Page, problems: list[str], world: None, live_server: LiveServer
) -> None:
    for path in (
        "/admin/",
        reverse("admin:campaigns_campaign_changelist"),
        reverse("admin:workers_worker_changelist"),
        reverse("admin:auth_user_changelist"),
        reverse("admin:auth_user_add"),
    ):
        page.goto(live_server.url + path)
        assert (path, breaches(page), problems) == (path, [], [])
    page.goto(live_server.url + reverse("api-docs"))
    page.wait_for_selector(".opblock-summary-path")
    assert breaches(page) == []
    assert problems == []
