"""The hero chart in a real Chromium: labels, zoom, what it appends, keyboard and pointer."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns.charts.hero import hero_points
from campaigns.clock import database_now
from campaigns.models import Campaign
from tests import factories
from tests.browser.driver import DRAWN, Work, fits, picture, refresh, serious, wait_until, watch
from tests.browser.hero_data import chart, chunk_of, hostile, label, show, usual

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDTHS = (1440, 1280, 390)
MODES = ("order", "spent", "clock")
# Labels whose boxes share more than a hair, and those that stick out of the chart.
OVERLAPS = """() => {
    const svg = document.querySelector(".hero-plot").getBoundingClientRect();
    const labels = [...document.querySelectorAll(".hero-plot text")].map((text) =>
        ({ text: text.textContent, box: text.getBoundingClientRect() }));
    const bad = [];
    labels.forEach(({ text, box }, row) => {
        if (box.left < svg.left - 1 || box.right > svg.right + 3 || box.bottom > svg.bottom + 1)
            bad.push(`${text} sticks out`);
        for (const other of labels.slice(row + 1)) {
            const { left, right, top, bottom } = other.box;
            const width = Math.min(box.right, right) - Math.max(box.left, left);
            const height = Math.min(box.bottom, bottom) - Math.max(box.top, top);
            if (width > 0 && height > 0.5) bad.push(`${text} on ${other.text}`);
        }
    });
    return { bad, count: labels.length, texts: labels.map(({ text }) => text) };
}"""


@pytest.fixture
def campaign() -> Campaign:
    """Return a running campaign with a few results of one worker, and a failure."""
    now = database_now()
    campaign = factories.active_campaign(40, now=now, max_failed_attempts=1)
    worker = factories.runner()
    for value in (3.4, 3.2, 3.3, 3.1):
        factories.finish(factories.claim_one(worker, now=now), value, now=database_now())
    factories.fail(factories.claim_one(worker, now=now), now=database_now())
    return campaign


@pytest.fixture
def page(browser_page: Page, live_server: LiveServer, campaign: Campaign) -> Page:
    """Return the campaign's page with its chart drawn."""
    browser_page.goto(live_server.url + campaign.get_absolute_url())
    browser_page.wait_for_selector("#hero.drawn .dot")
    return browser_page


def finish(campaign: Campaign, *values: float) -> None:
    """Let the runner finish the campaign's next tasks with these values."""
    for value in values:
        now = database_now()
        factories.finish(factories.claim_one(factories.runner(), now=now), value, now=now)
    campaign.refresh_from_db()


def still(page: Page) -> None:
    """Stop the page's polls."""
    page.evaluate("document.querySelector('[data-live]')?.removeAttribute('data-live')")
    page.evaluate(
        "document.addEventListener('htmx:beforeRequest', (event) => event.preventDefault())"
    )


def append(page: Page, chunk: dict[str, Any]) -> None:
    page.evaluate(
        "(detail) => document.dispatchEvent(new CustomEvent('xeenet:points', { detail }))", chunk
    )


def dots(page: Page) -> int:
    """Count the points that are drawn, in the plot and in its lanes."""
    count: int = page.evaluate(DRAWN)
    return count


