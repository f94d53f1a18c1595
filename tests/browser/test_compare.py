"""Task, comparison, workers, scripts, settings and audit in a real Chromium, with axe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns import lifecycle, steering
from campaigns.clock import database_now
from campaigns.models import Attempt, Campaign, ProgressPoint
from campaigns.scripts import steering as script_steering
from experiments import catalog
from tests import factories
from tests.browser.driver import fits, picture, refresh, serious, sign_in, wait_until, watch
from workers import lifecycle as worker_lifecycle
from workers import steering as worker_steering
from workers.models import Worker

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HARDWARE = {
    "cpu_model": "AMD EPYC 9R14",
    "cpu_count": 16,
    "ram_bytes": 64_000_000_000,
    "torch_version": "2.13.0",
    "devices": ["cpu"],
}


@pytest.fixture
def problems(browser_page: Page, live_server: LiveServer) -> list[str]:
    """Return the list of the page's problems, which must stay empty."""
    return watch(browser_page, live_server)


def with_curve(attempt: Attempt, end: float) -> Attempt:
    values = [end + 2 / (n + 1) for n in range(10)]
    return factories.curve(
        attempt,
        (
            {"tokens": 40_960 * n, "train_loss": value * 0.7, "value": value}
            for n, value in enumerate(values)
        ),
    )


def study(worker: Worker, values: tuple[float, ...] = (3.4, 3.3, 3.1)) -> Campaign:
    """Return a running campaign with measured tasks that have curves, and one failure."""
    now = database_now()
    campaign = factories.active_campaign(len(values) + 2, now=now, max_failed_attempts=1)
    for value in values:
        attempt = with_curve(factories.claim_one(worker, now=now), value)
        factories.finish(attempt, value, now=database_now())
    factories.fail(with_curve(factories.claim_one(worker, now=now), 3.2), now=database_now())
    best = campaign.tasks.get(number=len(values) - 1)
    lifecycle.enqueue(campaign, best.params, now=now)
    return campaign


