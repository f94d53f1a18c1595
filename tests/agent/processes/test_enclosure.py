"""Scripts that fork, detach and hide at T0, with and without a cgroup or namespace around them."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.agent.runs import (
    BUDGET_SECONDS,
    DETACH,
    GRACE_SECONDS,
    IGNORE_SIGTERM,
    Run,
    kill_with_its_guardians,
    linux_only,
    script,
)
from tests.agent.server import wait_until
from tests.processes import ROOT, child_of
from tests.standstills import within
from workers.agent.attempt import StopReason
from workers.agent.isolation import Containment
from workers.agent.processes import cgroups, process_tree
from workers.agent.processes import enclosure as enclosure_module
from workers.agent.processes.enclosure import (
    best_enclosure,
    own_cgroup,
    process_namespace,
    user_manager,
)
from workers.agent.processes.guarded import NO_ENCLOSURE, Enclosure, EnclosureKind
from workers.agent.processes.process_tree import KILL_SECONDS, ProcessTree, kill_tagged
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending
from workers.agent.running.hardware import Machine
from workers.agent.running.sandbox import Sandbox

pytestmark = linux_only

SLACK_SECONDS = 3.0  # for a busy machine
# Processes that each live for a moment: fork, take a new session, exit. They stop by themselves.
HOP = """
def hop(heads=3, seconds=6.0):
    end = time.monotonic() + seconds
    for _ in range(heads):
        if os.fork() == 0:
            while time.monotonic() < end:
                if os.fork() > 0:
                    os._exit(0)
                os.setsid()
            pathlib.Path("lived to its own end").touch()
            os._exit(0)
"""
# A detached process without the tag: only its enclosure or its guardian can find it.
STRIPPED = 'detach(["/bin/sleep", "30"])\n'
WAIT_FOR_IT = 'while not list(pathlib.Path().glob("[0-9]*")): time.sleep(0.01)\n'


def usable(find: Callable[[], Enclosure]) -> Enclosure:
    enclosure = find()
    if enclosure.kind is EnclosureKind.NONE:
        pytest.skip(enclosure.why_not)
    return enclosure


@pytest.fixture
def scope(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Enclosure]:
    """Stand in for the user's service manager: a program that makes a cgroup for its command."""
    parent = usable(own_cgroup).parent_cgroup
    folder = tmp_path_factory.mktemp("manager")
    program = folder / "systemd-run"
    program.write_text(
        textwrap.dedent(f"""\
            #!/bin/sh
            for word; do case "$word" in --unit=*) unit="${{word#--unit=}}";; esac; done
            while [ "$1" != -- ]; do shift; done; shift
            echo "{parent}/$unit" >> "{folder}/units"
            mkdir "{parent}/$unit" && echo $$ > "{parent}/$unit/cgroup.procs" && exec "$@"
            """)
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / enclosure_module._user_name()).touch()
    monkeypatch.setattr(enclosure_module, "_LINGER", folder)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/xeenet-test")
    yield usable(user_manager)
    for line in (folder / "units").read_text().splitlines():  # a manager removes them by itself
        cgroups.remove(Path(line))


@pytest.fixture(params=["cgroup", "namespace", "scope"])
def enclosure(request: pytest.FixtureRequest) -> Iterator[Enclosure]:
    if request.param == "scope":
        yield request.getfixturevalue("scope")
    else:
        yield usable(own_cgroup if request.param == "cgroup" else process_namespace)


def orphans() -> int:
    """Return how many processes of this test are zombies or were taken over by it."""
    return len(psutil.Process().children(recursive=True))


def deadline_and_bound() -> float:
    return BUDGET_SECONDS + GRACE_SECONDS + KILL_SECONDS + SLACK_SECONDS


# What forks and detaches in a loop.


def test_processes_that_hop_on_in_a_loop_end_at_the_deadline(
    tmp_path: Path, enclosure: Enclosure
) -> None:
    source = script(IGNORE_SIGTERM, HOP, "hop()\ntime.sleep(20)")
    run = Run(tmp_path, source, enclosure=enclosure)
    before = orphans()
    started_at = time.monotonic()
    execution = run.execute()
    assert time.monotonic() - started_at < deadline_and_bound()
    assert (execution.ending, execution.survivors) == (Ending.TIMEOUT, [])
    assert run.leftovers() == []
    assert orphans() == before
    time.sleep(max(0.0, 6.5 - (time.monotonic() - started_at)))
    assert not (tmp_path / "lived to its own end").exists()


def test_without_an_enclosure_the_run_still_ends_in_time_and_leaves_no_zombies(
    tmp_path: Path,
) -> None:
    source = script(IGNORE_SIGTERM, HOP, "hop()\ntime.sleep(20)")
    run = Run(tmp_path, source, enclosure=NO_ENCLOSURE)
    before = orphans()
    started_at = time.monotonic()
    execution = run.execute()
    assert time.monotonic() - started_at < deadline_and_bound()
    assert execution.ending is Ending.TIMEOUT
    assert orphans() == before
    assert run.leftovers() == []


