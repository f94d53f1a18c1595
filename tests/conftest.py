"""Test selection by database and speed, rules for CI, and fixtures for processes and browsers.

Functions that create domain objects are in ``tests/factories.py``.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import caches
from django.db import connection
from django.test import TransactionTestCase

from campaigns.lifecycle.charges import CHARGES
from experiments import catalog, metrics, released
from tests.browser.driver import PATIENCE_SECONDS
from tests.once import is_once
from tests.processes import database_environment, product_environment
from tests.quick import is_quick, left_out_line

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

ROOT = Path(__file__).resolve().parent.parent
# Thousands of tests are collected and stay: looking through them for garbage every 700 objects took
# a fifth of the time of collecting.
gc.set_threshold(20_000, 20, 50)
IS_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
# What a test may patch and must leave as it was.
TABLES: tuple[dict[Any, Any], ...] = (
    catalog._EXPERIMENTS,
    catalog._DATASETS,
    metrics._METRICS,
    released.RELEASES,
)
TABLES_AT_START = tuple(map(dict, TABLES))
# All tests in them are `once`.
FOLDERS_ONCE = {ROOT / "tests" / name for name in ("agent", "browser")}
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
# How many tests `make quick` leaves out of this run; processes of xdist pass it on by this name.
LEFT_OUT_COUNT = pytest.StashKey[int]()
LEFT_OUT_NAME = "left_out_of_quick"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)


def pytest_configure() -> None:
    """Treat SIGTERM like Ctrl-C, so that fixtures stop their processes and remove their folders."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header() -> str:
    """Name the database, so that a log shows which pass it belongs to."""
    return f"database: {connection.vendor}"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """On the second database, do not even import the folders of which it runs no test."""
    if os.environ.get("XEENET_TEST_SKIP_ONCE") and collection_path in FOLDERS_ONCE:
        return True
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test ``once`` if one database suffices for it, and ``quick`` for ``make quick``."""
    markers = {marker.name for marker in item.iter_markers()}
    # A browser tests the pages, not the database; other tests cover their queries on both.
    if "browser" in markers or not _uses_database(item) or is_once(item.nodeid, markers):
        item.add_marker("once")
    elif "once" not in markers and not FOLDERS_ONCE.isdisjoint(item.path.parents):
        raise pytest.UsageError(f"{item.nodeid} would not run on the second database")
    if is_quick(item.nodeid, markers, getattr(item, "fixturenames", ())):
        item.add_marker("quick")


# Runs after pytest-django, which groups the tests by kind of database fixture.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that this run does not need, and start the long ones first.

    - Tests for the other database alone.
    - With ``XEENET_TEST_SKIP_ONCE`` (``dev.py test`` sets it for the second database), tests marked
      ``once``: they would give the same answer again.
    - With ``XEENET_TEST_QUICK`` (set by ``dev.py quick``), tests not marked ``quick``.

    A file with a ``long`` test starts first, so that no process waits for it at the end.
    """
    other_only = {"sqlite": "postgresql_only", "postgresql": "sqlite_only"}[connection.vendor]
    skip_once = bool(os.environ.get("XEENET_TEST_SKIP_ONCE"))
    only_quick = bool(os.environ.get("XEENET_TEST_QUICK"))
    kept, left_out = [], []
    config.stash[LEFT_OUT_COUNT] = 0
    for item in items:
        unwanted = item.get_closest_marker(other_only) or (
            skip_once and item.get_closest_marker("once")
        )
        if not unwanted and only_quick and not item.get_closest_marker("quick"):
            unwanted = True
            config.stash[LEFT_OUT_COUNT] += 1
        (left_out if unwanted else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted(kept, key=lambda item: item.get_closest_marker("long") is None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process of xdist: report how many tests were left out to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[LEFT_OUT_NAME] = session.config.stash.get(LEFT_OUT_COUNT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take the number of tests left out from a process of xdist; all of them collect the same."""
    if error is None:
        node.config.stash[LEFT_OUT_COUNT] = node.workeroutput.get(LEFT_OUT_NAME, 0)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end of ``make quick`` what it left out."""
    if os.environ.get("XEENET_TEST_QUICK"):
        terminalreporter.write_line(left_out_line(config.stash.get(LEFT_OUT_COUNT, 0)))


def _uses_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db"):
        return True
    test_class = getattr(item, "cls", None)
    if test_class is not None and issubclass(test_class, TransactionTestCase):
        return True
    return bool(DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """In CI, turn skipped browser and PostgreSQL tests into failures: skips go unnoticed there."""
    report = yield
    must_run = item.get_closest_marker("browser") or connection.vendor == "postgresql"
    if IN_CI and must_run and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and with CI=true that is a failure: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[Any]:
    """Escape lone surrogates: a report with one ends the process of xdist that sends it."""
    return _escaped((yield))


def _escaped(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(data, dict):
        return {key: _escaped(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(map(_escaped, data))
    return data


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail a test that leaves a table of experiments changed, not a later one in its process."""
    yield
    for table, contents in zip(TABLES, TABLES_AT_START, strict=True):
        if table != contents:
            changed = set(table) ^ set(contents) or "values"
            table.clear()
            table.update(contents)
            pytest.fail(f"the test left a table of experiments changed: {changed}", pytrace=False)


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clear all caches: after a rollback, other rows get the ids that an earlier test cached.

    Afterwards forget the charges that it did not write to the accounts.
    """
    for cache in caches.all(initialized_only=True):
        cache.clear()
    # Not above: Django is set up after this file is imported.
    from campaigns.lifecycle import expiry, noting
    from workers import fleet_size

    # A test that imports the web server's application starts the thread that notes results later.
    monkeypatch.setattr(noting, "_noter", None)

    expiry.forget()
    fleet_size.forget()
    yield
    CHARGES.clear()


@pytest.fixture
def process_environment(transactional_db: None, tmp_path: Path) -> dict[str, str]:
    """Return the environment for other processes that work on this test's database."""
    return database_environment(tmp_path / "home")


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the collected static files and a migrated SQLite database.

    For servers that tests start: both take seconds of a processor, so all processes of a test run
    share one folder. The lock makes the others wait for the first.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = shared / "installation"
    with (shared / "installation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        program = (
            "import django; django.setup(); from xeenet_site.running import serving; "
            "serving.migrate(); serving.collect_static_files()"
        )
        environment = product_environment(
            shared / "unfinished", XEENET_STATIC_ROOT=str(shared / "unfinished" / "static")
        )
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
        return (shared / "unfinished").rename(folder)


@pytest.fixture(scope="session")
def static_root(installation: Path) -> Path:
    """Return the folder with the collected static files of `installation`."""
    return installation / "static"


def find_chromium() -> str | None:
    """Return the path of a Chromium: ``XEENET_CHROMIUM``, or the first one on PATH, or None."""
    if configured := os.environ.get("XEENET_CHROMIUM"):
        return configured
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@pytest.fixture(scope="module")
def playwright_driver() -> Iterator[Playwright]:
    """Yield Playwright for one test file; skip if no Chromium is installed.

    It must end with the file. While it lives, Playwright runs an event loop in this thread: Django
    then refuses synchronous queries and ``asyncio.run`` fails.
    """
    if find_chromium() is None:
        pytest.skip(
            "browser tests not run: no chromium found. Install it (Debian: apt-get install "
            "chromium) or set XEENET_CHROMIUM to the program's path."
        )
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as driver:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield driver


def _launch_options() -> dict[str, Any]:
    is_root = hasattr(os, "getuid") and os.getuid() == 0
    # Chromium's own sandbox refuses to run as root.
    flags = [*CHROMIUM_FLAGS, *(["--no-sandbox"] if is_root else [])]
    return {"executable_path": find_chromium(), "headless": True, "args": flags}


@pytest.fixture(scope="module")
def chromium(playwright_driver: Playwright) -> Iterator[Browser]:
    """Yield a headless Chromium for one test file, whose tests create their own contexts."""
    browser = playwright_driver.chromium.launch(**_launch_options())
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def browser_profile() -> Iterator[Path]:
    """Yield the profile folder in which Chromium caches compiled scripts."""
    # Chromium may still write files while it exits, so removal may fail.
    with TemporaryDirectory(prefix="xeenet-chromium-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def profile_context(
    playwright_driver: Playwright, browser_profile: Path
) -> Iterator[BrowserContext]:
    """Yield a Chromium with a profile on disk for one test file.

    The profile caches compiled scripts: pages with charts open three times as fast as in a new,
    empty context.
    """
    context = playwright_driver.chromium.launch_persistent_context(
        browser_profile, viewport={"width": 1280, "height": 800}, **_launch_options()
    )
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    yield context
    context.close()


@pytest.fixture
def browser_page(profile_context: BrowserContext) -> Iterator[Page]:
    """Yield a page without data of earlier tests. Mark the test ``browser``."""
    page = profile_context.new_page()
    yield page
    if page.url.startswith("http"):
        page.evaluate("localStorage.clear()")
    page.close()
    profile_context.clear_cookies()
    profile_context.clear_permissions()


@pytest.fixture
def clock_page(chromium: Browser) -> Iterator[Page]:
    """Yield a page in its own context, because setting the clock affects the whole context.

    Mark the test ``browser``.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    yield context.new_page()
    context.close()
