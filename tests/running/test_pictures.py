"""The picture of a page that the demo takes, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from tests import factories
from tests.conftest import find_chromium
from xeenet_site.running import pictures


def test_without_playwright_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert pictures.missing_program() == pictures.INSTALL_PLAYWRIGHT
    with pytest.raises(pictures.NoPicture, match="Playwright is not installed"):
        pictures.take("http://127.0.0.1:9/", tmp_path / "page.png")


def test_without_a_browser_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XEENET_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(pictures, "_own_chromium", lambda: None)
    assert pictures.missing_program() == pictures.INSTALL_BROWSER


@pytest.mark.browser
def test_a_page_that_does_not_answer_is_told(tmp_path: Path) -> None:
    if find_chromium() is None:
        pytest.skip("no chromium found")
    with pytest.raises(pictures.NoPicture, match="could not draw the page"):
        pictures.take("http://127.0.0.1:9/", tmp_path / "page.png")
    assert not (tmp_path / "page.png").exists()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_picture_is_the_first_screen_of_the_page(
    live_server: LiveServer, tmp_path: Path
) -> None:
    if find_chromium() is None:
        pytest.skip("no chromium found")
    campaign = factories.completed_task().campaign
    path = tmp_path / "page.png"
    pictures.take(live_server.url + campaign.get_absolute_url(), path)
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert struct.unpack(">II", head[16:24]) == (pictures.WIDTH, pictures.HEIGHT)
