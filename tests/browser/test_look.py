"""The one look in a real Chromium: nothing moves, one theme everywhere, a light first visit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns.clock import database_now
from campaigns.models import Campaign
from tests import factories
from tests.browser.driver import PATIENCE_SECONDS, picture, sign_in, wait_until, watch
from tests.chaos.services import WebServer
from tests.processes import database_environment, free_port
from xeenet_site.web import roles

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MOST_BYTES: Final = 250_000
SIZES: Final = {"12px", "14px", "16px", "20px", "28px"}
FONTS: Final = {"Inter", "IBM Plex Mono"}
POSITIONS: Final = """[...document.querySelectorAll(SELECTOR)].filter((link) => link.offsetWidth)
    .map((link) => {
        const box = link.getBoundingClientRect();
        const name = link.textContent.trim().split(":")[0]; // the theme's name may change
        return [name, ...[box.x, box.y, box.width, box.height].map(Math.round)];
    })"""
# Where the pages' text has another size; icons are drawn as text of any size.
OTHER_SIZES: Final = """(() => {
    const odd = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
        if (element.closest(".material-symbols-outlined, script, style, noscript")) continue;
        const size = getComputedStyle(element).fontSize;
        if (!SIZES.includes(size)) odd.add(`${size} ${element.outerHTML.slice(0, 80)}`);
    }
    return [...odd];
})()"""
GROUND: Final = "getComputedStyle(document.body).backgroundColor"
SHIFTS: Final = """window.shifted = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.shifted += entry.value;
    }).observe({ type: "layout-shift", buffered: true });"""


def campaign_with_results(tasks: int = 12) -> Campaign:
    now = database_now()
    worker = factories.worker("desk-1")
    campaign = factories.active_campaign(tasks, now=now, name="Which learning rate")
    for value in (3.4, 3.3, 3.2):
        factories.finish(factories.claim_one(worker, now=now), value, now=database_now())
    return campaign


@pytest.fixture
def operator_page(browser_page: Page, live_server: LiveServer) -> Page:
    """Return a page of an operator who may open the admin, so that every entry is there."""
    otto = factories.user("otto", role=roles.OPERATOR, is_staff=True, is_superuser=True)
    sign_in(browser_page, live_server, otto)
    return browser_page


def positions(page: Page, selector: str) -> list[list[Any]]:
    places: list[list[Any]] = page.evaluate(POSITIONS.replace("SELECTOR", repr(selector)))
    return places


def test_no_entry_of_the_navigation_moves_when_another_becomes_the_current_one(
    operator_page: Page, live_server: LiveServer
) -> None:
    campaign = campaign_with_results()
    page = operator_page
    page.goto(live_server.url)
    selector = ".site-head :is(a, button)"
    before = positions(page, selector)
    assert len(before) == 11  # brand, seven entries, theme, account, sign out
    addresses = page.evaluate(
        "[...document.querySelectorAll('.site-nav a')].map((link) => link.pathname)"
    )
    for address in [*addresses, "/api/docs/", campaign.get_absolute_url(), "/account/"]:
        page.goto(live_server.url + address)
        assert positions(page, selector) == before, address
        if address in addresses:
            assert page.locator(".site-nav [aria-current]").count() == 1, address
    for _ in range(3):
        page.click("[data-theme-switch]")
        assert positions(page, selector) == before


def test_no_tab_of_a_campaign_moves_when_another_becomes_the_current_one(
    operator_page: Page, live_server: LiveServer
) -> None:
    page = operator_page
    page.goto(live_server.url + campaign_with_results().get_absolute_url())
    before = positions(page, ".tabs a")
    across = [[name, x, width] for name, x, _, width, _ in before]
    for address in page.evaluate(
        "[...document.querySelectorAll('.tabs a')].map((link) => link.pathname)"
    ):
        page.goto(live_server.url + address)
        places = positions(page, ".tabs a")
        assert [[name, x, width] for name, x, _, width, _ in places] == across, address


@pytest.mark.parametrize("address", ["overview", "campaign"])
def test_nothing_moves_when_the_fonts_arrive(
    chromium: Browser, live_server: LiveServer, address: str
) -> None:
    campaign = campaign_with_results()
    path = {"overview": "/", "campaign": campaign.get_absolute_url()}[address]
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    page.add_init_script(SHIFTS)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(lambda url: url.endswith((".woff2", ".ttf")), hold)
    page.goto(live_server.url + path, wait_until="domcontentloaded")
    wait_until(page, "performance.getEntriesByName('first-contentful-paint').length === 1")
    # Inter, and the mono where the page shows an id; no other weight.
    assert len(held) == {"overview": 2, "campaign": 1}[address]
    before = page.evaluate("window.shifted")
    for request in held:
        request.continue_()
    page.evaluate("document.fonts.ready.then(() => undefined)")
    loaded = page.evaluate(
        "[...document.fonts].filter((font) => font.status === 'loaded').map((font) => font.family)"
    )
    arrived = {family.strip('"') for family in loaded if "fallback" not in family}
    assert arrived <= FONTS
    assert len(arrived) == len(held)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert page.evaluate("window.shifted") - before < 0.01
    context.close()


def test_pages_admin_and_api_documentation_share_fonts_sizes_and_theme(
    operator_page: Page, live_server: LiveServer
) -> None:
    campaign = campaign_with_results()
    page = operator_page
    problems = watch(page, live_server)
    grounds: dict[str, set[str]] = {"light": set(), "dark": set()}
    for theme in ("light", "dark"):
        page.goto(live_server.url)
        page.evaluate(f"xeenetTheme.set({theme!r})")
        for address, ready in (
            (campaign.get_absolute_url(), ".tabs"),
            ("/admin/", "#nav-sidebar"),
            ("/admin/campaigns/task/", "#result_list .chip.completed"),
            ("/api/docs/", ".opblock"),
        ):
            page.goto(live_server.url + address)
            page.wait_for_selector(ready)
            wait_until(page, f"xeenetTheme.current() === {theme!r}")
            grounds[theme].add(page.evaluate(GROUND))
            assert page.evaluate(OTHER_SIZES.replace("SIZES", str(sorted(SIZES)))) == [], address
            family = page.evaluate("getComputedStyle(document.querySelector('h1, h2')).fontFamily")
            assert family.startswith(('"Inter"', "Inter")), address
            picture(page, f"look-{address.strip('/').replace('/', '-')}-{theme}")
        # What we do not colour there, such as its icons, takes the dark theme of Swagger UI.
        dark = page.evaluate("document.documentElement.matches('.dark-mode')")
        assert dark is (theme == "dark")
    assert [len(colours) for colours in grounds.values()] == [1, 1]
    assert grounds["light"] != grounds["dark"]
    assert problems == []


def test_the_theme_chosen_in_the_admin_is_that_of_the_pages(
    operator_page: Page, live_server: LiveServer
) -> None:
    page = operator_page
    page.goto(live_server.url)
    page.evaluate("xeenetTheme.set('light')")
    page.goto(live_server.url + "/admin/")
    wait_until(page, "document.documentElement.classList.contains('light')")
    page.click("[data-theme-switch]")
    wait_until(page, "document.documentElement.classList.contains('dark')")
    # The admin's own shortcut.
    page.keyboard.press("Control+e")
    wait_until(page, "localStorage.getItem('theme') === 'light'")
    page.keyboard.press("Control+e")
    wait_until(page, "localStorage.getItem('theme') === 'dark'")
    page.goto(live_server.url)
    assert page.evaluate("xeenetTheme.current()") == "dark"


@pytest.fixture
def web(transactional_db: None, static_root: Path, tmp_path: Path) -> Iterator[str]:
    """Yield the address of a real web server: it compresses files, as the tests' own does not."""
    environment = database_environment(tmp_path / "home") | {"XEENET_STATIC_ROOT": str(static_root)}
    server = WebServer("web", free_port(), environment, tmp_path)
    server.start()
    server.wait_until_it_answers()
    yield f"http://127.0.0.1:{server.port}"
    server.kill()


@pytest.mark.long
@pytest.mark.timeout(300)  # collecting the static files counts
def test_a_first_visit_loads_less_than_250_kb(chromium: Browser, web: str) -> None:
    campaign = campaign_with_results()
    for path in ("/", "/login/", "/campaigns/", campaign.get_absolute_url()):
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        addresses: dict[str, str] = {}
        sizes: dict[str, int] = {}
        network = context.new_cdp_session(page)
        network.on(
            "Network.responseReceived",
            lambda event, seen=addresses: seen.update(
                {event["requestId"]: event["response"]["url"]}
            ),
        )
        network.on(
            "Network.loadingFinished",
            lambda event, seen=sizes: seen.update({event["requestId"]: event["encodedDataLength"]}),
        )
        network.send("Network.enable")
        page.goto(web + path, wait_until="networkidle")
        by_address = {addresses[request]: size for request, size in sizes.items()}
        fonts = [url for url in by_address if url.endswith((".woff2", ".ttf"))]
        assert 1 <= len(fonts) <= 2
        assert sum(by_address.values()) < MOST_BYTES, (path, by_address)
        context.close()