@pytest.mark.parametrize("kind", ["namespace", "none"])
def test_what_ends_detached_is_reaped_while_the_script_runs(tmp_path: Path, kind: str) -> None:
    source = """
        for _ in range(200):
            if os.fork() == 0:
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(0.01)
                os._exit(0)
            os.wait()
        pathlib.Path("made").touch()
        time.sleep(20)
        """
    enclosure = usable(process_namespace) if kind == "namespace" else NO_ENCLOSURE
    run = Run(tmp_path, script(source), enclosure=enclosure)
    zombies: list[psutil.Process] = []

    def look() -> None:
        with contextlib.suppress(AssertionError):
            wait_until((tmp_path / "made").exists, 20)
            time.sleep(0.3)
            below = psutil.Process().children(recursive=True)
            dead = [p for p in below if p.status() == psutil.STATUS_ZOMBIE]
            zombies.extend(p for p in dead if p.ppid() != os.getpid())
        run.stop.request(StopReason.CANCEL)

    watcher = threading.Thread(target=look)
    watcher.start()
    execution = run.execute(time_budget_seconds=30.0)
    watcher.join()
    assert (execution.ending, zombies) == (Ending.STOPPED, [])


def test_a_detached_process_without_its_environment_dies_with_the_script(
    tmp_path: Path, enclosure: Enclosure
) -> None:
    # The guardian reaps it, so no process of the agent or the script is its parent any more.
    run = Run(tmp_path, script(DETACH, STRIPPED, WAIT_FOR_IT), enclosure=enclosure)
    assert run.execute(time_budget_seconds=20.0).ending is Ending.EXITED
    assert run.leftovers() == []


# Scripts that turn against their guardian. In a namespace they cannot see it.


@pytest.mark.parametrize("find", [own_cgroup, process_namespace])
def test_what_a_script_detaches_dies_although_it_kills_its_guardian(
    tmp_path: Path, find: Callable[[], Enclosure]
) -> None:
    kill = "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(20)"
    run = Run(tmp_path, script(DETACH, STRIPPED, WAIT_FOR_IT, kill), enclosure=usable(find))
    execution = run.execute()
    assert execution.exit_code in (-9, -15)
    assert run.leftovers() == []


def test_all_in_a_namespace_dies_with_a_killed_guardian(tmp_path: Path) -> None:
    source = script(DETACH, STRIPPED, "announce(); time.sleep(60)")
    run = Run(tmp_path, source, enclosure=usable(process_namespace))
    agent = agent_that_runs(run, "namespace")
    wait_until(lambda: run.announced() == 2, 60)
    kill_with_its_guardians(agent)
    wait_until(lambda: run.leftovers() == [], 8)


def test_a_script_dies_with_the_guardian_that_it_kills(tmp_path: Path) -> None:
    source = "announce()\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(20)"
    run = Run(tmp_path, script(source), enclosure=NO_ENCLOSURE)
    with within(10):
        assert run.execute(time_budget_seconds=15.0).exit_code == -9
    assert run.leftovers() == []


def test_tagged_processes_are_found_although_the_script_kills_its_guardian(tmp_path: Path) -> None:
    source = script(DETACH, "detach()\n", WAIT_FOR_IT, "os.kill(os.getppid(), signal.SIGKILL)")
    run = Run(tmp_path, source, enclosure=NO_ENCLOSURE)
    run.execute(time_budget_seconds=15.0)
    assert run.announced() == 1
    assert run.leftovers() == []


def test_what_cannot_be_killed_is_told_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = script(DETACH, "detach()\n", WAIT_FOR_IT, "os.kill(os.getppid(), signal.SIGKILL)")
    run = Run(tmp_path, source, enclosure=NO_ENCLOSURE)
    monkeypatch.setattr(process_tree, "kill_all", lambda _: None)
    started_at = time.monotonic()
    execution = run.execute(time_budget_seconds=15.0)
    seconds = time.monotonic() - started_at
    (left,) = run.leftovers()
    left.kill()
    assert execution.survivors == [left.pid]
    assert seconds < KILL_SECONDS + 2 * SLACK_SECONDS


@pytest.mark.timeout(45)
@pytest.mark.parametrize("find", [own_cgroup, lambda: NO_ENCLOSURE])
def test_a_script_that_freezes_its_guardian_still_ends_in_bounded_time(
    tmp_path: Path, find: Callable[[], Enclosure]
) -> None:
    source = script(IGNORE_SIGTERM, "os.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(30)")
    run = Run(tmp_path, source, enclosure=usable(find) if find is own_cgroup else NO_ENCLOSURE)
    started_at = time.monotonic()
    try:
        execution = run.execute()
        assert time.monotonic() - started_at < deadline_and_bound()
        assert execution.ending is Ending.TIMEOUT
        assert run.leftovers() == []
    finally:
        # A guardian that the agent did not kill would stay frozen for good.
        if guardian := child_of(os.getpid(), "guardian.py"):
            guardian.kill()
        kill_tagged(run.tag)


# An agent that dies.


