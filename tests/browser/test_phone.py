"""The pages on a phone, 390 × 800: targets a finger hits, figures first, nothing sideways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns.clock import database_now
from campaigns.models import Campaign
from tests import factories
from tests.browser.driver import fits, picture, sign_in
from workers.models import Worker
from xeenet_site.web import roles

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE: Final = {"width": 390, "height": 800}
FIRST_THIRD: Final = 266
# Targets smaller than 24 × 24 px. The link of a row is hit anywhere in the row, a box also on its
# label. Links inside sentences are excepted, as in WCAG 2.5.8.
SMALL_TARGETS: Final = """(() => {
    const small = [];
    const inSentence = (link) => link.tagName === "A" && getComputedStyle(link).display === "inline"
        && [...link.parentElement.childNodes].some(
            (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim().length > 1);
    const selector = "a[href], button, input:not([type=hidden]), select, textarea, summary";
    for (const target of document.querySelectorAll(selector)) {
        const own = target.getBoundingClientRect();
        const unseen = !target.checkVisibility({ visibilityProperty: true }) || !own.width;
        const exempt = target.matches(".skip-link, .visually-hidden") || inSentence(target);
        if (unseen || exempt) continue;
        const places = [own];
        if (target.matches(".row-link")) places.push(target.closest("tr").getBoundingClientRect());
        for (const label of target.labels ?? []) places.push(label.getBoundingClientRect());
        if (places.some(({ width, height }) => width >= 23.9 && height >= 23.9)) continue;
        const size = `${Math.round(own.width)} x ${Math.round(own.height)}`;
        small.push(`${size} ${target.outerHTML.slice(0, 90)}`);
    }
    return small;
})()"""


@pytest.fixture
def phone(browser_page: Page, live_server: LiveServer) -> Page:
    """Return a page of the size of a phone, of an operator, who sees every control."""
    sign_in(browser_page, live_server, factories.user("otto", role=roles.OPERATOR, is_staff=True))
    browser_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    return browser_page


def world() -> tuple[Campaign, Worker]:
    """Return a campaign with results, a failure and open tasks, and the worker that ran them."""
    now = database_now()
    worker = factories.worker("desk-1")
    name = "Which learning rate and width for the small char model, equal work"
    campaign = factories.active_campaign(12, now=now, name=name, max_failed_attempts=1)
    for value in (3.4, 3.3, 3.2, 3.1):
        factories.finish(factories.claim_one(worker, now=now), value, now=database_now())
    factories.fail(factories.claim_one(worker, now=now), now=database_now())
    factories.campaign(name="a draft")
    return campaign, worker


def check(page: Page, live_server: LiveServer, addresses: list[str]) -> None:
    """Fail for each of these pages that is too wide or has a target that is too small."""
    small = {}
    for address in addresses:
        # Charts, which take seconds to draw, have no targets.
        page.goto(live_server.url + address, wait_until="domcontentloaded")
        assert fits(page), address
        if problems := page.evaluate(SMALL_TARGETS):
            small[address] = problems
    assert small == {}


def test_no_target_of_the_lists_and_forms_is_smaller_than_24_px(
    phone: Page, live_server: LiveServer
) -> None:
    _, worker = world()
    lists = ["/", "/campaigns/", "/workers/", f"/workers/{worker.pk}/", "/scripts/", "/webhooks/"]
    check(phone, live_server, [*lists, "/audit/", "/account/", "/campaigns/new/", "/nothing/"])
    phone.click(".menu-button")
    assert phone.evaluate(SMALL_TARGETS) == []
    assert fits(phone)
    picture(phone, "phone-menu")


def test_no_target_of_a_task_a_script_or_a_comparison_is_smaller_than_24_px(
    phone: Page, live_server: LiveServer
) -> None:
    campaign, _ = world()
    other = factories.active_campaign(1, now=database_now(), name="another one")
    task = campaign.tasks.first()
    assert task is not None
    compared = f"/compare/?campaigns={campaign.pk}&campaigns={other.pk}"
    script = campaign.package.get_absolute_url()
    check(phone, live_server, [task.get_absolute_url(), compared, script])


@pytest.mark.long
def test_no_target_of_the_tabs_of_a_campaign_is_smaller_than_24_px(
    phone: Page, live_server: LiveServer
) -> None:
    campaign, _ = world()
    phone.goto(live_server.url + campaign.get_absolute_url())
    tabs = phone.evaluate("[...document.querySelectorAll('.tabs a')].map((link) => link.pathname)")
    check(phone, live_server, tabs)


def test_the_api_documentation_is_not_wider_than_the_phone(
    phone: Page, live_server: LiveServer
) -> None:
    phone.goto(live_server.url + "/api/docs/")
    phone.wait_for_selector(".opblock")
    assert fits(phone)


def test_signing_in_needs_no_small_target(browser_page: Page, live_server: LiveServer) -> None:
    browser_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    browser_page.goto(live_server.url + "/login/")
    assert browser_page.evaluate(SMALL_TARGETS) == []
    assert fits(browser_page)


@pytest.mark.parametrize("page_name", ["overview", "campaign", "task"])
def test_the_first_figure_is_in_the_first_third_of_the_screen(
    phone: Page, live_server: LiveServer, page_name: str
) -> None:
    campaign, _ = world()
    address = campaign.get_absolute_url()
    pages = {"overview": "/", "campaign": address, "task": f"{address}tasks/0/"}
    phone.goto(live_server.url + pages[page_name])
    figure = phone.locator("dl dd.value").first.bounding_box()
    assert figure is not None
    picture(phone, f"phone-{page_name}")
    assert figure["y"] <= FIRST_THIRD
    if page_name == "overview":
        assert phone.locator("#champion-rows .glyph").first.is_visible()
        assert fits(phone)
