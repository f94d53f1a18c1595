"""The page of the first start in a real Chromium, from a pasted link to the agent's own page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.agent.desktop.test_first_start import LAB, TOKEN, Bench
from tests.browser.driver import fits, picture, serious, wait_until, watch
from workers.agent.desktop.servers import ServerTest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
EVIL = '"><img src=x onerror="document.title=1">'


def reads(page: Page, text: str) -> None:
    wait_until(page, f"document.querySelector('#page').innerText.includes({text!r})")


def test_joining_without_a_shell(browser_page: Page, tmp_path: Path) -> None:
    bench, page = Bench(tmp_path), browser_page
    other = Bench(tmp_path)  # its page stands for the agent's own one
    for each in (bench, other):
        each.welcome.start()
    try:
        problems = watch(page, cast("Any", SimpleNamespace(url=f"http://{bench.welcome.host}")))
        page.goto(bench.welcome.open())
        reads(page, "Give this computer’s idle time")
        assert page.evaluate("location.hash") == ""
        assert page.input_value("#name") == "attic"
        assert page.evaluate("document.activeElement.id") == "text"
        assert page.is_disabled("#join")
        assert serious(page) == []

        page.fill("#text", TOKEN)  # the invitation alone
        reads(page, "This does not name the server")
        bench.test = ServerTest(problem=f"no answer {EVIL}", is_reachable=False)
        page.fill("#server", "gone.test")
        reads(page, "No XeeNet server answers at gone.test")
        reads(page, EVIL)
        assert page.is_disabled("#join")
        bench.test = ServerTest("http://lab.test", 480.0, "", is_encrypted=False)
        page.fill("#server", "http://lab.test")
        reads(page, "not encrypted")

        page.fill("#server", "")
        bench.test = ServerTest(LAB, 23.4)
        page.fill("#text", f"{LAB}/workers/join/#{TOKEN}")
        reads(page, "lab.test answers in 23 ms.")
        reads(page, "Join lab.test")
        picture(page, "worker-first-start")
        page.set_viewport_size({"width": 390, "height": 800})
        assert fits(page)
        page.emulate_media(color_scheme="dark")
        assert serious(page) == []
        assert bench.agent.started == []

        page.click("#join")
        bench.agent.says("checks torch and the sandbox")
        reads(page, "checks torch and the sandbox")
        bench.agent.end(4)
        reads(page, "no such invitation")
        page.click("#join")
        bench.agent.says("", name="attic")
        assert problems == []
        bench.agent.page = other.welcome.open()
        page.wait_for_url(f"http://{other.welcome.host}/")
        wait_until(page, "document.querySelector('#text')?.value === ''")

        bench.start._is_enrolled = True  # the agent has joined, and ends later
        bench.agent.end(4)
        page.goto("about:blank")
        page.goto(bench.welcome.open())
        reads(page, "The worker has ended")
        reads(page, "no such invitation")
        assert page.is_hidden("#form")
        picture(page, "worker-has-ended")
        bench.agent.says("looks for its server")
        page.click("#again-button")
        reads(page, "looks for its server")
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})
        page.emulate_media(color_scheme="light")
        for each in (bench, other):
            each.welcome.stop()
