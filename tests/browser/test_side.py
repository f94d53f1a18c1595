"""The side panel in a real Chromium: address, focus, keys, notes being typed, a phone's sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from campaigns import steering
from campaigns.clock import database_now
from campaigns.models import Campaign, Note
from tests import factories
from tests.browser.driver import picture, serious, sign_in, wait_until, watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HOSTILE = "<img src=x onerror=document.title='bro'+'ken'> {{ 7*7 }} \u202egnp.exe"
IN_PANEL = "document.getElementById('side').contains(document.activeElement)"


@pytest.fixture
def problems(browser_page: Page, live_server: LiveServer) -> list[str]:
    """Return the list of the page's problems, which must stay empty."""
    return watch(browser_page, live_server)


def ranked_campaign(tasks: int = 5, *, open_tasks: int = 0, **fields: Any) -> Campaign:
    """Return a campaign whose arms stand on the board by number, with curves."""
    campaign = factories.active_campaign(tasks + open_tasks, now=database_now(), **fields)
    for number in range(tasks):
        attempt = factories.claim_one(factories.runner(), now=database_now())
        factories.curve(attempt, ({"value": 4 - n / 10 + number / 20} for n in range(1, 10)))
        factories.finish(attempt, 3.0 + number / 10, now=database_now())
    return campaign


def opens(page: Page, title: str) -> None:
    """Wait until the panel has this title, and not only its frame."""
    has_title = f"document.getElementById('side-title')?.textContent === '{title}'"
    wait_until(page, f"{has_title} && !document.querySelector('[data-awaits]')")


def is_closed(page: Page) -> None:
    wait_until(page, "!document.getElementById('side').open")


def query_of(page: Page) -> str:
    return urlsplit(page.url).query


def link(key: str) -> str:
    return f"main a[data-open='{key}']"


def test_a_row_opens_beside_the_list_and_the_address_has_it(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaign = ranked_campaign()
    page = browser_page
    page.goto(live_server.url + campaign.get_absolute_url())
    page.evaluate("window.before = document.getElementById('campaign')")

    page.click(link("arm-1"))
    opens(page, "Arm 1")
    assert query_of(page) == "open=arm-1"
    # The focus moves in, and the row is marked; the page is the same.
    assert page.evaluate("document.activeElement.id") == "side-title"
    assert page.locator("tr.is-open").count() == 1
    assert page.evaluate("document.getElementById('campaign') === window.before")
    assert page.locator("#side .side-curve .curve").count() == 1

    # A seed of it opens in its place, and the way back leads to the arm.
    page.click("#side a[data-open='task-1']")
    opens(page, "Task 1")
    page.go_back()
    opens(page, "Arm 1")
    page.keyboard.press("Escape")
    is_closed(page)
    assert query_of(page) == ""
    # The address alone opens it again.
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}?open=arm-1")
    opens(page, "Arm 1")
    assert problems == []


def test_escape_and_the_cross_close_it_and_return_the_focus(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaign = ranked_campaign()
    page = browser_page
    page.goto(live_server.url + campaign.get_absolute_url())
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.click("#side-close")):
        page.click(link("arm-2"))
        opens(page, "Arm 2")
        close()
        is_closed(page)
        assert page.evaluate("document.activeElement.dataset.open") == "arm-2"
        assert page.locator("tr.is-open").count() == 0
    page.go_back()
    opens(page, "Arm 2")
    page.go_back()
    is_closed(page)
    page.go_forward()
    opens(page, "Arm 2")
    assert problems == []


def test_the_keys_go_through_the_list_behind_it(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaign = ranked_campaign()
    page = browser_page
    # Sorted by value, the other way round: not the order of the numbers.
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}tasks/?sort=-value")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.dataset.open") == "task-3"
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    opens(page, "Task 4")
    # Two quick presses: the later answer wins.
    page.keyboard.press("j")
    opens(page, "Task 3")
    page.keyboard.press("j")
    opens(page, "Task 2")
    assert query_of(page) == "sort=-value&open=task-2"
    page.keyboard.press("k")
    opens(page, "Task 3")
    page.click("#side-after")
    opens(page, "Task 2")
    page.keyboard.press("Escape")
    is_closed(page)
    assert page.evaluate("document.activeElement.dataset.open") == "task-2"
    # Each step replaced the address: one step back is the panel, two are the list.
    page.go_back()
    wait_until(page, "document.getElementById('side').open")
    page.go_back()
    is_closed(page)
    assert problems == []


