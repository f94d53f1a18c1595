"""From the empty form to the last result, in a real Chromium and with a real agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django.live_server_helper import LiveServer

from campaigns.clock import database_now
from campaigns.datasets import store_dataset
from campaigns.models import Package, Task
from campaigns.scripts import steering as script_steering
from tests import factories
from tests.browser.driver import DRAWN, picture, sign_in, wait_until, watch
from tests.processes import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# The stand-in script does not train, so the test takes seconds.
SOURCE = (ROOT / "tests" / "chaos" / "script.py").read_bytes()
SPACE = {"parameters": [{"name": "work_seconds", "type": "choice", "values": [0.1, 0.2, 0.3]}]}


@pytest.fixture
def script() -> Package:
    """Upload a script and approve it."""
    now = database_now()
    package, _ = script_steering.upload(
        None, name="quick", experiment="train_char_lm", source=SOURCE, now=now
    )
    script_steering.approve(None, package, now=now)
    return package


@pytest.fixture
def agent(live_server: LiveServer, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start an agent that accepts uploaded scripts; stop it after the test."""
    _, token = factories.worker_with_token("lab-1", now=database_now())
    command = [sys.executable, "-m", "tests.agent.program", "--server", live_server.url]
    command += ["--state-dir", str(tmp_path / "agent")]
    command += ["--allow-uploaded-scripts", "--isolation", "T0"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "XEENET_WORKER_TOKEN": token}, stderr=log
        )
    yield process
    process.terminate()
    process.wait(30)


def test_a_campaign_made_in_the_form_is_seen_to_run_on_a_real_agent_without_a_reload(
    browser_page: Page,
    live_server: LiveServer,
    script: Package,
    agent: subprocess.Popen[bytes],
    settings: Any,
    tmp_path: Path,
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    dataset = store_dataset("excerpt", b"All happy families are alike. " * 1000)
    page = browser_page
    problems = watch(page, live_server)
    sign_in(page, live_server, factories.user("ada"))
    page.goto(live_server.url + "/campaigns/new/")
    page.fill("[name=name]", "The whole way")
    page.fill("[name=task_count]", "3")
    # This script's steps take no time, and it does not say what they would cost.
    page.select_option("[name=budget_kind]", "time")
    page.select_option("[name=dataset]", dataset.sha256)
    page.click("#more-fields > summary")
    page.select_option("[name=script]", script.sha256)
    page.click("#space-fold > summary")
    page.click("#edit-json")
    page.fill("#id_search_space", json.dumps(SPACE))
    page.click("#create-and-launch")
    page.locator("#head .chip:has-text('running')").wait_for()
    page.evaluate("window.samePage = true")

    page.locator("#head .chip:has-text('completed')").wait_for()
    wait_until(page, "document.querySelectorAll('#board tbody tr').length === 3")
    wait_until(page, f"{DRAWN} === 3")

    best = min(task.result.value for task in Task.objects.select_related("result"))
    assert page.locator("#figures .value").first.inner_text().startswith(f"{best:.4f}")
    assert page.evaluate("window.samePage")
    assert agent.poll() is None
    picture(page, "whole-way")
    first = page.locator("#board tbody tr:first-child a.row-link").get_attribute("href")
    page.goto(f"{live_server.url}{first}")
    page.locator("#attempts-frame tbody tr:has-text('lab-1')").wait_for()
    assert problems == []