def middle(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.timeout(300)  # a hundred drawings, on a machine that may be busy
def test_no_label_touches_another_at_three_widths_whatever_the_campaign(page: Page) -> None:
    still(page)
    counts = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        wait_until(page, f"innerWidth === {width}")
        wait_until(
            page,
            "document.querySelector('.hero-plot').clientWidth"
            " === Number(document.querySelector('.hero-plot').getAttribute('width'))",
        )
        for name, (data, end) in hostile().items():
            show(page, data, end)
            for mode in MODES:
                page.click(f"[data-mode={mode}]")
                found = page.evaluate(OVERLAPS)
                assert (width, name, mode, found["bad"]) == (width, name, mode, [])
                counts[width, name, mode] = found["count"]
            picture(page, f"hero-{name.replace(' ', '-')}-{width}")
        assert fits(page)
    # Labels that are all left out would not touch either.
    for width in WIDTHS:
        assert counts[width, "long names", "order"] >= 8
        assert counts[width, "events", "order"] >= 10


def test_no_step_goes_through_the_label_of_a_new_best(page: Page, campaign: Campaign) -> None:
    """The first ones come soon after each other, so that their steps are short."""
    finish(campaign, *[3.5] * 30)
    page.reload()
    page.wait_for_selector("#hero.drawn .change-label")
    crossed = page.evaluate(
        """() => {
            const corners = document.querySelector(".hero-plot .step").getAttribute("d");
            const drops = [...corners.matchAll(/H([\\d.-]+)V/g)].map(([, x]) => Number(x));
            const ends = [...corners.matchAll(/[M ]([\\d.-]+)(?=H)|V([\\d.-]+)/g)];
            const ys = ends.map(([, first, y]) => Number(first ?? y));
            const labels = [...document.querySelectorAll(".change-label")].map((t) => t.getBBox());
            return [drops.length, labels.length, drops.filter((x, row) => labels.some((box) =>
                box.x < x && x < box.x + box.width
                && box.y < Math.max(ys[row], ys[row + 1])
                && box.y + box.height > Math.min(ys[row], ys[row + 1])))];
        }"""
    )
    assert crossed[0] == 2
    assert crossed[1] >= 2
    assert crossed[2] == []


def test_labels_that_would_touch_are_noticed(page: Page) -> None:
    page.evaluate(
        """() => {
            const text = document.querySelector(".hero-plot .tick-label");
            text.parentNode.append(text.cloneNode(true));
        }"""
    )
    assert page.evaluate(OVERLAPS)["bad"]


def test_the_chart_shows_its_campaign_and_appends_what_a_refresh_brings(
    page: Page, campaign: Campaign, live_server: LiveServer
) -> None:
    problems = watch(page, live_server)
    assert dots(page) == 5
    page.evaluate("window.plotBefore = document.querySelector('.hero-plot')")
    now = database_now()
    factories.finish(factories.claim_one(factories.runner(), now=now), 3.0, now=database_now())
    refresh(page)
    wait_until(page, "document.querySelector('.end-label').textContent.startsWith('3.0000')")
    assert dots(page) == 6
    assert page.evaluate("document.querySelector('.hero-plot') === window.plotBefore")
    assert serious(page) == []
    assert problems == []


def test_points_that_the_server_sends_later_join_the_chart(page: Page, campaign: Campaign) -> None:
    still(page)
    finish(campaign, 3.05, 2.9)
    append(page, json.loads(json.dumps(hero_points(campaign, after=5))))
    assert dots(page) == 7
    assert page.locator(".end-label").first.text_content() == "2.9000"
    # The same again changes nothing.
    append(page, json.loads(json.dumps(hero_points(campaign, after=5))))
    assert dots(page) == 7


def test_points_that_are_missing_are_fetched(page: Page, campaign: Campaign) -> None:
    still(page)
    finish(campaign, 3.05, 2.9, 2.95)
    chunk = json.loads(json.dumps(hero_points(campaign, after=7)))
    for column in ("at", "spent", "value", "arm", "kind", "device"):
        chunk["points"][column] = chunk["points"][column][-1:]
    chunk["points"] |= {"order": 8, "number": [7]}
    append(page, chunk | {"from": 8})
    wait_until(page, f"{DRAWN} === 8")


def test_a_drag_zooms_appending_keeps_the_zoom_and_a_double_click_goes_back(page: Page) -> None:
    still(page)
    data = chart(usual(300))
    show(page, data, label(2.41))
    everything = dots(page)
    ticks = page.locator(".tick-label").all_text_contents()
    box = page.locator(".hero-plot").bounding_box()
    assert box
    page.mouse.move(box["x"] + 300, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 95, steps=4)
    page.mouse.up()
    assert page.locator("[data-reset]").is_visible()
    zoomed = page.locator(".tick-label").all_text_contents()
    assert zoomed != ticks
    assert 0 < dots(page) < everything / 2
    assert page.url.endswith("/")
    inside = dots(page)

    append(page, chunk_of(data, [2.7, 2.8]))

    assert page.locator(".tick-label").all_text_contents() == zoomed
    assert dots(page) == inside
    page.mouse.dblclick(box["x"] + 8, box["y"] + 100)
    assert dots(page) == everything + 2
    assert not page.locator("[data-reset]").is_visible()
    # Also in height, if the drag goes far enough; Escape goes back, too.
    page.mouse.move(box["x"] + 300, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 140, steps=4)
    page.mouse.up()
    assert page.locator(".tick-label").all_text_contents()[:2] != zoomed[:2]
    page.focus("#hero")
    page.keyboard.press("Escape")
    assert dots(page) == everything + 2


def test_an_append_to_two_thousand_points_takes_at_most_fifty_milliseconds(page: Page) -> None:
    still(page)
    data = chart(usual(2000, seed=2))
    show(page, data, label(2.41))
    work = Work(page)
    times = []
    for turn in range(5):
        before = work.milliseconds()
        append(page, chunk_of(data | {"total": data["total"] + turn}, [2.6 + turn / 100]))
        times.append(work.milliseconds() - before)
    assert median(times) <= 50, times
    # A full drawing, as after a change of scale, is not far from it.
    append(page, chunk_of(data | {"total": data["total"] + 5}, [2.1]))
    assert dots(page) == 2006


def test_the_keyboard_walks_over_the_points_and_opens_one(page: Page) -> None:
    page.focus("#hero")
    page.keyboard.press("ArrowLeft")
    said = page.locator("#hero [aria-live]")
    wait_until(page, "document.querySelector('#hero [aria-live]').textContent !== ''")
    assert said.inner_text() == "task 4 · arm 4: failed"
    page.keyboard.press("ArrowLeft")
    assert said.inner_text() == "task 3 · arm 3 · cpu: 3.1000 bits/byte, the lowest"
    page.keyboard.press("ArrowUp")
    assert "task 1" in said.inner_text()
    assert "+0.1000 to the lowest" in said.inner_text()
    page.wait_for_selector(".hero-card .hero-params")
    page.keyboard.press("Home")
    assert "task 0" in said.inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url("**?open=task-0")
    page.wait_for_selector("#side-title:has-text('Task 0')")


def test_without_a_panel_beside_it_the_chart_goes_to_the_page_of_the_task(page: Page) -> None:
    page.evaluate("document.getElementById('side').remove()")
    page.focus("#hero")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks/0/")


def test_the_card_is_fetched_once_and_a_click_offers_the_task_first(page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: "/card/" in request.url and requests.append(request.url))
    page.evaluate(
        """() => document.addEventListener("xeenet:open", (event) => {
            window.opened = event.detail;
            event.preventDefault();
        })"""
    )
    page.focus("#hero")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".hero-card .hero-params")
    x, y = middle(page, ".focus .ring")
    page.mouse.move(x, y)
    page.mouse.move(x, y - 60)
    page.mouse.move(x, y)
    assert page.locator(".hero-card .hero-value").inner_text() == "3.1000 bits/byte, the lowest"
    page.mouse.click(x, y)
    wait_until(page, "window.opened")
    opened = page.evaluate("window.opened")
    assert (opened["arm"], opened["task"]) == (3, 3)
    assert opened["url"].endswith("/")
    assert page.locator(".focus .seed").count() >= 1
    assert len(requests) == len(set(requests))


def test_the_axis_is_chosen_once_for_all_pages(page: Page) -> None:
    page.click("[data-mode=clock]")
    page.reload()
    page.wait_for_selector("#hero.drawn .dot")
    assert page.locator("[data-mode=clock]").get_attribute("aria-pressed") == "true"


def test_without_scripts_the_sentence_and_the_tables_are_there(
    browser_page: Page, live_server: LiveServer, campaign: Campaign
) -> None:
    browser_page.route("**/*.js", lambda route: route.abort())
    browser_page.goto(live_server.url + campaign.get_absolute_url())
    assert "Lowest single run so far: 3.1000" in browser_page.locator("#hero-sentence").inner_text()
    browser_page.click("#hero-tables summary")
    assert browser_page.locator("#latest-table tbody tr").count() == 5


def test_both_themes_have_the_same_chart_and_no_findings_of_axe(page: Page) -> None:
    still(page)
    data, end = hostile()["events"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        show(page, data, end)
        page.click("#hero-tables summary")
        picture(page, f"hero-{scheme}")
        assert serious(page) == []
