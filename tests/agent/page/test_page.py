"""The worker's page in a real Chromium: its states, its controls, and hostile texts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.agent.page.bench import PageBench
from tests.agent.status.samples import ended, running
from tests.browser.driver import fits, picture, serious, wait_until, watch
from workers.agent.limits.rules_file import load
from workers.agent.status.model import (
    Delivery,
    Ending,
    Fault,
    PausedBy,
    Phase,
    SetUp,
    SetUpStep,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

EVIL = '"><img src=x onerror="document.title=1"><script>document.title=2</script>'
OPEN = "document.querySelector('#page')?.hidden === false"
CLOSED = "document.querySelector('#closed')?.hidden === false"
SMALL_TARGETS = """() => [...document.querySelectorAll("button, a, summary, input, select")]
    .filter((node) => node.checkVisibility() && node.type !== "checkbox")
    .map((node) => [node.id || node.textContent, node.getBoundingClientRect().height])
    .filter(([, height]) => height < 24)"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PageBench]:
    bench = PageBench(tmp_path / "state", slots=1)
    bench.board.identify(
        name="attic", server="https://lab.example.org", tier="T1", devices=("cpu",), cpus=8
    )
    yield bench
    bench.service.stop()


@pytest.fixture
def page(bench: PageBench, browser_page: Page) -> Iterator[Page]:
    """The page, open; it must show nothing on the console and ask no other server."""
    bench.board.setting_up("")
    address = bench.service.open()
    host = address.removeprefix("http://").partition("/")[0]
    problems = watch(browser_page, cast("Any", SimpleNamespace(url=f"http://{host}")))
    browser_page.goto(address)
    wait_until(browser_page, OPEN)
    yield browser_page
    browser_page.set_viewport_size({"width": 1280, "height": 800})
    browser_page.emulate_media(color_scheme="light")
    # Chromium names a refusal on the console, whatever the page makes of it.
    assert [problem for problem in problems if "status of 422" not in problem] == []


