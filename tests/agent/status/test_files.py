"""The status file, the history of tasks, and what hostile or broken files do to their readers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.agent.status.samples import NOW, READY, WHO, ended, running
from workers.agent.status import changes, history
from workers.agent.status.board import StatusBoard
from workers.agent.status.encoding import SCHEMA, Unreadable, as_dict, decode, encode
from workers.agent.status.file import MAX_BYTES, SILENT_SECONDS, StatusFile, read_status
from workers.agent.status.history import MAX_ENTRIES, History, read_history
from workers.agent.status.living import is_living, start_mark
from workers.agent.status.model import Delivery, Pause, PausedBy, Status

FULL = changes.paused(
    changes.ended(changes.started(READY, running()), ended("b" * 32)),
    Pause(PausedBy.OWNER, "tea", NOW),
)


def written(folder: Path, **changed: Any) -> Path:
    path = folder / "status.json"
    path.write_text(json.dumps(as_dict(FULL, NOW) | changed))
    return path


def test_a_status_is_the_same_after_it_was_written_and_read() -> None:
    assert decode(encode(FULL, NOW)) == (FULL, NOW)
    newer = as_dict(FULL, NOW) | {"a key of a later version": 1}
    assert decode(json.dumps(newer).encode()) == (FULL, NOW)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"schema": NaN}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no status"),
        (b"{}", "no status"),
        (b'{"schema": "1"}', "no schema"),
        (json.dumps({"schema": SCHEMA + 1}).encode(), "update this program"),
        (json.dumps({"schema": SCHEMA}).encode(), "when it was written"),
        (json.dumps({"schema": SCHEMA, "written_at": 1}).encode(), "identity is missing"),
        (json.dumps(as_dict(FULL, NOW) | {"to_send": "3"}).encode(), "to_send has the wrong type"),
        (json.dumps(as_dict(FULL, NOW) | {"tasks": {}}).encode(), "tasks is no list"),
        (json.dumps(as_dict(FULL, NOW) | {"pauses": [{"by": "a"}]}).encode(), "pauses"),
    ],
)
def test_what_is_no_status_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        decode(content)


def test_a_file_that_is_no_small_plain_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(b" " * (MAX_BYTES + 1))
    assert "larger than" in read_status(path).problem
    path.unlink()
    os.mkfifo(path)  # a reader that waits for a writer would hang here
    assert "not a regular file" in read_status(path).problem


def test_a_running_agent_is_told_from_a_dead_one_and_from_another_with_its_number(
    tmp_path: Path,
) -> None:
    here = replace(WHO, pid=os.getpid(), start_mark=start_mark(os.getpid()))
    alive = read_status(written(tmp_path, identity=as_dict(Status(here), NOW)["identity"]))
    assert alive.is_living
    assert not alive.is_silent(NOW + SILENT_SECONDS)
    assert alive.is_silent(NOW + SILENT_SECONDS + 1)
    other = replace(here, start_mark="another-boot/1")
    assert not read_status(
        written(tmp_path, identity=as_dict(Status(other), NOW)["identity"])
    ).is_living


def test_a_process_that_ended_is_not_living_even_before_it_is_collected() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = start_mark(child.pid)
    assert is_living(child.pid, mark)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert not is_living(child.pid, mark)
    child.communicate()
    assert not is_living(child.pid, mark)
    assert not is_living(0, "")


def test_the_file_is_private_and_follows_the_board(tmp_path: Path) -> None:
    path, board = tmp_path / "status.json", StatusBoard()
    file = StatusFile(path, board)
    file.start()
    board.setting_up("")
    board.started(running())
    file.stop()
    reading = read_status(path)
    assert reading.status == board.status
    assert reading.status is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_many_changes_are_few_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, writes = StatusBoard(), []
    file = StatusFile(tmp_path / "status.json", board)
    monkeypatch.setattr(StatusFile, "write", lambda self: writes.append(time.monotonic()))
    file.start()
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        board.to_send(len(writes) + time.monotonic_ns() % 1000)
    file.stop()
    assert len(writes) <= 4  # at the start, after the first change, at the end


def test_a_full_disk_stops_neither_status_nor_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = tmp_path / "gone"
    tasks = History(gone / "history.jsonl")
    board = StatusBoard(history=tasks)
    file = StatusFile(gone / "status.json", board)
    file.start()
    for number in range(3):
        board.ended(ended(f"lease-{number}"))
        file.write()
    file.stop()
    assert len(tasks.tasks()) == 3
    assert caplog.text.count("is not written") == 2  # once for each, not once for each try


def test_the_history_keeps_a_task_with_its_answer_across_starts(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    board = StatusBoard(history=History(path))
    board.ended(ended("one"))
    board.ended(ended("two"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # The answer to a result of a former start.
    later = StatusBoard(history=History(path))
    later.delivery("one", Delivery.ANSWERED, verdict="accepted", said="counts")
    assert [(task.lease_id, task.said) for task in read_history(path)] == [
        ("one", "counts"),
        ("two", ""),
    ]
    assert later.status.ended[-1].number == "3/17"
    assert (later.status.totals.ended, later.status.totals.accepted) == (0, 1)


def test_the_history_survives_a_torn_line_and_foreign_ones(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    History(path).add(ended("one"))
    with path.open("ab") as file:
        file.write(b'[]\n{"schema": 99}\n\xff\xfe\n' + b"x" * 100_000 + b'\n{"schema": 1, "lease')
    tasks = History(path)
    assert [task.lease_id for task in tasks.tasks()] == ["one"]
    tasks.add(ended("two"))
    assert [task.lease_id for task in read_history(path)] == ["one", "two"]


def test_the_history_is_bounded_by_count_and_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.jsonl"
    tasks = History(path)
    for number in range(2 * MAX_ENTRIES + 5):
        tasks.add(ended(f"lease-{number}"))
    newest = f"lease-{2 * MAX_ENTRIES + 4}"
    assert path.read_bytes().count(b"\n") <= MAX_ENTRIES + 5
    assert len(read_history(path)) == MAX_ENTRIES
    monkeypatch.setattr(history, "MAX_BYTES", 4_000)
    large = History(path)
    for number in range(20):
        large.add(ended(f"large-{number}", message="x" * 400))
        assert path.stat().st_size <= 8_000
    assert newest not in {task.lease_id for task in read_history(path)}
    assert read_history(path)[-1].lease_id == "large-19"


def test_a_pipe_in_the_place_of_the_history_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    os.mkfifo(path)
    tasks = History(path)
    thread = threading.Thread(target=tasks.add, args=(ended("one"),), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [task.lease_id for task in tasks.tasks()] == ["one"]
