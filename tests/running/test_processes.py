"""Child processes are watched together, and none is left behind, whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import ROOT, is_alive
from tests.standstills import within
from xeenet_site.running.processes import Supervisor

posix_only = pytest.mark.skipif(os.name != "posix", reason="sessions and signals are POSIX")

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(60)"
)
LEAVES_A_CHILD = (
    "import subprocess, sys; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print(child.pid, flush=True)"
)
DETACHES_A_CHILD = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], "
    "start_new_session=True); print(child.pid, flush=True); time.sleep(60)"
)


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_child_that_ends_is_told_once_with_its_last_words(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("odd one", python("print('oh'); raise SystemExit(3)"), os.environ)
        eventually(lambda: not child.is_running)
        assert supervisor.newly_ended() == [child]
        assert supervisor.newly_ended() == []
    assert child.how_it_ended() == "exit code 3"
    assert child.log_tail() == "oh"
    assert (tmp_path / "odd-one.log").exists()


def test_leaving_the_supervisor_ends_a_child_that_listens(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("sleeper", python("import time; time.sleep(60)"), os.environ)
        assert child.is_running
    assert not is_alive(child.pid)
    assert child.how_it_ended() == "killed by signal 15"


@posix_only
def test_a_child_that_ignores_sigterm_is_killed_when_patience_ends(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("deaf", python(IGNORES_SIGTERM), os.environ)
        eventually(lambda: child.log_tail() == "ready")
        supervisor.stop([child], patience_seconds=0.3)
        assert not is_alive(child.pid)
    assert child.how_it_ended() == "killed by signal 9"


@posix_only
def test_what_a_dead_child_leaves_in_its_group_is_killed_too(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("parent", python(LEAVES_A_CHILD), os.environ)
        eventually(lambda: not child.is_running)
        grandchild = int(child.log_tail())
        assert is_alive(grandchild)
        supervisor.newly_ended()
        eventually(lambda: not is_alive(grandchild), 5.0)


@posix_only
def test_a_descendant_in_a_session_of_its_own_is_killed_too(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("parent", python(DETACHES_A_CHILD), os.environ)
        eventually(lambda: bool(child.log_tail()))
        grandchild = int(child.log_tail())
    eventually(lambda: not is_alive(grandchild), 5.0)


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_request_to_stop_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Supervisor() as supervisor:
        os.kill(os.getpid(), number)
        assert supervisor.wait(30.0)
        assert supervisor.stop_requested
    assert signal.getsignal(number) is before


@posix_only
def test_a_second_ctrl_c_ends_the_patience(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("deaf", python(IGNORES_SIGTERM), os.environ)
        eventually(lambda: child.log_tail() == "ready")
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        with within(10.0):
            supervisor.stop([child], patience_seconds=60.0)
    assert not is_alive(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is a feature of Linux")
def test_children_stop_by_themselves_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from xeenet_site.running.processes import Supervisor\n"
        f"with Supervisor(Path({str(tmp_path)!r})) as supervisor:\n"
        "    sleeper = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "    print(supervisor.start('sleeper', sleeper, os.environ).pid, flush=True)\n"
        "    supervisor.wait(60)\n"
    )
    killed = subprocess.Popen(python(program), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with killed:
        assert killed.stdout is not None
        child = int(killed.stdout.readline())
        assert is_alive(child)
        killed.kill()
    eventually(lambda: not is_alive(child), 5.0)