def agent_that_runs(run: Run, kind: str) -> subprocess.Popen[bytes]:
    """Start a program that runs the script as the agent does, under the run's tag."""
    program = f"""
        from pathlib import Path
        from tests.agent.runs import Run
        from workers.agent.processes.enclosure import own_cgroup, process_namespace
        from workers.agent.processes.guarded import NO_ENCLOSURE
        enclosure = {{"cgroup": own_cgroup, "namespace": process_namespace}}.get(
            {kind!r}, lambda: NO_ENCLOSURE)()
        run = Run(Path({str(run.folder)!r}), {run.script.read_text()!r}, enclosure=enclosure)
        run.tag = {run.tag!r}
        run.execute(time_budget_seconds=60.0)
        """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env={
            **script_environment(run.folder, run.folder),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        },
    )


@pytest.mark.parametrize("kind", ["cgroup", "namespace", "none"])
def test_all_of_a_run_dies_with_its_agent(tmp_path: Path, kind: str) -> None:
    enclosure = {"cgroup": own_cgroup, "namespace": process_namespace}.get(
        kind, lambda: NO_ENCLOSURE
    )
    source = script(IGNORE_SIGTERM, DETACH, STRIPPED, "announce(); time.sleep(60)")
    run = Run(tmp_path, source, enclosure=NO_ENCLOSURE if kind == "none" else usable(enclosure))
    agent = agent_that_runs(run, kind)
    wait_until(lambda: run.announced() == 2, 60)
    agent.kill()
    agent.wait()
    wait_until(lambda: run.leftovers() == [], 8)


def test_the_next_start_finds_what_a_killed_agent_and_guardian_left_in_a_cgroup(
    tmp_path: Path,
) -> None:
    source = script(DETACH, STRIPPED, "announce(); time.sleep(60)")
    run = Run(tmp_path, source, enclosure=usable(own_cgroup))
    agent = agent_that_runs(run, "cgroup")
    wait_until(lambda: run.announced() == 2, 60)
    kill_with_its_guardians(agent)
    wait_until(lambda: len(run.leftovers()) == 1, 8)  # the script died with its guardian
    killed, survivors = kill_tagged(run.tag)
    assert (killed, survivors) == (1, [])
    assert run.leftovers() == []
    assert list(cgroups.left_behind(run.tag)) == []


# How an enclosure is chosen, and what the server is told.


def test_a_command_that_does_not_exist_is_an_error_and_no_ended_script(
    tmp_path: Path, enclosure: Enclosure
) -> None:
    run = Run(tmp_path, "", enclosure=enclosure)
    with pytest.raises(OSError, match=r"could not be started.*No such file"):
        ProcessTree(
            ["/nowhere/python"], tag=run.tag, environment={}, folder=tmp_path, enclosure=enclosure
        )
    if enclosure.kind is EnclosureKind.CGROUP:
        assert list(cgroups.left_behind(run.tag)) == []


def test_two_runs_with_the_same_tag_do_not_share_a_cgroup() -> None:
    parent = usable(own_cgroup).parent_cgroup
    assert parent is not None
    folders = [cgroups.make(parent, "test/same-tag") for _ in range(2)]
    assert sorted(cgroups.left_behind("test/same-tag")) == sorted(folders)
    assert all(cgroups.remove(folder) for folder in folders)


def test_a_script_learns_nothing_of_how_its_scope_was_made(
    scope: Enclosure, tmp_path: Path
) -> None:
    run = Run(tmp_path, "import json, os; print(json.dumps(dict(os.environ)))", enclosure=scope)
    result = run.execute(time_budget_seconds=20.0).result
    assert result is not None
    assert "XDG_RUNTIME_DIR" not in result


def test_a_user_manager_that_ends_at_logout_is_not_used(
    scope: Enclosure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(enclosure_module, "_LINGER", tmp_path)
    assert "loginctl enable-linger" in user_manager().why_not


def test_an_enclosure_that_does_not_hold_at_its_trial_is_not_taken() -> None:
    nowhere = Enclosure(EnclosureKind.CGROUP, Path("/nowhere"))
    assert enclosure_module._tried(nowhere).kind is EnclosureKind.NONE
    assert enclosure_module._tried(nowhere).why_not.startswith("cgroup: ")


def test_without_any_enclosure_the_server_is_told_so_and_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine({"notes": ["torch: none"]})
    monkeypatch.setattr("workers.agent.isolation.best_enclosure", lambda: Enclosure(why_not="no"))
    notes = ["torch: none", "isolation T0: what a script detaches may outlive it. no"]
    assert Containment(machine).hardware["notes"] == notes
    assert Containment(machine, Sandbox("bwrap")).hardware["notes"] == ["torch: none"]
    monkeypatch.setattr("workers.agent.isolation.best_enclosure", lambda: NO_ENCLOSURE)
    assert Containment(machine).hardware == machine.hardware


def test_each_way_that_fails_adds_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("own_cgroup", "process_namespace", "user_manager"):
        monkeypatch.setattr(enclosure_module, name, lambda name=name: Enclosure(why_not=name))
    chosen = best_enclosure.__wrapped__()
    assert chosen == Enclosure(why_not="own_cgroup; process_namespace; user_manager")
