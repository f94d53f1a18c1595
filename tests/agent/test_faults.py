"""Kill, stop and suspend the agent's process: nothing is left behind and no result gets lost.

The moments are drawn from a seed that is printed. ``XEENET_CHAOS_SEED`` repeats a run, and
``XEENET_TEST_KILLS`` sets the number of kills (20 for the full row of the fault matrix).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.agent.bench import Bench
from tests.agent.runs import (
    ANNOUNCE,
    BUDGET_SECONDS,
    DETACH,
    in_both_tiers,
    linux_only,
    working_sandbox,
)
from tests.agent.server import WORKER_TOKEN, error, running_server, wait_until
from tests.processes import ROOT
from workers.agent.delivery.outbox import Outbox
from workers.agent.secrecy import TOKEN_VARIABLE
from workers.protocol import HeartbeatAnswer, IsolationTier, Outcome

END_SECONDS = 60.0
KILLS = int(os.environ.get("XEENET_TEST_KILLS", "4"))
# Detaches a process and runs about as long as these agents do, so it may or may not finish.
LEAVING = (ANNOUNCE + DETACH + "detach(); announce(); time.sleep(0.4); print('no result')").encode()
HANGING = (ANNOUNCE + DETACH + "detach(); announce(); time.sleep(60)").encode()

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        yield Bench(tmp_path, server)


@pytest.fixture
def start(bench: Bench) -> Iterator[Start]:
    """Return a function that starts an agent; agents that still run at the end are killed."""
    agents: list[subprocess.Popen[bytes]] = []

    def start(tier: IsolationTier, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.agent.program", "--server", bench.server.url]
        command += ["--state-dir", str(bench.state.root), "--allow-server-code"]
        environment = {**os.environ, TOKEN_VARIABLE: WORKER_TOKEN}
        with (bench.state.root.parent / "log").open("ab") as log:
            agent = subprocess.Popen(
                [*command, "--isolation", tier, *arguments], cwd=ROOT, env=environment, stderr=log
            )
        agents.append(agent)
        return agent

    yield start
    for agent in agents:
        agent.kill()
        agent.wait()


def skip_without(tier: IsolationTier) -> None:
    if tier is IsolationTier.T1:
        working_sandbox()


def announced(bench: Bench, lease_id: str) -> list[Path]:
    """Return the files by which the processes of a task announced themselves.

    Look only into the task's folder: the folder of the sandbox's trial may vanish while it is read.
    """
    return list((bench.state.work / lease_id).glob("[0-9]*"))


def stored(bench: Bench) -> list[str]:
    return Outbox(bench.state.outbox).pending_lease_ids()


@linux_only
@in_both_tiers
def test_an_agent_killed_at_any_moment_leaves_nothing_to_the_next_and_loses_no_result(
    bench: Bench, start: Start, tier: IsolationTier
) -> None:
    skip_without(tier)
    seed = int(os.environ.get("XEENET_CHAOS_SEED", random.randrange(10**6)))
    print(f"XEENET_CHAOS_SEED={seed}")
    moments = random.Random(seed)
    known: set[str] = set()
    for _ in range(KILLS):
        bench.offer_task(LEAVING)
        agent = start(tier)
        time.sleep(moments.uniform(0.0, 2.0))  # hits the start, the claim, the run or the report
        agent.kill()
        agent.wait()
        if tier is IsolationTier.T1:  # the kernel ends a sandbox with its agent
            wait_until(lambda: not bench.scripts(), 5)
        known |= set(stored(bench))
    assert start(tier, "--once").wait(END_SECONDS) == 0
    assert bench.scripts() == []
    assert list(bench.state.work.iterdir()) == []
    assert list(bench.state.root.rglob("*.tmp")) == []
    assert stored(bench) == []
    assert known <= set(bench.server.results)


def test_results_finished_while_the_server_was_away_arrive_after_kills_and_restarts(
    bench: Bench, start: Start
) -> None:
    leases = [bench.offer_task(b"print('no result')") for _ in range(5)]
    bench.server.scripted["result"] = [error(503, "away") for _ in range(1_000)]
    for _ in range(2):
        agent = start(IsolationTier.T0, "--slots", "2")
        before = len(bench.server.calls("result"))
        wait_until(lambda before=before: len(bench.server.calls("result")) > before, END_SECONDS)
        agent.kill()
        agent.wait()
    waiting = set(stored(bench))
    assert waiting
    bench.server.scripted.clear()
    assert start(IsolationTier.T0, "--once").wait(END_SECONDS) == 0
    # The server hands out again the tasks that a killed agent had claimed but not finished.
    assert waiting <= set(bench.server.results) <= set(leases)
    assert stored(bench) == []


@in_both_tiers
def test_a_suspended_agent_goes_on_where_it_was(
    bench: Bench, start: Start, tier: IsolationTier
) -> None:
    skip_without(tier)
    finishing = (
        ANNOUNCE + "announce()\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "print('x'); pathlib.Path('end').touch()"
    )
    lease_id = bench.offer_task(finishing.encode(), time_budget_seconds=60.0)
    agent = start(tier)
    wait_until(lambda: announced(bench, lease_id), END_SECONDS)
    agent.send_signal(signal.SIGSTOP)
    folder = bench.state.work / lease_id
    (folder / "go").touch()
    wait_until((folder / "end").exists)
    assert bench.server.results == {}
    agent.send_signal(signal.SIGCONT)
    wait_until(lambda: lease_id in bench.server.results)
    assert bench.scripts() == []


def test_a_script_whose_time_ran_out_while_the_agent_was_suspended_is_killed_when_it_wakes(
    bench: Bench, start: Start
) -> None:
    lease_id = bench.offer_task(HANGING, time_budget_seconds=BUDGET_SECONDS, kill_grace_seconds=0.3)
    agent = start(IsolationTier.T0)
    wait_until(lambda: announced(bench, lease_id), END_SECONDS)
    agent.send_signal(signal.SIGSTOP)
    time.sleep(BUDGET_SECONDS + 0.5)  # past budget and grace period
    agent.send_signal(signal.SIGCONT)
    wait_until(lambda: lease_id in bench.server.results)
    assert bench.server.results[lease_id]["outcome"] == Outcome.FAILED
    assert bench.scripts() == []


@linux_only
@in_both_tiers
def test_a_cancelled_task_ends_with_all_that_its_script_detached(
    bench: Bench, start: Start, tier: IsolationTier
) -> None:
    skip_without(tier)
    lease_id = bench.offer_task(HANGING)
    start(tier)
    wait_until(lambda: len(announced(bench, lease_id)) == 2, END_SECONDS)
    running = [psutil.Process(process.pid) for process in bench.scripts()]
    assert len(running) >= 2
    bench.server.answers[lease_id] = HeartbeatAnswer.CANCEL
    answered_at = time.monotonic()
    wait_until(lambda: not bench.scripts())
    assert time.monotonic() - answered_at < bench.server.heartbeat_seconds + 3.0
    assert bench.server.results == {}
    wait_until(lambda: not list(bench.state.work.iterdir()), 5)
