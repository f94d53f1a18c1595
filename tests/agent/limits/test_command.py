"""``xeenet-worker limits``: shows and changes the rules beside a running agent."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from workers.agent import cli
from workers.agent.exits import EXIT_OK, EXIT_STATE_FOLDER, EXIT_USAGE
from workers.agent.limits import command
from workers.agent.limits.decisions import Defaults
from workers.agent.limits.facts import Facts
from workers.agent.limits.limiter import NOW_FILE_NAME, Limiter
from workers.agent.limits.rules import Rules
from workers.agent.limits.rules_file import FILE_NAME, load, store
from workers.agent.state import StateFolder

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_LOAD_SECONDS", 0.0)


def limits(root: Path, *words: str) -> int:
    return cli.main(["limits", *words, "--state-dir", str(root)])


def test_rules_are_set_shown_and_reset_while_an_agent_holds_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StateFolder(tmp_path).locked():
        assert limits(tmp_path, "set", "threads=1", "hours=00:00-24:00") == EXIT_OK
        assert limits(tmp_path) == EXIT_OK
    text = capsys.readouterr().out
    assert "No agent runs here now.\nmay work now\n" in text
    assert "  threads=1\n" in text
    assert load(tmp_path).threads == 1
    assert limits(tmp_path, "reset") == EXIT_OK
    assert load(tmp_path) == Rules()


def test_the_rules_and_what_decides_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path, Rules(paused_until=time.time() + 600))
    assert limits(tmp_path, "--json") == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    assert report["now"]["pause"]["rule"] == "pause"
    assert report["rules"]["hours"] == []
    assert report["agent_runs"] is False


def test_a_running_agent_tells_what_outranks_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path, Rules(threads=1))
    defaults = Defaults(cores=2, memory_bytes=2**30)
    Limiter(tmp_path, defaults, {"threads": 2}, probe=lambda _: Facts(0.0, 2.0)).look()
    assert limits(tmp_path) == EXIT_OK
    text = capsys.readouterr().out
    assert "An agent runs here." in text
    assert "1 task(s) at a time, 2 thread(s) and 1024 MiB each" in text
    assert "--threads of the agent's command line outranks the rule" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set", "threads=0"], "could never work"),
        (["set", "threads"], "Write RULE=VALUE"),
        (["set"], "Write RULE=VALUE"),
        (["reset", "threads=1"], "reset takes no rules"),
        (["set", "free-memory=99999999999"], "in all"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_and_changes_nothing(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limits(tmp_path, *words) == EXIT_USAGE
    assert message in capsys.readouterr().err
    assert not (tmp_path / FILE_NAME).exists()


def test_a_broken_file_is_shown_kept_and_can_be_reset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    assert limits(tmp_path) == EXIT_OK
    assert "paused: " in capsys.readouterr().out
    assert limits(tmp_path, "set", "threads=1") == EXIT_USAGE
    assert "limits reset" in capsys.readouterr().err
    assert (tmp_path / FILE_NAME).read_text() == "{"
    assert limits(tmp_path, "reset") == EXIT_OK


@pytest.mark.parametrize("content", ["[]", '{"at": "now"}', '{"at": 0}', "\x1b[2J"])
def test_a_report_that_no_agent_wrote_lately_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / NOW_FILE_NAME).write_text(content)
    assert command.running_agent(tmp_path) is None


def test_presence_needs_a_session_and_a_state_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(tmp_path / "missing")
    assert cli.main(["presence", "--state-dir", missing]) == EXIT_STATE_FOLDER
    seen: dict[str, Any] = {"idle_seconds": None, "source": "there is no desktop session here"}
    monkeypatch.setattr(command.session_helper.Observer, "look", lambda _: seen)
    assert cli.main(["presence", "--state-dir", str(tmp_path)]) == EXIT_USAGE
    assert "there is no desktop session here" in capsys.readouterr().err
