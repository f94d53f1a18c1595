"""The analysis tab in a real Chromium: panels load when scrolled to, and change in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from campaigns import jobs, lifecycle
from campaigns.models import Campaign
from campaigns.panels import PANELS
from tests import factories
from tests.browser.driver import picture, serious, wait_until, watch
from workers.protocol import FailureClass

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def analysed_campaign() -> Campaign:
    """Return a campaign with results on two devices, a repeated config, and a failure."""
    cache.clear()
    campaign = factories.active_campaign(26, max_failed_attempts=1)
    worker = factories.worker("a-worker-with-quite-a-long-name-on-some-machine")
    for number in range(24):
        attempt = factories.claim_one(worker, now=factories.at(number))
        device = "cuda: a large card" if number % 3 else "cpu"
        steps = 100 * (number + 1)
        factories.finish(
            attempt,
            3 - number / 50,
            now=factories.at(number + 1),
            device_used=device,
            steps_completed=steps,
        )
    factories.fail(factories.claim_one(worker), FailureClass.OOM, now=factories.at(40))
    first = campaign.tasks.get(number=0)
    lifecycle.enqueue(campaign, first.params, seed=901, now=factories.at(50))
    for _ in range(2):
        factories.finish(factories.claim_one(worker, now=factories.at(60)), 2.9)
    campaign.refresh_from_db()
    return campaign


def show_everything(page: Page) -> None:
    """Scroll down until every panel is loaded and every chart is drawn."""
    for key in PANELS:
        # Find the panel by its id each time, because it may be replaced while we scroll to it.
        page.evaluate(f"document.getElementById('panel-{key}').scrollIntoView()")
        page.wait_for_selector(f"#panel-{key}:not(.waiting)", state="attached")
    wait_until(
        page,
        "[...document.querySelectorAll('.chart')].every((c) => c.querySelector('.main-svg'))",
    )


@pytest.mark.timeout(300)  # thirteen charts, on a machine that may be busy
def test_panels_come_when_seen_fit_a_phone_and_are_accessible(
    browser_page: Page, live_server: LiveServer
) -> None:
    page = browser_page
    problems = watch(page, live_server)
    campaign = analysed_campaign()
    page.goto(live_server.url + reverse("campaign-analysis", args=[campaign.pk]))
    page.wait_for_selector("#panel-importance h2:has-text('Importance is being computed')")
    jobs.compute_importance(campaign.pk, "")
    # The panel polls until the job has finished.
    page.wait_for_selector("#panel-importance .chart")
    # Panels far below are not loaded yet.
    assert page.locator("#panel-failures.waiting").count() == 1
    show_everything(page)
    assert page.locator(".chart").count() == 13
    picture(page, "analysis-light-1280")
    assert serious(page) == []

    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    # Charts adapt to the new width with a delay.
    wait_until(page, "document.documentElement.scrollWidth <= innerWidth")
    picture(page, "analysis-dark-390")
    assert serious(page) == []
    assert problems == []


def test_choices_change_a_panel_in_place_and_keep_the_focus(
    browser_page: Page, live_server: LiveServer
) -> None:
    page = browser_page
    campaign = analysed_campaign()
    page.goto(live_server.url + reverse("campaign-analysis", args=[campaign.pk]))
    page.locator("#panel-slice").scroll_into_view_if_needed()
    page.wait_for_selector("#slice-x")
    chosen = page.locator("#slice-x").input_value()
    target = "lr" if chosen == "d_model" else "d_model"
    page.focus("#slice-x")
    page.keyboard.press("ArrowUp" if target == "lr" else "ArrowDown")
    wait_until(
        page, f"document.querySelector('#panel-slice h2').textContent.startsWith('{target}:')"
    )
    wait_until(page, f"document.querySelector('#panel-slice .xtitle')?.textContent === '{target}'")
    assert page.evaluate("document.activeElement.id") == "slice-x"
    page.select_option("#analysis-device", "cpu")
    page.wait_for_url("**?device=cpu")
    page.wait_for_selector("#panel-importance h2:has-text('Too few results')")
