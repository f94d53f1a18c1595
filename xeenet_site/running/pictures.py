"""Pictures of pages, made in a headless Chromium with Playwright, which only developers install."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

WIDTH: Final = 1280
HEIGHT: Final = 800
CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
INSTALL_PLAYWRIGHT: Final = (
    "Playwright is not installed: python dev.py setup dev, or python -m pip install playwright"
)
INSTALL_BROWSER: Final = (
    "no Chromium is found: install one (Debian: apt-get install chromium), name it with "
    "XEENET_CHROMIUM, or python -m playwright install chromium"
)
_PATIENCE_SECONDS: Final = 60.0


class NoPicture(Exception):
    """No picture was made; the message says why and what to do."""


def missing_program() -> str:
    """Return what must be installed before a picture can be made, or "" if nothing is missing."""
    if importlib.util.find_spec("playwright") is None:
        return INSTALL_PLAYWRIGHT
    return "" if _chromium() else INSTALL_BROWSER


def take(url: str, path: Path) -> None:
    """Save the first screen of a page as PNG, 1280 × 800 in the light theme, for a visitor.

    It waits until the page has loaded what it needs and its fonts are there. Raises NoPicture.
    """
    if problem := missing_program():
        raise NoPicture(problem)
    from playwright.sync_api import Error, sync_playwright

    is_root = hasattr(os, "getuid") and os.getuid() == 0
    # Chromium's own sandbox refuses to run as root.
    flags = ["--disable-gpu", *(["--no-sandbox"] if is_root else [])]
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_chromium(), args=flags)
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light"
            )
            page.set_default_timeout(1000 * _PATIENCE_SECONDS)
            page.goto(url, wait_until="networkidle")
            page.evaluate("document.fonts.ready.then(() => undefined)")
            page.screenshot(path=path, animations="disabled")
            browser.close()
    except (Error, OSError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise NoPicture(f"the browser could not draw the page: {first_line}") from error


def _chromium() -> str | None:
    """Return the path of a Chromium: the one named, the first on the PATH, or Playwright's own."""
    if named := os.environ.get("XEENET_CHROMIUM"):
        return named
    on_path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    return on_path or _own_chromium()


def _own_chromium() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        path = driver.chromium.executable_path
    return path if Path(path).is_file() else None
