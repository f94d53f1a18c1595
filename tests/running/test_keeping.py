"""What ends by itself is started again; one that cannot be kept alive ends everything."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from tests.processes import wait_until
from xeenet_site.running import keeping
from xeenet_site.running.keeping import Keeper
from xeenet_site.running.processes import Child, Supervisor

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]
FAILS = [sys.executable, "-c", "raise SystemExit(3)"]
ENDS_WELL = [sys.executable, "-c", ""]


def child(supervisor: Supervisor, name: str) -> Child | None:
    return next((child for child in supervisor.children if child.name == name), None)


def test_a_process_that_dies_is_started_again_and_the_other_lives_on(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(tmp_path) as supervisor:
        keeper = Keeper(supervisor, first_wait_seconds=0.01)
        for name in ("web server", "q-cluster"):
            keeper.start(name, SLEEPS, os.environ)
        for name, other in (("web server", "q-cluster"), ("q-cluster", "web server")):
            killed, survivor = child(supervisor, name), child(supervisor, other)
            assert killed is not None
            assert survivor is not None
            os.kill(killed.pid, signal.SIGKILL)

            def is_back(killed: Child = killed, name: str = name) -> bool:
                keeper.look_after(said.append)
                again = child(supervisor, name)
                return again is not None and again.pid != killed.pid and again.is_running

            wait_until(is_back, f"the {name}", 20.0)
            assert survivor.is_running
    assert [sentence.partition(";")[0] for sentence in said] == [
        "The web server ended by itself (killed by signal 9)",
        "The q-cluster ended by itself (killed by signal 9)",
    ]


@pytest.mark.parametrize(
    ("command", "how"), [(FAILS, "exit code 3"), (ENDS_WELL, "exit code 0")], ids=["fails", "ends"]
)
def test_a_process_that_ends_again_and_again_ends_everything_with_the_reason(
    command: list[str], how: str, tmp_path: Path
) -> None:
    said: list[str] = []
    with Supervisor(tmp_path) as supervisor:
        keeper = Keeper(supervisor, first_wait_seconds=0.01, most_ends=4)
        keeper.start("web server", command, os.environ)
        keeper.start("q-cluster", SLEEPS, os.environ)
        sleeper = child(supervisor, "q-cluster")
        problem = rf"web server ended 4 times in a row \(last: {how}\)"
        with pytest.raises(CommandError, match=problem):
            wait_until(lambda: bool(keeper.look_after(said.append)), "the end", 30.0)
    waits = [sentence.rpartition(" in ")[2] for sentence in said]
    assert waits == ["0.01 s.", "0.02 s.", "0.04 s."]
    assert sleeper is not None
    assert not sleeper.is_running


def test_a_process_that_lived_long_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "WELL_SECONDS", 0.0)
    said: list[str] = []
    with Supervisor(tmp_path) as supervisor:
        keeper = Keeper(supervisor, first_wait_seconds=0.01, most_ends=2)
        keeper.start("web server", FAILS, os.environ)

        def was_started_often() -> bool:
            keeper.look_after(said.append)
            return len(said) > 4

        wait_until(was_started_often, "five starts", 30.0)
    assert {sentence.rpartition(" in ")[2] for sentence in said} == {"0.01 s."}


def test_the_last_words_of_all_its_starts_stand_in_one_log_and_the_last_in_the_error(
    tmp_path: Path,
) -> None:
    (tmp_path / "web-server.log").write_text("of a former demo\n")
    speaks = [sys.executable, "-c", "import os; raise SystemExit(f'pid {os.getpid()}')"]
    with Supervisor(tmp_path) as supervisor:
        keeper = Keeper(supervisor, first_wait_seconds=0.01, most_ends=3)
        log = keeper.start("web server", speaks, os.environ).log
        assert log is not None
        with pytest.raises(CommandError) as problem:
            wait_until(lambda: keeper.look_after(print) != [], "the end", 30.0)
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 3
    assert all(line.startswith("pid ") for line in lines)
    assert f"It said last:\n{log.read_text()}Whole log: {log}" in str(problem.value)


def test_what_ends_without_being_kept_alive_is_told_to_the_caller(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        keeper = Keeper(supervisor)
        keeper.start("web server", SLEEPS, os.environ)
        agent = supervisor.start("agent 1", ENDS_WELL, os.environ)
        wait_until(lambda: not agent.is_running, "the agent's end", 20.0)
        assert keeper.look_after(print) == [agent]
        assert keeper.look_after(print) == []
        assert child(supervisor, "agent 1") is None


def test_the_waits_are_bounded() -> None:
    assert keeping.MOST_ENDS > 1
    total = sum(
        min(keeping.FIRST_WAIT_SECONDS * 2**number, keeping.LONGEST_WAIT_SECONDS)
        for number in range(keeping.MOST_ENDS - 1)
    )
    assert 10 <= total <= 120
