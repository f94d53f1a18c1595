"""The tabs Race and Honesty in a real Chromium: three widths, two themes, axe, and no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns import jobs, lifecycle
from campaigns.clock import database_now
from campaigns.models import Campaign, Result
from tests import factories
from tests.browser.driver import fits, picture, refresh, serious, sign_in, wait_until, watch
from workers.protocol import FailureClass

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# What each seed adds to all arms, and what it adds to one arm alone.
SHARED = (0.0, 0.01, -0.02, 0.015, 0.0, 0.02, -0.01, 0.01, 0.0, -0.02, 0.02, 0.01, 0.0)
OWN = (0.004, -0.006, 0.009, -0.003, 0.002)


def run_one(campaign: Campaign) -> None:
    """Run the next task: arm 3 runs out of memory on its first race seed, arm 4 is far behind."""
    attempt = factories.claim_one(factories.runner(), now=database_now())
    arm, index = attempt.task.arm.number, attempt.task.seed_index or 0
    if (arm, index) == (3, 1):
        factories.fail(attempt, FailureClass.OOM, now=database_now())
        return
    value = 2.4 + 0.012 * arm**2 + SHARED[index % 13] + OWN[(3 * arm + index) % 5]
    factories.finish(attempt, value, now=database_now())
    load = None if index % 3 else 0.2 * arm
    Result.objects.filter(task=attempt.task).update(foreign_load=load)


def raced(*, runs: int = 1_000) -> Campaign:
    """Return a campaign of "ada" whose five arms race; at most so many runs have ended."""
    campaign = factories.active_campaign(
        5,
        name="Learning rate and width",
        owner=factories.user("ada"),
        max_failed_attempts=1,
        now=database_now(),
    )
    for _ in range(5):
        run_one(campaign)
    campaign.refresh_from_db()
    lifecycle.start_race(campaign, range(5), seeds=12, now=database_now())
    while runs and campaign.tasks.filter(state="pending").exists():
        run_one(campaign)
        runs -= 1
    jobs.keep_noise_floors()
    return campaign


@pytest.mark.timeout(300)  # twelve pages, on a machine that may be busy
def test_axe_finds_nothing_serious_and_both_tabs_fit_every_screen(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = raced()
    page, base = browser_page, campaign.get_absolute_url()
    sign_in(page, live_server, campaign.owner)  # type: ignore[arg-type]
    problems = watch(page, live_server)
    tabs = {"race": f"{base}races/", "honesty": f"{base}honesty/?rows=failed"}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for width in (1440, 1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            for name, path in tabs.items():
                page.goto(live_server.url + path)
                picture(page, f"{name}-{scheme}-{width}")
                assert fits(page), (path, width)
                # The phone's pages have the same markup, so run axe only once per scheme.
                assert width != 1280 or serious(page) == [], path
    assert problems == []


def test_all_strips_have_one_scale_and_every_mark_lies_in_its_strip(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = raced()
    page = browser_page
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{live_server.url}{campaign.get_absolute_url()}races/")
        lines = page.evaluate(
            """() => [...document.querySelectorAll("svg.strip")].map((strip) => {
                const box = strip.getBoundingClientRect();
                const marks = [...strip.querySelectorAll("circle, rect, svg > path")];
                return [box.left, box.width, box.height, marks.every((mark) => {
                    const { left, right, top, bottom } = mark.getBoundingClientRect();
                    return left >= box.left - 1 && right <= box.right + 1
                        && top >= box.top - 2 && bottom <= box.bottom + 2;
                })];
            })"""
        )
        assert len(lines) == 5
        assert len({tuple(line[:3]) for line in lines}) == 1
        assert all(line[3] for line in lines), lines


def test_a_refresh_follows_the_race_and_keeps_what_the_reader_ticked(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = raced(runs=4)
    page = browser_page
    sign_in(page, live_server, campaign.owner)  # type: ignore[arg-type]
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}races/")
    assert "4 of 15 runs are in" in page.locator("#race-awaits").inner_text()
    page.click("#race-table summary")
    page.locator("#new-race-form input[name=arms]").first.uncheck()
    run_one(campaign)
    refresh(page)
    assert "5 of 15 runs are in" in page.locator("#race-awaits").inner_text()
    assert page.locator("#race-table").get_attribute("open") is not None
    assert not page.locator("#new-race-form input[name=arms]").first.is_checked()


def test_a_count_leads_to_its_runs_and_an_arm_to_its_panel(
    browser_page: Page, live_server: LiveServer
) -> None:
    campaign = raced()
    page = browser_page
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}honesty/")
    page.click("#rows-failed")
    page.wait_for_url("**rows=failed*")
    assert page.locator("#rows-frame tbody tr").count() == 1
    page.click("#tab-race")
    page.wait_for_url("**/races/")
    page.click("#race-arm-1")
    wait_until(page, "document.querySelector('#side[open] #side-title') !== null")
    assert "1" in page.locator("#side-title").inner_text()
