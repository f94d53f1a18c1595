"""The agent's outbox: every finished result reaches the server, over restarts and bad answers."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.server import WORKER_TOKEN, AgentServer, Reply, error, running_server, wait_until
from workers.agent.connection.client import Client
from workers.agent.delivery import outbox as outbox_module
from workers.agent.delivery.outbox import Outbox
from workers.protocol import ErrorCode, FailureClass, Outcome, Submission

LEASE_ID = "11111111-2222-3333-4444-555555555555"
SUBMISSION: Submission = {"outcome": Outcome.COMPLETED, "metrics": {"val_bpb": 1.5}}


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


@contextmanager
def delivering(outbox: Outbox, url: str, client: Client | None = None) -> Iterator[None]:
    """Run the delivery thread inside the block, by default with a new client."""
    client, stop = client or Client(url, WORKER_TOKEN), threading.Event()
    thread = threading.Thread(target=outbox.deliver_until, args=(client, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        outbox.wake()
        thread.join()
        client.close()


def deliver(outbox: Outbox, server: AgentServer) -> None:
    """Deliver until the outbox is empty."""
    with delivering(outbox, server.url):
        wait_until(lambda: not outbox.pending_lease_ids())


def test_a_submission_is_on_disk_before_it_is_sent_and_gone_when_taken(
    tmp_path: Path, server: AgentServer
) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    assert [path.name for path in tmp_path.glob("*.json")] == [f"{LEASE_ID}.json"]
    deliver(outbox, server)
    assert server.results == {LEASE_ID: SUBMISSION}
    assert list(tmp_path.glob("*.json")) == []


def test_a_submission_of_a_former_start_is_delivered(tmp_path: Path, server: AgentServer) -> None:
    Outbox(tmp_path).put(LEASE_ID, SUBMISSION)
    deliver(Outbox(tmp_path), server)
    assert server.results == {LEASE_ID: SUBMISSION}


def test_a_lost_reply_leads_to_the_same_body_again(tmp_path: Path, server: AgentServer) -> None:
    server.scripted["result"] = [Reply(cut=True)]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert server.calls("result") == [SUBMISSION, SUBMISSION]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_it_names(
    tmp_path: Path, server: AgentServer, status: int
) -> None:
    server.scripted["result"] = [error(status, ErrorCode.THROTTLED, Retry_After="1.2")]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    started_at = time.monotonic()
    deliver(outbox, server)
    assert time.monotonic() - started_at >= 1.2
    assert server.results == {LEASE_ID: SUBMISSION}


def test_an_answer_that_is_not_from_a_xeenet_server_delivers_nothing(
    tmp_path: Path, server: AgentServer
) -> None:
    server.scripted["result"] = [Reply(200, b"<html>Please log in</html>")]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert len(server.calls("result")) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, ErrorCode.NOT_FOUND),
        (409, ErrorCode.RESULT_CONFLICT),
        (409, ErrorCode.LEASE_LOST),
        (422, ErrorCode.METRICS_REFUSED),
    ],
)
def test_a_final_no_removes_the_submission(
    tmp_path: Path, server: AgentServer, status: int, code: ErrorCode
) -> None:
    server.scripted["result"] = [error(status, code)]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert len(server.calls("result")) == 1
    assert list(tmp_path.glob("*.json")) == []
    assert (tmp_path / "rejected" / f"{LEASE_ID}.json").exists()


def test_an_unreadable_submission_is_reported_as_invalid_result(
    tmp_path: Path, server: AgentServer
) -> None:
    server.scripted["result"] = [error(400, ErrorCode.INVALID, "metrics: too odd.")]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    report = server.results[LEASE_ID]
    assert report["failure_class"] == FailureClass.INVALID_RESULT
    assert "too odd" in report["message"]


def test_what_is_refused_twice_is_set_aside_for_people(tmp_path: Path, server: AgentServer) -> None:
    server.scripted["result"] = [error(400, ErrorCode.INVALID), error(400, ErrorCode.INVALID)]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert (tmp_path / "rejected" / f"{LEASE_ID}.json").exists()
    assert Outbox(tmp_path).pending_lease_ids() == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_keeps_the_submission(
    tmp_path: Path, server: AgentServer, status: int
) -> None:
    server.scripted["result"] = [error(status, ErrorCode.PERMISSION_DENIED)]
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    with delivering(outbox, server.url):
        wait_until(lambda: server.calls("result"))
    assert Outbox(tmp_path).pending_lease_ids() == [LEASE_ID]


def test_an_unreachable_server_keeps_the_submission(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    with delivering(outbox, "http://127.0.0.1:1"):
        time.sleep(0.2)
    assert Outbox(tmp_path).pending_lease_ids() == [LEASE_ID]


def test_a_submission_stored_by_a_wrong_clock_is_delivered(
    tmp_path: Path, server: AgentServer
) -> None:
    Outbox(tmp_path).put(LEASE_ID, SUBMISSION)
    path = tmp_path / f"{LEASE_ID}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stored_at": 0.0}))
    deliver(Outbox(tmp_path), server)
    assert server.results == {LEASE_ID: SUBMISSION}


def test_a_damaged_file_is_set_aside_and_the_others_are_delivered(
    tmp_path: Path, server: AgentServer
) -> None:
    Outbox(tmp_path).put(LEASE_ID, SUBMISSION)
    (tmp_path / "broken.json").write_text('{"lease_id": "../../etc')
    deliver(Outbox(tmp_path), server)
    assert server.results == {LEASE_ID: SUBMISSION}
    assert (tmp_path / "rejected" / "broken.json").exists()


def test_a_lease_id_that_would_leave_the_folder_is_set_aside(tmp_path: Path) -> None:
    entry = {"lease_id": "../x", "stored_at": 0, "corrected": False, "submission": {}}
    (tmp_path / "odd.json").write_text(json.dumps(entry))
    assert Outbox(tmp_path).pending_lease_ids() == []


def test_a_full_outbox_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_ENTRIES", 2)
    outbox = Outbox(tmp_path)
    outbox.put("one", SUBMISSION)
    assert not outbox.is_full()
    outbox.put("two", SUBMISSION)
    assert outbox.is_full()


def test_an_outbox_of_too_many_bytes_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_BYTES", 1_000)
    Outbox(tmp_path).put(LEASE_ID, {**SUBMISSION, "stderr_tail": "x" * 1_000})
    assert Outbox(tmp_path).is_full()  # also after a restart


def test_what_was_set_aside_cannot_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_REJECTED_ENTRIES", 3)
    for number in range(9):
        (tmp_path / f"broken-{number}.json").write_text("{")
    Outbox(tmp_path)
    assert len(list((tmp_path / "rejected").iterdir())) == 3


def test_a_submission_is_synced_before_it_takes_its_name_and_the_name_before_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(handle: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def recorded_replace(self: Path, target: Path) -> Path:
        events.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    outbox = Outbox(tmp_path)
    outbox.put(LEASE_ID, SUBMISSION)
    assert outbox.pending_lease_ids() == [LEASE_ID]  # the delivery thread sees it only now
    assert events == ["file", "name", "folder"]


def test_a_submission_that_no_disk_took_keeps_the_agent_from_claiming_until_one_does(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "outbox"
    outbox = Outbox(folder)
    folder.write_text("a file where the folder should be")
    outbox.put(LEASE_ID, SUBMISSION)
    assert outbox.is_full()
    folder.unlink()
    with delivering(outbox, "http://127.0.0.1:1"):
        wait_until(lambda: not outbox.is_full())
    assert Outbox(folder).pending_lease_ids() == [LEASE_ID]


def test_a_disk_that_takes_nothing_does_not_keep_the_result_from_the_server(
    tmp_path: Path, server: AgentServer
) -> None:
    folder = tmp_path / "outbox"
    outbox = Outbox(folder)
    folder.write_text("a file where the folder should be")
    outbox.put(LEASE_ID, SUBMISSION)
    deliver(outbox, server)
    assert server.results == {LEASE_ID: SUBMISSION}
