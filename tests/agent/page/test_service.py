"""The page is served while somebody asks for it, and who asks needs no lock."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.agent.page.bench import PageBench, ask
from workers.agent import browser
from workers.agent.exits import EXIT_NOT_RUNNING, EXIT_OK, EXIT_STATE_FOLDER
from workers.agent.page import asking, command
from workers.agent.page.asking import (
    ANSWER_FILE,
    REQUEST_FILE,
    NoAgent,
    NoPage,
    ask_for_page,
    take_request,
)
from workers.agent.page.command import open_command
from workers.agent.page.for_card import ForCard
from workers.agent.page.opening import PageOpener
from workers.agent.page.service import LINGER_SECONDS
from workers.agent.status.file import StatusFile

ADDRESS = "http://127.0.0.1:41234/#" + "a" * 43


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PageBench]:
    bench = PageBench(tmp_path / "state")
    yield bench
    bench.service.stop()


@pytest.fixture
def running_agent(bench: PageBench) -> PageBench:
    """An agent, this process, that has written its status and listens."""
    StatusFile(bench.root / "status.json", bench.board).write()
    bench.service.start()
    return bench


def test_nothing_is_served_before_somebody_asks(bench: PageBench) -> None:
    bench.service.look()
    assert not bench.service.is_serving
    host, token = bench.sign_in()
    assert bench.service.is_serving
    bench.seconds += LINGER_SECONDS + 1
    bench.service.look()
    assert not bench.service.is_serving
    with pytest.raises(OSError, match="refused"):
        ask(host, "GET", "/api/state", Authorization=f"Bearer {token}")


def test_a_viewer_keeps_it_open_and_a_stranger_does_not(bench: PageBench) -> None:
    host, token = bench.sign_in()
    bench.seconds += LINGER_SECONDS - 1
    ask(host, "GET", "/api/state", Authorization=f"Bearer {token}")
    bench.seconds += LINGER_SECONDS - 1
    bench.service.look()
    assert bench.service.is_serving
    ask(host, "GET", "/api/state", Authorization="Bearer wrong")
    ask(host, "GET", "/")
    bench.seconds += 2
    bench.service.look()
    assert not bench.service.is_serving


def test_a_running_agent_is_asked_through_its_folder(running_agent: PageBench) -> None:
    address = ask_for_page(running_agent.root)
    host, _, ticket = address.removeprefix("http://").partition("/#")
    assert "token" in ask(host, "POST", "/api/session", {"ticket": ticket}).json
    # Another one gets an address of its own for the same page.
    other = ask_for_page(running_agent.root)
    assert other.startswith(f"http://{host}/#")
    assert other != address
    left = {path.name for path in running_agent.root.iterdir()}
    assert not left & {REQUEST_FILE, ANSWER_FILE}


def test_only_the_owner_can_read_the_address(bench: PageBench) -> None:
    asking.write_answer(bench.root, "a" * 32, ADDRESS)
    assert (bench.root / ANSWER_FILE).stat().st_mode & 0o777 == 0o600


def test_without_an_agent_nobody_waits(bench: PageBench) -> None:
    with pytest.raises(NoAgent):
        ask_for_page(bench.root)
    StatusFile(bench.root / "status.json", bench.board).write()  # it runs, but does not listen
    with pytest.raises(NoPage, match="too old"):
        ask_for_page(bench.root, seconds=0.2)
    assert not (bench.root / REQUEST_FILE).exists()


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "0" * 32, "address": ADDRESS},
        {"address": "https://evil.example/#" + "a" * 43},
        {"address": "http://127.0.0.1:80@evil.example/#" + "a" * 43},
        {"address": "javascript:alert(1)"},
        {"address": 7},
        [],
    ],
)
def test_an_answer_of_somebody_else_is_not_followed(answer: Any, tmp_path: Path) -> None:
    content = {"id": "a" * 32, **answer} if isinstance(answer, dict) else answer
    (tmp_path / ANSWER_FILE).write_text(json.dumps(content))
    assert asking._answer(tmp_path, "a" * 32) is None
    asking.write_answer(tmp_path, "a" * 32, ADDRESS)
    assert asking._answer(tmp_path, "a" * 32) == ADDRESS


def test_requests_that_are_none_are_removed(tmp_path: Path) -> None:
    path = tmp_path / REQUEST_FILE
    for content in (b"", b"{", b"[]", b'{"id": "../x"}', b'{"id": "' + b"a" * 9000 + b'"}'):
        path.write_bytes(content)
        assert take_request(tmp_path) == ""
        assert not path.exists()
    os.mkfifo(path)
    assert take_request(tmp_path) == ""  # it does not wait for a writer
    assert not path.exists()
    path.write_text(json.dumps({"id": "b" * 32}))
    os.utime(path, (time.time() - 300,) * 2)  # whoever asked has gone
    assert take_request(tmp_path) == ""


# --- xeenet-worker open ------------------------------------------------------------------------


def no_start(_: list[str]) -> int:
    pytest.fail("nobody asked for an agent")


def test_open_prints_the_address_or_opens_it(
    running_agent: PageBench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(command, "open_privately", lambda address, _: not opened.append(address))
    words = ["--state-dir", str(running_agent.root)]
    assert open_command([*words, "--print"], no_start) == EXIT_OK
    assert "http://127.0.0.1:" in capsys.readouterr().out
    assert opened == []
    assert open_command(words, no_start) == EXIT_OK
    assert len(opened) == 1
    assert capsys.readouterr().out == ""


def test_the_address_is_in_no_list_of_processes_and_its_file_goes_with_its_use(
    bench: PageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []  # what a browser's process is started with
    monkeypatch.setattr(browser, "open_address", lambda address: not words.append(address))
    monkeypatch.setattr(browser.sys, "platform", "linux")
    monkeypatch.setattr(browser, "_SNAPS", bench.root / "none")
    opener = PageOpener(bench.service, bench.root)
    assert opener.open()
    assert opener.address == ""
    (path,) = bench.root.glob("*.html")
    assert words == [path.as_uri()]
    assert path.stat().st_mode & 0o777 == 0o600
    url, ticket = re.findall(r"url=(http://127[^#]+)#([^\"]+)\"", path.read_text())[0]
    host = url.removeprefix("http://").rstrip("/")
    assert ask(host, "POST", "/api/session", {"ticket": ticket}).status == 200
    assert not path.exists()
    opener.open()  # and nobody uses it
    bench.service.stop()
    assert not path.exists()


def test_an_address_that_no_browser_takes_is_shown_until_it_was_used(bench: PageBench) -> None:
    opener = PageOpener(bench.service, bench.root, lambda *_: False)
    assert not opener.open()
    host, _, ticket = opener.address.removeprefix("http://").partition("/#")
    assert ask(host, "POST", "/api/session", {"ticket": ticket}).status == 200
    assert opener.address == ""
    opener.open()
    bench.seconds += 600
    assert opener.address == ""


def test_the_card_changes_rules_by_the_words_of_the_command(bench: PageBench) -> None:
    card = ForCard(bench.desk, PageOpener(bench.service, bench.root, lambda *_: False))
    assert card.set_limits("threads=2 hours=22:00-07:00") == "The rules are changed."
    assert "  threads=2" in card.limits()
    assert bench.desk.state()["rules"]["values"]["hours"] == "22:00-07:00"
    for text in ("", "threads", "threads=0", "nothing=1"):
        assert "changed" not in card.set_limits(text)
    assert card.open_page() == ""
    assert card.page_address.startswith("http://127.0.0.1:")


def test_a_browser_in_a_snap_gets_a_file_that_it_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "_SNAPS", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    state = tmp_path / ".local" / "state"
    assert browser.opening_file(state).parent == state
    (tmp_path / "firefox").touch()
    assert browser.opening_file(state).parent == tmp_path
    assert not browser.opening_file(state).name.startswith(".")


def test_open_without_an_agent_says_so_and_offers_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--state-dir", str(tmp_path)]
    assert open_command(words, no_start) == EXIT_NOT_RUNNING
    said = capsys.readouterr().err
    assert "No agent runs" in said
    assert f"xeenet-worker --page --state-dir {tmp_path}" in said
    starts: list[list[str]] = []

    def start(arguments: list[str]) -> int:
        starts.append(arguments)
        return 5

    assert open_command([*words, "--start"], start) == 5
    for answer, count in (("n\n", 1), ("", 1), ("y\n", 2)):
        terminal = SimpleNamespace(isatty=lambda: True, readline=lambda answer=answer: answer)
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        open_command(words, start)
        assert len(starts) == count
    assert starts[-1] == ["--page", "--state-dir", str(tmp_path)]


def test_open_says_when_the_folder_cannot_be_used(
    running_agent: PageBench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(asking, "write_new", fail)
    assert open_command(["--state-dir", str(running_agent.root)], no_start) == EXIT_STATE_FOLDER
    assert "Read-only" in capsys.readouterr().err
