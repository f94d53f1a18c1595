"""What keeps a result in the outbox, and what ends its wait: neither a clock nor a broken file."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.delivery.test_outbox import LEASE_ID, SUBMISSION, deliver, delivering
from tests.agent.server import AgentServer, Reply, error, running_server, wait_until
from workers.agent.delivery import outbox as outbox_module
from workers.agent.delivery.outbox import Outbox
from workers.agent.delivery.outbox_entries import MAX_ENTRY_BYTES
from workers.protocol import ErrorCode, FailureClass, Outcome

AWAY = "http://127.0.0.1:1"
PAGE = b"<html>Request Time-out</html>"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


def stored(folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((folder / f"{LEASE_ID}.json").read_text())
    return entry


def former_entry(folder: Path, **changes: Any) -> None:
    """Write an entry in the format of version 0.1.0, which had no checksum."""
    entry = {"lease_id": LEASE_ID, "stored_at": time.time(), "corrected": False}
    text = json.dumps({**entry, "submission": SUBMISSION, **changes})
    (folder / f"{LEASE_ID}.json").write_text(text)


# Whose answer ends a wait.


@pytest.mark.parametrize(
    "reply",
    [
        Reply(408, PAGE),
        error(408, ErrorCode.INVALID),
        Reply(425, b""),
        Reply(400, PAGE),
        Reply(403, PAGE),
        Reply(404, b"elsewhere"),
        Reply(413, PAGE),
        Reply(422, {"message": "no"}),
        Reply(200, PAGE),
        Reply(301, b"", {"Location": "https://elsewhere.example/"}),
        error(401, ErrorCode.NO_CREDENTIALS),
        error(415, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
    ],
)
def test_what_others_answer_costs_no_measured_result(
    tmp_path: Path, server: AgentServer, reply: Reply
) -> None:
    server.scripted["result"] = [reply]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert server.calls("result") == [SUBMISSION, SUBMISSION]
    assert not (tmp_path / "rejected").exists()


def test_a_result_that_somebody_always_refuses_does_not_hold_up_the_others(
    tmp_path: Path, server: AgentServer
) -> None:
    outbox = Outbox(tmp_path)
    blocked = [f"blocked-{number}" for number in range(4)]
    for lease_id in blocked:
        server.scripted[lease_id] = [Reply(403, PAGE)] * 1_000
        outbox.put(lease_id, SUBMISSION)
    outbox.put(LEASE_ID, SUBMISSION)
    with delivering(outbox, server.url):
        wait_until(lambda: LEASE_ID in server.results)
    assert outbox.pending_lease_ids() == blocked


def test_a_refused_result_stays_on_a_disk_that_takes_no_more(
    tmp_path: Path, server: AgentServer
) -> None:
    (tmp_path / "rejected").write_text("a file where the folder should be")
    server.scripted["result"] = [error(404, ErrorCode.NOT_FOUND)]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert Outbox(tmp_path).pending_lease_ids() == [LEASE_ID]


# Clocks.


@pytest.mark.parametrize("seconds", [0.0, -86_400.0, 15 * 86_400.0, 2e9])
def test_no_jump_of_a_clock_drops_a_result(
    tmp_path: Path, server: AgentServer, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: 0.0)  # a clock without a battery
        Outbox(tmp_path).put(LEASE_ID, SUBMISSION)
    server.scripted["result"] = [Reply(cut=True), error(503, ErrorCode.DATABASE_UNAVAILABLE)]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    deliver(Outbox(tmp_path), server)
    assert server.results == {LEASE_ID: SUBMISSION}


@pytest.mark.parametrize("stored_at", [0, 0.0, 1e12, -5])
def test_a_former_versions_entry_is_delivered_after_a_failed_try_whatever_its_clock_said(
    tmp_path: Path, server: AgentServer, stored_at: float
) -> None:
    former_entry(tmp_path, stored_at=stored_at)
    server.scripted["result"] = [error(503, ErrorCode.DATABASE_UNAVAILABLE)]
    deliver(Outbox(tmp_path), server)
    assert server.results == {LEASE_ID: SUBMISSION}


def test_what_was_tried_for_long_enough_is_set_aside_and_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_WAIT_SECONDS", 0.2)
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    with delivering(outbox, AWAY):
        wait_until(lambda: not outbox.pending_lease_ids())
    kept = json.loads((tmp_path / "rejected" / f"{LEASE_ID}.json").read_text())
    assert kept["submission"] == SUBMISSION
    assert "undelivered after 14 days of trying, set aside in" in caplog.text


def test_the_wait_is_counted_over_restarts_and_only_while_an_agent_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_WAIT_SAVE_SECONDS", 0.0)
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    waited = 0.0
    for _ in range(2):
        started_at = time.monotonic()
        outbox = Outbox(tmp_path)
        with delivering(outbox, AWAY):
            time.sleep(0.4)
        seconds = time.monotonic() - started_at  # longer than 0.4 s on a busy machine
        before, waited = waited, stored(tmp_path)["waited_seconds"]
        assert 0.3 < waited - before <= seconds
        time.sleep(0.2)  # no agent runs, so nothing waits


def test_the_wait_is_not_written_at_every_try(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    before = (tmp_path / f"{LEASE_ID}.json").stat().st_mtime_ns
    with delivering(outbox, AWAY):
        time.sleep(0.3)
    assert (tmp_path / f"{LEASE_ID}.json").stat().st_mtime_ns == before


# Files that are not what was written.


@pytest.mark.parametrize(
    ("old", "new"), [("1.5", "1.6"), ("completed", "failed"), ("false", "true")]
)
def test_an_entry_that_was_changed_on_the_disk_is_set_aside_and_not_sent(
    tmp_path: Path, server: AgentServer, old: str, new: str
) -> None:
    Outbox(tmp_path).put(LEASE_ID, SUBMISSION)
    path = tmp_path / f"{LEASE_ID}.json"
    path.write_text(path.read_text().replace(old, new))
    deliver(Outbox(tmp_path), server)
    assert server.requests == []
    assert (tmp_path / "rejected" / path.name).exists()


def test_each_byte_of_an_entry_is_covered(tmp_path: Path) -> None:
    Outbox(tmp_path).put(LEASE_ID, SUBMISSION)
    path = tmp_path / f"{LEASE_ID}.json"
    content = path.read_bytes()
    logging.disable()  # a line for each byte
    try:
        for place in range(len(content)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            outbox = Outbox(tmp_path)
            for lease_id in outbox.pending_lease_ids():  # only the clock's time may have changed
                assert outbox._entries[lease_id].submission == SUBMISSION
                assert outbox._entries[lease_id].lease_id == LEASE_ID
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[]",
        "null",
        "5",
        "",
        '{"lease_id": 5}',
        json.dumps({"lease_id": LEASE_ID, "stored_at": 10**400, "corrected": False}),
        "x" * (MAX_ENTRY_BYTES + 1),
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
    ids=lambda text: text[:20],
)
def test_no_file_in_the_outbox_keeps_the_agent_from_starting(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{LEASE_ID}.json").write_text(text, encoding="latin-1")
    former_entry(tmp_path, stored_at=float("1e308"))
    (tmp_path / "other.json").write_text(text, encoding="latin-1")
    assert Outbox(tmp_path).pending_lease_ids() == [LEASE_ID]
    assert (tmp_path / "rejected" / "other.json").exists()


@pytest.mark.parametrize("changes", [{"stored_at": 10**400}, {"submission": []}, {"corrected": 1}])
def test_a_former_entry_with_wrong_types_is_set_aside(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    former_entry(tmp_path, **changes)
    assert Outbox(tmp_path).pending_lease_ids() == []


@posix_only
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "endless link"])
def test_something_else_than_a_file_is_set_aside_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(tmp_path / "nowhere")
        case _:
            path.symlink_to("/dev/zero")
    assert Outbox(tmp_path).pending_lease_ids() == []
    assert not os.path.lexists(path)


@posix_only
def test_a_pipe_at_the_place_of_a_file_to_write_does_not_hold_the_agent_up(
    tmp_path: Path, server: AgentServer
) -> None:
    os.mkfifo(tmp_path / f"{LEASE_ID}.tmp")
    (tmp_path / "rejected").mkdir()
    os.mkfifo(tmp_path / "rejected" / f"{LEASE_ID}.json")
    server.scripted["result"] = [error(400, ErrorCode.INVALID)]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert server.results[LEASE_ID]["failure_class"] == FailureClass.INVALID_RESULT


def test_a_folder_that_nothing_can_be_moved_to_keeps_nobody_from_starting(tmp_path: Path) -> None:
    (tmp_path / "rejected").write_text("a file where the folder should be")
    (tmp_path / "odd.json").write_text("{")
    assert Outbox(tmp_path).pending_lease_ids() == []


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_a_result_that_no_json_can_hold_becomes_a_failure_that_says_so(
    tmp_path: Path, server: AgentServer, value: Any
) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, {"outcome": Outcome.COMPLETED, "metrics": {"val_bpb": value}})
    deliver(outbox, server)
    report = server.results[LEASE_ID]
    assert report["failure_class"] == FailureClass.INVALID_RESULT
    assert "cannot be written as JSON" in report["message"]


def test_nesting_without_end_becomes_a_failure_too(tmp_path: Path) -> None:
    nested: Any = []
    for _ in range(5_000):
        nested = [nested]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, {"outcome": Outcome.COMPLETED, "metrics": {"x": nested}})
    assert stored(tmp_path)["submission"]["failure_class"] == FailureClass.INVALID_RESULT


def test_the_delivery_goes_on_after_a_bug(
    tmp_path: Path, server: AgentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_TOKEN_RETRY_SECONDS", 0.1)
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver_once, failures = outbox._deliver, [RuntimeError("a bug")]

    def failing(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        deliver_once(*arguments)

    monkeypatch.setattr(outbox, "_deliver", failing)
    deliver(outbox, server)
    assert server.results == {LEASE_ID: SUBMISSION}