def look(page: Page) -> None:
    """Let the page ask now, as when its tab is shown."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def shows(page: Page, *texts: str) -> None:
    """Wait until the page shows these texts."""
    look(page)
    for text in texts:
        wait_until(page, f"document.body.innerText.includes({text!r})")


def curve() -> tuple[tuple[float, float], ...]:
    return tuple((float(second), 2.4 + math.exp(-second / 9)) for second in range(1, 40))


def test_each_state_is_shown_with_who_and_until_when(page: Page, bench: PageBench) -> None:
    board = bench.board
    assert "#" not in page.url  # the ticket is neither in the address …
    assert page.evaluate("history.length") <= 2  # … nor in the history
    board.setting_up("checks torch and the sandbox")
    shows(page, "Setting up: checks torch")
    board.setting_up("")
    begun = SetUp(SetUpStep.TORCH, "fetches torch for CUDA 13", time.time(), 1, "", 2**30, 2**31)
    board.torch_setup(begun)
    shows(page, "Set-up of torch: fetches torch for CUDA 13: 1 GB of about 2 GB")
    assert page.locator("#setup-share").get_attribute("value") == "0.5"
    board.torch_setup(None)
    board.idle("the server has no task for this worker", 12)
    shows(page, "Idle. The server has no task for this worker. Next look in", "REAL")
    board.measuring("measures its speed, shape 3 of 8")
    shows(page, "Measures its speed, shape 3 of 8.")
    board.measuring("")
    board.trouble("claim", Fault.NETWORK, "no answer from the server")
    shows(page, "Trouble. No answer from the server (the network's trouble).")
    board.mended("claim")
    board.pause(PausedBy.RULE, "it works 22:00-07:00", 3600)
    shows(page, "Paused by your rules until", "it works 22:00-07:00")
    board.resume(PausedBy.RULE)
    board.identify(simulated_because="torch is not installed")
    shows(page, "SIMULATED", "Nothing is trained here (torch is not installed)")
    board.identify(simulated_because="")
    now = time.time()
    task = running(trained_since=now - 41, claimed_at=now - 45, curve=curve())
    board.started(replace(task, phase=Phase.PREPARING, trained_since=None))
    shows(page, "Preparing for “LR schedule”")
    board.started(task)
    bench.say("task 3/17 runs")
    shows(page, "Training for “LR schedule”", "task 3/17", "step 410", "left", "lr 0.003, seed 7")
    shows(page, "val_bpb of this run so far, now", "task 3/17 runs")
    assert page.locator("svg.curve").count() == 1
    assert page.get_by_text("Open the campaign").get_attribute("href") == (
        "https://lab.example.org/campaigns/3/"
    )
    board.started(replace(task, lease_id="b" * 32, number="5/1", max_steps=600, step=90))
    shows(page, "Working on 2 tasks.", "step 90 of 600", "Finish these, then stop")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=cast("Any", scheme))
        assert serious(page) == []
        picture(page, f"worker-page-{scheme}")
    page.set_viewport_size({"width": 390, "height": 844})
    assert fits(page)
    page.locator("#rules summary").click()
    assert page.evaluate(SMALL_TARGETS) == []
    picture(page, "worker-page-phone")
    for lease_id in ("a" * 32, "b" * 32):
        board.ended(
            ended(lease_id, delivery=Delivery.ANSWERED, verdict="accepted", said="counts for arm 4")
        )
    page.locator("#ran summary").click()
    shows(page, "3/17: val_bpb 2.4252 in 1 m", "Counts for arm 4", "one wall, not two")
    assert serious(page) == []


def test_pauses_by_keyboard_drain_and_stop(page: Page, bench: PageBench) -> None:
    page.locator("#pause").press("Enter")
    page.get_by_role("button", name="for an hour").press("Enter")
    shows(page, "Paused by you until")
    assert page.locator("#pause").is_hidden()
    assert page.evaluate("document.activeElement.id") == "resume"
    page.locator("#resume").press("Enter")
    shows(page, "Idle")
    page.locator("#pause").press("Space")
    page.locator("#until").fill("07:00")
    page.locator("#pause-until").press("Enter")
    shows(page, "Paused by you until 07:00")
    page.locator("#resume").click()
    page.locator("#pause").click()
    page.get_by_role("button", name="until I resume").click()
    shows(page, "Paused by you until you resume")
    page.locator("#resume").click()
    page.locator("#pause").click()
    page.keyboard.press("Escape")
    shows(page, "Idle")
    page.locator("#stop").click()
    shows_dialog = page.locator("#stop-dialog")
    assert "nothing is lost" in shows_dialog.inner_text()
    page.keyboard.press("Enter")  # the safe answer has the focus
    assert not shows_dialog.is_visible()
    assert bench.worker.told == []
    bench.board.started(running())
    shows(page, "Finish this one, then stop")
    page.locator("#drain").click()
    shows(page, "Stopping, 1 task left")
    assert page.locator("#drain").is_disabled()
    page.locator("#stop").click()
    page.locator("#stop-yes").click()
    wait_until(page, "document.querySelector('#stop-dialog').open === false")
    shows(page, "go back to the server")
    assert bench.worker.told == ["drain", "stop"]


def stored(page: Page, bench: PageBench, name: str, value: Any) -> None:
    """Wait until a rule is in the file."""
    while getattr(load(bench.root), name) != value:  # the test's timeout ends it
        page.wait_for_timeout(20)


def test_rules_are_set_by_sliders_hours_and_ticks(page: Page, bench: PageBench) -> None:
    slider = page.locator("#rule-threads")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    stored(page, bench, "threads", 3)
    shows(page, "3 of 8 threads", "The next task gets 3 threads")
    page.locator("#rule-present").fill("0")
    stored(page, bench, "present_threads", 0)
    page.locator("#rule-battery").check()
    stored(page, bench, "on_battery", value=False)
    # The hours: one stop for Tab, arrows to move, space to set.
    page.get_by_role("button", name="00:00 to 01:00").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    wait_until(page, "document.querySelector('#rule-hours').value === '02:00-24:00'")
    hours = page.locator("#rule-hours")
    hours.fill("22:30-07:00,12:00-13:00")
    hours.press("Enter")
    wait_until(page, "document.querySelectorAll('.hours [aria-pressed=true]').length === 9")
    assert page.locator(".hours [aria-pressed=mixed]").count() == 1
    # What could never let it run is refused with the reason, and the page shows what holds.
    hours.fill("22:00-22:00")
    hours.press("Enter")
    shows(page, "it ends when it begins")
    wait_until(page, "document.querySelector('#rule-hours').value === '22:30-07:00,12:00-13:00'")
    assert len(load(bench.root).hours) == 2
    # The command line outranks a rule.
    page.locator("#rules summary").click()
    assert page.locator("#rule-slots").is_disabled()
    shows(page, "--slots of the command line outranks this rule")
    (bench.root / "limits.json").write_text("{")
    shows(page, "cannot be used")
    page.get_by_role("button", name="Begin with no rules").click()
    wait_until(page, "document.querySelector('#rules-problem').hidden")
    assert load(bench.root).hours == ()


def test_a_plan_is_shown_before_torch_is_set_up(page: Page, bench: PageBench) -> None:
    starts: list[bool] = []
    bench.desk.attach(bench.worker, bench.desk._policy, "GPU not used: this torch cannot use it")
    bench.desk.plan_setup = lambda: {  # type: ignore[method-assign]
        "lines": ["Plan     torch for CUDA 13", "Size     about 2.6 GB to download"],
        "may_start": True,
    }
    bench.desk.set_up = lambda: starts.append(True)  # type: ignore[method-assign]
    shows(page, "GPU not used: this torch cannot use it")
    page.locator("#setup-plan").press("Enter")
    wait_until(page, "document.querySelector('#setup-lines').textContent.includes('2.6 GB')")
    assert starts == []
    picture(page, "worker-page-setup")
    page.locator("#setup-yes").press("Enter")
    wait_until(page, "!document.querySelector('#setup-dialog').open")
    while not starts:
        page.wait_for_timeout(20)


def test_hostile_texts_stay_texts(page: Page, bench: PageBench) -> None:
    board = bench.board
    board.identify(name=EVIL, simulated_because=EVIL)
    board.started(running(campaign=EVIL, params={EVIL: EVIL}, number=EVIL, curve=curve()))
    board.started(running(campaign=EVIL, lease_id="c" * 32))
    board.trouble("claim", Fault.SERVER, EVIL, EVIL)
    board.pause(PausedBy.SERVER, EVIL)
    bench.say(EVIL)
    last = ended("d" * 32, ending=Ending.FAILED, value=None, message=EVIL, campaign=EVIL)
    board.ended(replace(last, delivery=Delivery.ANSWERED, said=EVIL))
    shows(page, EVIL)
    page.locator("#ran:not([open]) summary").click()
    wait_until(page, "document.querySelector('#ran-tasks').innerText.includes('onerror')")
    assert page.locator("main img, main script, main [onerror]").count() == 0
    assert EVIL in page.title()  # no script has changed it
    assert EVIL in page.locator("#log").inner_text()


def test_without_a_ticket_the_page_says_how_to_get_one(bench: PageBench, page: Page) -> None:
    address = bench.service.open()
    other = page.context.new_page()
    other.goto(address)
    wait_until(other, OPEN)
    other.reload()  # the tab keeps its token
    wait_until(other, OPEN)
    other.close()
    replayed = page.context.new_page()
    replayed.goto(address)
    wait_until(replayed, CLOSED)
    assert "used already" in replayed.inner_text("#closed")
    assert "xeenet-worker open" in replayed.inner_text("#closed")
    replayed.close()


def test_a_worker_that_ends_is_told_from_one_that_is_away(
    bench: PageBench, browser_page: Page
) -> None:
    bench.board.setting_up("")
    browser_page.goto(bench.service.open())
    shows(browser_page, "Idle")
    bench.service.stop()
    shows(browser_page, "No answer since")
    assert browser_page.locator("#pause").is_disabled()
    browser_page.goto(bench.service.open())
    bench.board.draining("nothing runs here")
    shows(browser_page, "Stopping")
    bench.service.stop()
    shows(browser_page, "Stopped. Start it again")