def test_other_parts_of_the_page_open_it_by_an_event(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaign = ranked_campaign()
    page = browser_page
    page.goto(live_server.url + campaign.get_absolute_url())
    page.evaluate(
        "document.addEventListener('xeenet:opened', ({detail}) => (window.opened = detail.key))"
    )
    # Cancelled: whoever sent the event need not go to the task's own page.
    assert not page.evaluate(
        "document.dispatchEvent("
        "new CustomEvent('xeenet:open', { detail: { task: 0 }, cancelable: true }))"
    )
    opens(page, "Task 0")
    assert page.evaluate("window.opened") == "task-0"
    page.evaluate("document.dispatchEvent(new CustomEvent('xeenet:open', { detail: { arm: 3 } }))")
    opens(page, "Arm 3")
    page.keyboard.press("Escape")
    is_closed(page)
    assert page.evaluate("window.opened") == ""
    assert problems == []


def test_it_works_without_scripts(chromium: Browser, live_server: LiveServer) -> None:
    campaign = ranked_campaign()
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}tasks/?sort=-number&open=task-1")
    assert page.locator("#side-title").is_visible()
    page.click("#side-whole")
    page.click("#side-after")
    assert page.locator("#side-title").inner_text() == "Task 2"
    page.click("#side-close")
    assert query_of(page) == "sort=-number"
    assert not page.locator("#side").is_visible()
    context.close()


def test_a_filter_of_the_page_keeps_it_open(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    campaign = ranked_campaign()
    page = browser_page
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}tasks/")
    page.click(link("task-1"))
    opens(page, "Task 1")
    page.click("#state-completed")
    wait_until(page, "document.querySelector('#state-completed[aria-current]') !== null")
    wait_until(page, "location.search === '?state=completed&open=task-1'")
    assert page.locator("#side-title").inner_text() == "Task 1"
    assert page.locator("tr.is-open").count() == 1
    assert problems == []


# --- Refreshing, notes ---------------------------------------------------------------------------


def test_a_refresh_brings_the_new_value_and_keeps_the_note_being_typed(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    owner = factories.user("ada")
    campaign = ranked_campaign(1, open_tasks=2, owner=owner)
    page = browser_page
    sign_in(page, live_server, owner)
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}?open=task-1")
    opens(page, "Task 1")
    page.fill("#side-note-text", "half a sen")
    page.fill("#side-times", "7")
    page.focus("#side-note-text")
    attempt = factories.claim_one(factories.runner(), now=database_now())
    factories.finish(attempt, 2.5, now=database_now())

    wait_until(page, "document.querySelector('.side-value .value').textContent.includes('2.5000')")

    assert page.input_value("#side-note-text") == "half a sen"
    assert page.input_value("#side-times") == "7"
    assert page.evaluate("document.activeElement.id") == "side-note-text"
    assert problems == []


def test_a_note_is_saved_in_place_and_a_draft_survives(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    owner = factories.user("ada")
    campaign = ranked_campaign(3, owner=owner)
    page = browser_page
    sign_in(page, live_server, owner)
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}?open=arm-0")
    opens(page, "Arm 0")
    page.fill("#side-note-text", HOSTILE)
    # Going on to the next arm, and reloading, costs nothing.
    page.focus("#side-title")
    page.keyboard.press("j")
    opens(page, "Arm 1")
    assert page.input_value("#side-note-text") == ""
    page.keyboard.press("k")
    opens(page, "Arm 0")
    assert page.input_value("#side-note-text") == HOSTILE
    page.reload()
    opens(page, "Arm 0")
    wait_until(page, "document.querySelector('.note-foot').textContent.includes('Not saved yet')")
    page.click("#side-note-save")
    wait_until(page, "document.querySelector('.note-foot').textContent.includes('Saved.')")
    assert Note.objects.get().text == HOSTILE
    # Saved again on top of the own text, without loading the page anew.
    page.fill("#side-note-text", "second")
    page.click("#side-note-save")
    wait_until(page, "document.getElementById('side-note-text').defaultValue === 'second'")
    assert Note.objects.get().edits == 2
    page.reload()
    opens(page, "Arm 0")
    assert page.input_value("#side-note-text") == "second"
    assert "broken" not in page.title()
    assert problems == []


def test_keys_in_the_note_are_letters_and_escape_leaves_only_the_field(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    owner = factories.user("ada")
    campaign = ranked_campaign(3, owner=owner)
    page = browser_page
    sign_in(page, live_server, owner)
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}?open=arm-0")
    opens(page, "Arm 0")
    page.focus("#side-note-text")
    page.keyboard.type("jk/?")
    assert page.input_value("#side-note-text") == "jk/?"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "side-title"
    assert page.evaluate("document.getElementById('side').open")
    page.keyboard.press("Escape")
    is_closed(page)
    assert problems == []