def test_ticked_rows_survive_a_refresh_and_lead_to_the_comparison(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    worker = factories.worker()
    campaign = study(worker)
    first, second = campaign.tasks.order_by("number")[:2]
    page = browser_page
    page.goto(live_server.url + campaign.get_absolute_url())
    page.check(f"#pick-{first.arm.number}")
    page.focus(f"#pick-{second.arm.number}")
    page.keyboard.press("Space")
    refresh(page)
    page.click("#compare-button")
    page.wait_for_url("**/compare/?**")
    page.wait_for_selector("#compare-chart .scatterlayer .trace")
    assert page.locator("h1").inner_text() == "Compare 2 tasks"
    page.click("#x-tokens")
    wait_until(
        page, "document.querySelector('#compare-chart .xtitle')?.textContent === 'Tokens trained'"
    )
    assert problems == []


def test_new_points_are_appended_to_the_chart_of_a_running_task(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    factories.active_campaign(1)
    attempt = factories.claim_one(factories.worker(), now=database_now())
    factories.curve(attempt, [{"value": 4.0 - n / 100} for n in range(60)])
    page = browser_page
    page.goto(live_server.url + attempt.task.get_absolute_url())
    wait_until(page, "document.querySelector('#learning-curve').data?.[0].x.length === 60")
    page.evaluate("document.querySelector('#learning-curve-1-validation-1').kept = true")
    ProgressPoint.objects.create(attempt=attempt, seq=60, elapsed_seconds=60, step=600, value=2.5)
    refresh(page)
    wait_until(page, "document.querySelector('#learning-curve').data[0].y.at(-1) === 2.5")
    drawn = "document.querySelector('#learning-curve').data[0]"
    assert page.evaluate(f"{drawn}.x.every((x, place) => x === place)")
    assert page.evaluate("document.querySelector('#learning-curve-1-validation-1').kept")
    assert problems == []


def test_disabling_a_worker_asks_first(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    worker = factories.worker(hardware=HARDWARE)
    factories.leased_task(worker, now=database_now())
    page = browser_page
    sign_in(page, live_server, factories.user("ada", role="operator"))
    page.goto(f"{live_server.url}/workers/{worker.pk}/")
    page.click("#disable-button")
    assert "The 1 task it holds will be lost to it" in page.locator("#disable-dialog").inner_text()
    page.keyboard.press("Escape")
    worker.refresh_from_db()
    assert worker.state == "active"
    page.click("#disable-button")
    page.click("#disable-dialog .button.danger")
    page.wait_for_selector(".notice.success")
    worker.refresh_from_db()
    assert worker.state == "disabled"
    assert problems == []


def test_the_settings_choose_the_theme_and_make_a_token(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    page = browser_page
    sign_in(page, live_server, factories.user("ada"))
    page.goto(live_server.url + "/account/")
    page.check("input[value=dark]")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.is_checked("input[value=dark]")
    page.fill("#token-name", "notebook")
    page.keyboard.press("Enter")
    page.wait_for_selector("#token-secret")
    assert page.locator("#token-secret").inner_text().startswith("xp_")
    assert problems == []


@pytest.mark.timeout(300)  # ten pages, on a machine that may be busy
@pytest.mark.parametrize("part", ["study", "fleet and people"])
def test_axe_finds_nothing_serious_and_no_page_is_too_wide(
    browser_page: Page, live_server: LiveServer, problems: list[str], part: str
) -> None:
    worker = factories.worker("a-worker-with-quite-a-long-name-on-some-machine", hardware=HARDWARE)
    campaign = study(worker)
    paused = study(worker, (3.2, 3.15))
    running = factories.active_campaign(1, now=database_now())
    first, second = campaign.tasks.order_by("number")[:2]
    failed = campaign.tasks.get(state="failed")
    page = browser_page
    operator = factories.user("ada", role="operator")
    sign_in(page, live_server, operator)
    worker_steering.invite(operator, now=database_now(), label="the attic")
    worker_lifecycle.identity_of(operator, now=database_now())
    steering.pause(operator, paused, now=database_now(), reason="a look at the curves first")
    source = catalog.script_source("train_char_lm") + b"\n# a variation\n"
    upload, _ = script_steering.upload(
        operator, name="wider", experiment="train_char_lm", source=source, now=database_now()
    )
    study_pages = {
        first.get_absolute_url(): "#learning-curve .trace",
        failed.get_absolute_url(): "#stderr-text-1",
        f"/compare/?tasks={first.name},{second.name},{failed.name}": "#compare-chart .trace",
        f"/compare/?campaigns={campaign.pk},{paused.pk}": "#compare-chart .trace",
        "/compare/": ".empty",
        running.get_absolute_url(): "#pause-button",
    }
    other_pages = {
        "/workers/": "#workers-frame, #programs-frame, #invitations-frame",
        f"/workers/{worker.pk}/": "#speed path.point",
        "/scripts/": "table",
        upload.get_absolute_url(): "pre",
        "/account/": "#token-name",
        "/audit/": "#audit-frame",
    }
    dialogs = {
        "/workers/": "#invite-button",
        running.get_absolute_url(): "#pause-button",
        upload.get_absolute_url(): "#decline-button",
    }
    paths = study_pages if part == "study" else other_pages
    for path, drawn in paths.items():
        page.goto(live_server.url + path)
        page.wait_for_selector(drawn)
        assert serious(page) == [], path
        if path in dialogs:
            page.click(dialogs[path])
            assert serious(page) == [], f"the dialog of {path}"
            page.keyboard.press("Escape")
        name = re.sub(r"\W+", "-", path).strip("-")
        picture(page, f"{name}-light-1280")
        page.set_viewport_size({"width": 390, "height": 800})
        page.emulate_media(color_scheme="dark")
        # Wait, because charts adapt to the new width with a delay.
        wait_until(page, "document.documentElement.scrollWidth <= innerWidth")
        assert serious(page) == [], f"{path}, dark"
        picture(page, f"{name}-dark-390")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 800})
        wait_until(page, "document.documentElement.scrollWidth <= innerWidth")
    assert problems == []


def test_axe_finds_nothing_serious_where_one_signs_in_and_where_secrets_are_shown(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    page = browser_page
    worker = factories.worker()
    page.emulate_media(color_scheme="dark")
    page.goto(live_server.url + "/login/")
    look_at(page, "login")
    page.emulate_media(color_scheme="light")
    sign_in(page, live_server, factories.user("ada", role="operator"))
    page.goto(live_server.url + "/password/")
    look_at(page, "password")
    page.goto(live_server.url + "/workers/")
    page.click("#invite-button")
    page.click("#invite-send")
    page.wait_for_selector("#command-link")
    look_at(page, "invited")
    page.goto(f"{live_server.url}/workers/{worker.pk}/")
    page.click("#token-button")
    page.click("#token-dialog .button.danger")
    page.wait_for_selector("#command-token-1")
    look_at(page, "rotated")
    assert problems == []


def look_at(page: Page, name: str) -> None:
    picture(page, name)
    assert serious(page) == [], name
    assert fits(page), name
