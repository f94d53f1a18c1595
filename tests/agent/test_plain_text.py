"""Texts of servers and scripts never steer the owner's terminal."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.bench import Bench
from tests.agent.server import Reply, error, running_server
from tests.processes import ROOT
from workers.agent import cli
from workers.agent.isolation import Containment
from workers.agent.plain_text import PlainFormatter, log_uncaught_errors, plain
from workers.agent.running.hardware import Machine
from workers.protocol import ErrorCode

# Title, clear, clipboard, a hidden letter, a reversed line, a forged line of the log.
HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x1b]52;c;cm0gLXJm\x07\x9b31m\u202egnp.exe\u200b"
    "\r\n2026-01-01 00:00:00 INFO all is well\x00\x7f\ud800"
)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Collect what the agent's formatter makes of everything that is logged."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter("%(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def assert_plain(text: str) -> None:
    assert all(letter.isprintable() or letter in "\n\t" for letter in text), ascii(text)
    text.encode("utf-8")


def test_control_characters_are_shown_as_escapes() -> None:
    assert plain("a\x1b[31mb") == r"a\x1b[31mb"
    assert plain("one\ntwo\r") == r"one\ntwo\r"
    assert plain("\x9b\u202e\ud800\u2028") == r"\x9b\u202e\ud800\u2028"
    assert plain(HOSTILE).isprintable()


@pytest.mark.parametrize("text", ["plain", "größer", "日本語", "👩\u200d🔬", "a ≤ b … “c”"])
def test_letters_of_all_scripts_stay(text: str) -> None:
    assert plain(text) == text


def test_a_message_is_one_line_of_the_log(logged: io.StringIO) -> None:
    logging.getLogger("xeenet.test").warning("the server says: %s", HOSTILE)
    (line,) = logged.getvalue().splitlines()
    assert_plain(line)
    assert line.startswith("WARNING the server says: \\x1b]0;owned")


def test_a_long_message_is_cut(logged: io.StringIO) -> None:
    logging.getLogger("xeenet.test").warning("%s", "x" * 1_000_000)
    assert len(logged.getvalue()) < 11_000


def test_tracebacks_keep_their_lines_and_nothing_else(logged: io.StringIO) -> None:
    try:
        int(HOSTILE)
    except ValueError:
        logging.getLogger("xeenet.test").exception("failed")
    assert_plain(logged.getvalue())
    assert "Traceback (most recent call last):\n" in logged.getvalue()


def test_an_argument_that_does_not_fit_is_shown_and_no_traceback(
    logged: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    record = logging.LogRecord("xeenet.test", logging.INFO, "", 0, "task %d", (HOSTILE,), None)
    text = PlainFormatter("%(message)s").format(record)
    assert_plain(text)
    assert text.startswith("task %d ('")
    assert capsys.readouterr().err == ""


def test_what_ends_a_thread_is_logged_as_plain_text(
    logged: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    log_uncaught_errors(logging.getLogger("xeenet.test"))

    def fail() -> None:
        raise ValueError(HOSTILE)

    thread = threading.Thread(target=fail, name="task")
    thread.start()
    thread.join()
    assert "the agent failed in task" in logged.getvalue()
    assert_plain(logged.getvalue())
    assert "\x1b" not in capsys.readouterr().err


def test_whatever_a_server_and_its_script_say_is_logged_as_plain_text(
    logged: io.StringIO, tmp_path: Path
) -> None:
    with running_server() as server:
        bench = Bench(tmp_path, server)
        server.scripted["claim"] = [error(403, ErrorCode.PERMISSION_DENIED, HOSTILE)] * 2
        server.scripted["result"] = [error(503, HOSTILE, HOSTILE), error(400, "invalid", HOSTILE)]
        server.scripted["heartbeat"] = [Reply(302, b"", {"Location": "http://x/\x1b[2J"})]
        source = f"import sys; sys.stderr.write({HOSTILE[:-1]!r}); print({HOSTILE[:-1]!r}); 1/0"
        for _ in range(2):
            bench.run(once=True)
        bench.offer_task(source.encode(), campaign_name=HOSTILE, code_package_ref=HOSTILE)
        bench.run(max_tasks=1)
    assert " runs: " in logged.getvalue()
    assert_plain(logged.getvalue())
    assert "\n2026-01-01" not in logged.getvalue()


def test_the_check_of_the_machine_prints_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    able = Machine({"torch_version": HOSTILE, "devices": [HOSTILE], "gpu_name": HOSTILE})
    unable = Machine({"notes": [f"torch: {HOSTILE}"]})
    for machine in (able, unable):
        cli._print_check(Containment(machine))
    assert_plain(capsys.readouterr().out)


def test_the_program_logs_through_the_plain_formatter(tmp_path: Path) -> None:
    with running_server() as server:
        server.scripted["enrol"] = [error(403, ErrorCode.ENROLMENT_REFUSED, HOSTILE)]
        command = [sys.executable, "-m", "tests.agent.program", "--server", server.url]
        command += ["--state-dir", str(tmp_path), "--isolation", "T0", "--enrol", "xe_1"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    text = ended.stderr.decode()
    assert r"\x1b]0;owned" in text
    assert_plain(text)


def test_the_formatter_takes_the_place_of_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """`manage.py run_worker` has set up logging before the agent does."""
    root = logging.getLogger()
    handler = logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    cli._set_up_logging("info")
    assert isinstance(handler.formatter, PlainFormatter)