def test_the_ticked_arms_race_from_the_panel(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    owner = factories.user("ada")
    campaign = ranked_campaign(4, owner=owner)
    page = browser_page
    sign_in(page, live_server, owner)
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}?open=arm-2")
    opens(page, "Arm 2")
    assert page.inner_text("#side-race") == "Race arm 0"
    page.check("main .pick[name=arms][value='1']")
    page.check("main .pick[name=arms][value='3']")
    assert page.inner_text("#side-race") == "Race the chosen 3"
    page.click("#side-race")
    page.wait_for_selector(".notice.success")
    assert sorted(campaign.races.get().arms) == [1, 2, 3]
    assert problems == []


def test_run_again_comes_back_to_the_open_panel(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    owner = factories.user("ada")
    campaign = ranked_campaign(2, owner=owner)
    page = browser_page
    sign_in(page, live_server, owner)
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}tasks/?state=completed")
    page.click(link("task-1"))
    opens(page, "Task 1")
    page.fill("#side-times", "4")
    page.click("#side-again")
    page.wait_for_selector(".notice.success")
    assert query_of(page) == "state=completed&open=task-1"
    opens(page, "Task 1")
    assert page.locator("#side-seeds-frame tbody tr").count() == 5
    assert problems == []


# --- Phone, axe ----------------------------------------------------------------------------------


def with_note(owner: User) -> Campaign:
    campaign = ranked_campaign(4, owner=owner, name=HOSTILE)
    steering.write_note(owner, campaign.arms.get(number=1), HOSTILE * 5, now=database_now())
    return campaign


def test_on_a_phone_it_is_a_sheet_from_below(
    browser_page: Page, live_server: LiveServer, problems: list[str]
) -> None:
    owner = factories.user("ada")
    campaign = with_note(owner)
    page = browser_page
    sign_in(page, live_server, owner)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(live_server.url + campaign.get_absolute_url())
    # The row's link covers it all.
    page.locator("#row-1").scroll_into_view_if_needed()
    row = page.locator("#row-1 .value").bounding_box()
    assert row is not None
    page.mouse.click(row["x"] + row["width"] / 2, row["y"] + row["height"] / 2)
    opens(page, "Arm 1")
    wait_until(page, "document.getElementById('side').getAnimations().length === 0")
    assert page.evaluate("document.getElementById('side').matches(':modal')")
    box = page.locator("#side").bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 390)
    assert box["y"] + box["height"] == pytest.approx(844, abs=1)
    assert box["height"] <= 0.9 * 844
    # Tab stays inside.
    for _ in range(40):
        page.keyboard.press("Tab")
        assert page.evaluate(f"{IN_PANEL} || document.activeElement === document.body")
    small = page.evaluate(
        """[...document.querySelectorAll("#side :is(a, button, summary, input:not([type=hidden]))")]
            .filter((e) => e.getClientRects().length)
            .map((e) => [e.id, e.getBoundingClientRect()])
            .filter(([, box]) => box.height < 24 || box.width < 24)
            .filter(([id]) => !id.startsWith("side-task-"))
            .map(([id]) => id)"""
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    body = "document.querySelector('.side-body')"
    assert page.evaluate(f"{body}.scrollWidth <= {body}.clientWidth")
    assert serious(page) == []
    picture(page, "side-phone")
    page.keyboard.press("Escape")
    is_closed(page)
    assert page.evaluate("document.activeElement.dataset.open") == "arm-1"
    # From the address, too.
    page.goto(f"{live_server.url}{campaign.get_absolute_url()}?open=arm-1")
    wait_until(page, "document.getElementById('side').matches(':modal')")
    page.mouse.click(195, 10)
    is_closed(page)
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_it(
    browser_page: Page, live_server: LiveServer, problems: list[str], scheme: Any
) -> None:
    owner = factories.user("ada")
    campaign = with_note(owner)
    page = browser_page
    page.emulate_media(color_scheme=scheme)
    sign_in(page, live_server, owner)
    for key, title in (("arm-1", "Arm 1"), ("task-2", "Task 2"), ("arm-9", "Arm 9")):
        page.goto(f"{live_server.url}{campaign.get_absolute_url()}?open={key}&whole=1")
        opens(page, title)
        assert serious(page) == []
        picture(page, f"side-{key}-{scheme}")
    assert problems == []
