"""The owner's rules: how they are written, read and refused, and the file they are in."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from workers.agent.grants import Priority
from workers.agent.limits import rules_file
from workers.agent.limits.hours import Window
from workers.agent.limits.rules import (
    Rules,
    RulesError,
    changed,
    check_machine,
    from_json,
    to_json,
    worded,
)
from workers.agent.limits.rules_file import FILE_NAME, RulesFile, load, store

NOW_SECONDS = 1_800_000_000.0
FULL = {
    "slots": "2",
    "threads": "4",
    "memory": "4096",
    "present": "pause",
    "idle": "2.5",
    "hours": "22:00-07:00,12:00-13:00",
    "battery": "pause",
    "metered": "pause",
    "load": "1.5",
    "free-memory": "1024",
    "temperature": "80",
    "priority": "idle",
    "pause": "90m",
}


def test_every_rule_can_be_written_read_and_taken_away() -> None:
    rules = changed(Rules(), FULL, now_seconds=NOW_SECONDS)
    assert rules == Rules(
        slots=2,
        threads=4,
        memory_mib=4096,
        present_threads=0,
        idle_minutes=2.5,
        hours=(Window(22 * 60, 7 * 60), Window(12 * 60, 13 * 60)),
        on_battery=False,
        on_metered=False,
        max_load=1.5,
        free_memory_mib=1024,
        max_temperature=80.0,
        priority=Priority.IDLE,
        paused_until=NOW_SECONDS + 5400,
    )
    assert worded(rules) == {word: text for word, text in FULL.items() if word != "pause"}
    assert from_json(to_json(rules).encode()) == rules
    off = {word: "off" for word in FULL if word not in ("idle", "hours", "battery", "metered")}
    back = {"idle": "5", "hours": "always", "battery": "work", "metered": "work"}
    assert changed(rules, off | back, now_seconds=0.0) == Rules()


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("threads=0", "could never work"),
        ("slots=65", "could never work"),
        ("slots=-1", "a whole number"),
        ("threads=²", "a whole number"),
        ("memory=1", "could never work"),
        ("present=-1", "whole number"),
        ("idle=2000", "could never work"),
        ("hours=22:00-22:00", "it ends when it begins"),
        ("hours=", "no time of the day"),
        ("hours=25:00-26:00", "no time of the day"),
        ("hours=24:00-24:30", "a day ends at 24:00"),
        ("battery=never", "write work or pause"),
        ("load=-1", "could never work"),
        ("load=0", "could never work"),
        ("load=nan", "a number"),
        ("temperature=10", "could never work"),
        ("priority=high", "normal, low, idle"),
        ("pause=for ever", "how long"),
        ("pause=-2h", "how long"),
        ("pause=1e9d", "could never work"),
        ("colour=red", "there is no rule"),
    ],
)
def test_rules_that_could_never_let_the_agent_run_are_refused(rule: str, reason: str) -> None:
    word, _, text = rule.partition("=")
    with pytest.raises(RulesError, match=reason):
        changed(Rules(), {word: text}, now_seconds=NOW_SECONDS)


def test_a_rule_that_this_machine_could_never_keep_is_refused() -> None:
    check_machine(Rules(free_memory_mib=1000), 2**30)
    with pytest.raises(RulesError, match="1,024 MiB in all"):
        check_machine(Rules(free_memory_mib=1024), 2**30)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{" * 100_000,
        b'{"version": 2}',
        b'{"version": true}',
        b'{"version": 1, "threads": 2, "threads": 4}',
        b'{"version": 1, "threads": true}',
        b'{"version": 1, "threads": 2.0}',
        b'{"version": 1, "threads": 1e999}',
        b'{"version": 1, "max_load": NaN}',
        b'{"version": 1, "max_load": "1"}',
        b'{"version": 1, "idle_minutes": null}',
        b'{"version": 1, "hours": "22:00-07:00"}',
        b'{"version": 1, "hours": ["22:00-22:00"]}',
        b'{"version": 1, "hours": null}',
        b'{"version": 1, "on_battery": 1}',
        b'{"version": 1, "priority": ["low"]}',
        b'{"version": 1, "pause": 1}',
        json.dumps({"version": 1, "hours": ["01:00-02:00"] * 25}).encode(),
        b'{"version": 1, "threads": 0}',
    ],
)
def test_a_file_that_is_not_rules_is_refused_whole(content: bytes) -> None:
    with pytest.raises(RulesError):
        from_json(content)


def test_the_file_is_private_whole_and_read_again_when_it_changes(tmp_path: Path) -> None:
    file = RulesFile(tmp_path)
    assert (file.rules, file.read()) == (Rules(), False)
    store(tmp_path, Rules(threads=2))
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (file.read(), file.rules) == (True, Rules(threads=2))
    assert not file.read()


def test_a_broken_file_leaves_the_rules_of_before_and_at_the_start_allows_nothing(
    tmp_path: Path,
) -> None:
    store(tmp_path, Rules(threads=2))
    file = RulesFile(tmp_path)
    (tmp_path / FILE_NAME).write_text('{"version": 1, "threads":')
    assert file.read()
    assert file.rules == Rules(threads=2)
    assert "limits reset" in file.problem
    at_start = RulesFile(tmp_path)
    assert at_start.rules is None
    assert at_start.problem
    store(tmp_path, Rules(slots=3))
    assert (at_start.read(), at_start.rules, at_start.problem) == (True, Rules(slots=3), "")


def _link(path: Path) -> None:
    (path.parent / "elsewhere").write_text(to_json(Rules()))
    path.symlink_to(path.parent / "elsewhere")


HOSTILE: dict[str, Any] = {
    "a pipe that nobody writes": os.mkfifo,
    "a folder": Path.mkdir,
    "a link": _link,
    "a huge file": lambda path: path.write_bytes(b" " * (rules_file._MAX_BYTES + 1)),
}


@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_script_puts_in_the_place_of_the_file_neither_blocks_nor_counts(
    kind: str, tmp_path: Path
) -> None:
    HOSTILE[kind](tmp_path / FILE_NAME)
    with pytest.raises(RulesError, match="cannot be used"):
        load(tmp_path)
