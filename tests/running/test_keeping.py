"""`serve` starts again what ends by itself, and ends when a process cannot be kept alive."""

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
        keeper = Keeper(supervisor, said.append, first_wait_seconds=0.01)
        for name in ("web server", "q-cluster"):
            keeper.start(name, SLEEPS, os.environ)
        for name, other in (("web server", "q-cluster"), ("q-cluster", "web server")):
            killed, survivor = child(supervisor, name), child(supervisor, other)
            assert killed is not None
            assert survivor is not None
            os.kill(killed.pid, signal.SIGKILL)

            def is_back(killed: Child = killed, name: str = name) -> bool:
                keeper.look_after()
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
        keeper = Keeper(supervisor, said.append, first_wait_seconds=0.01, most_ends=4)
        keeper.start("web server", command, os.environ)
        keeper.start("q-cluster", SLEEPS, os.environ)
        sleeper = child(supervisor, "q-cluster")
        problem = rf"web server ended 4 times in a row \(last: {how}\)"
        with pytest.raises(CommandError, match=problem):
            wait_until(lambda: bool(keeper.look_after()), "the end", 60.0)
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
        keeper = Keeper(supervisor, said.append, first_wait_seconds=0.01, most_ends=2)
        keeper.start("web server", FAILS, os.environ)

        def was_started_often() -> bool:
            keeper.look_after()
            return len(said) > 4

        wait_until(was_started_often, "five starts", 30.0)
    assert {sentence.rpartition(" in ")[2] for sentence in said} == {"0.01 s."}


def test_the_waits_are_bounded() -> None:
    assert keeping.MOST_ENDS > 1
    total = sum(
        min(keeping.FIRST_WAIT_SECONDS * 2**number, keeping.LONGEST_WAIT_SECONDS)
        for number in range(keeping.MOST_ENDS - 1)
    )
    assert 10 <= total <= 120
