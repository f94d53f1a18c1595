"""``xeenet-worker --ephemeral`` as a process: it joins, works, ends, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agent.bench import HANGING
from tests.agent.runs import kill_with_its_guardians, linux_only
from tests.agent.server import AgentServer, error, make_lease, running_server, wait_until
from tests.agent.tasks.bench import SCRIPT
from tests.processes import ROOT
from workers.agent import exits
from workers.agent.processes.process_tree import TAG_VARIABLE
from workers.agent.secrecy import ENROLMENT_VARIABLE, FLEET_VARIABLE, TOKEN_VARIABLE
from workers.protocol import MACHINE_KEY_PATTERN, ErrorCode, Outcome

START_SECONDS = 60.0
JOB = ("--log", "--allow-server-code", "--isolation", "T0")


@pytest.fixture
def server() -> Iterator[AgentServer]:
    with running_server() as running:
        yield running


class Job:
    """A machine on which ephemeral agents start, each with the same scratch folder and home."""

    def __init__(self, root: Path, server: AgentServer) -> None:
        self.scratch, self.home = root / "scratch", root / "home"
        self.scratch.mkdir()
        self.server = server
        self.log = root / "log"
        self.agents: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
        environment = {
            **kept,
            FLEET_VARIABLE: "xf_cluster",
            "TMPDIR": str(self.scratch),
            "XEENET_WORKER_HOME": str(self.home),
            **variables,
        }
        command = [sys.executable, "-m", "tests.agent.program", "--ephemeral"]
        command += ["--server", self.server.url, *JOB, *arguments]
        with self.log.open("ab") as log:
            agent = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log)
        self.agents.append(agent)
        return agent

    def offer_task(self, source: bytes = SCRIPT, **changes: Any) -> str:
        self.server.files[hashlib.sha256(source).hexdigest()] = source
        lease = make_lease(source, **({"time_budget_seconds": 60.0} | changes))
        self.server.leases.append(lease)
        return lease["lease_id"]

    def left(self) -> list[str]:
        """Return the folders in the scratch folder."""
        return [path.name for path in self.scratch.iterdir()]

    def words(self) -> str:
        return self.log.read_text()


SECRETS = (TOKEN_VARIABLE, ENROLMENT_VARIABLE, FLEET_VARIABLE)


@pytest.fixture
def job(tmp_path: Path, server: AgentServer) -> Iterator[Job]:
    job = Job(tmp_path, server)
    yield job
    for agent in job.agents:
        agent.kill()
        agent.wait()


def test_a_job_joins_works_ends_when_idle_and_leaves_only_the_shared_cache(
    job: Job, server: AgentServer
) -> None:
    leases = [job.offer_task(), job.offer_task()]
    agent = job.start("--exit-after-idle", "1", "--max-lifetime", "600")
    assert agent.wait(START_SECONDS) == exits.EXIT_OK, job.words()

    (joined,) = server.calls("workers/enrol")
    assert joined["enrolment_token"] == "xf_cluster"
    assert "name" not in joined
    assert re.fullmatch(MACHINE_KEY_PATTERN, joined["machine_key"])
    assert sorted(server.results) == sorted(leases)
    # Its worker is retired after its results were taken, and nothing is asked afterwards.
    paths = [path for _, path, _ in server.requests]
    assert paths[-1] == "workers/me/leave"
    assert job.left() == []
    kept = {path.relative_to(job.home).parts[0] for path in job.home.rglob("*")}
    assert kept == {"shared"}
    assert len(list((job.home / "shared" / "data").iterdir())) == 1
    assert len(list((job.home / "shared" / "packages").iterdir())) == 1
    assert "joined as 'fleet-1', until this job ends" in job.words()
    assert "isolation T0, ephemeral" in job.words()
    assert "done: nothing ran here for 1 s" in job.words()
    assert "fleet-1 has left" in job.words()

    # The next job finds data set and script.
    job.offer_task()
    fetched = len(server.calls("datasets/")) + len(server.calls("packages/"))
    agent = job.start("--max-tasks", "1")
    assert agent.wait(START_SECONDS) == exits.EXIT_OK
    assert len(server.results) == 3
    assert len(server.calls("datasets/")) + len(server.calls("packages/")) == fetched
    first, second = server.calls("workers/enrol")
    assert first["machine_key"] == second["machine_key"]


def test_a_preempted_job_gives_its_task_back_and_retires_its_worker(
    job: Job, server: AgentServer
) -> None:
    lease_id = job.offer_task(HANGING)
    agent = job.start("--exit-after-idle", "60")
    wait_until(lambda: tagged_processes(job), START_SECONDS)
    tagged = tagged_processes(job)
    agent.send_signal(signal.SIGTERM)
    wait_until(lambda: server.released)
    assert agent.wait(START_SECONDS) == exits.EXIT_OK
    assert server.released == [lease_id]
    assert server.calls("workers/me/leave") == [{}]
    assert job.left() == []
    assert not [process for process in tagged if process.is_running()]


@linux_only
def test_what_a_killed_job_left_is_removed_by_the_next_on_that_machine(
    job: Job, server: AgentServer
) -> None:
    job.offer_task(HANGING)
    agent = job.start()
    wait_until(lambda: tagged_processes(job), START_SECONDS)
    kill_with_its_guardians(agent)
    (left,) = job.left()
    survivors = tagged_processes(job)
    long_ago = time.time() - 3600
    os.utime(job.scratch / left / "lock", (long_ago, long_ago))
    second = job.start("--exit-after-idle", "0.1")
    assert second.wait(START_SECONDS) == exits.EXIT_OK
    assert job.left() == []
    psutil.wait_procs(survivors, START_SECONDS)
    assert not [process for process in survivors if process.is_running()]


def test_a_job_that_fails_says_good_bye_and_leaves_nothing(job: Job, server: AgentServer) -> None:
    server.scripted["leases/claim"] = [error(401, ErrorCode.NOT_AUTHENTICATED)]
    agent = job.start()
    assert agent.wait(START_SECONDS) == exits.EXIT_NOT_AUTHENTICATED
    assert server.calls("workers/me/leave") == [{}]
    assert job.left() == []
    assert "A new job joins again" in job.words()


def test_a_full_fleet_is_waited_for(job: Job, server: AgentServer) -> None:
    full = error(409, ErrorCode.FLEET_FULL, "Its 2 workers live already.", Retry_After="0.7")
    lease_id = job.offer_task()
    server.scripted["workers/enrol"] = [full, full]
    agent = job.start("--max-tasks", "1")
    assert agent.wait(START_SECONDS) == exits.EXIT_OK, job.words()
    assert list(server.results) == [lease_id]
    joins = [at for path, at in server.arrivals if path == "workers/enrol"]
    assert min(later - at for at, later in itertools.pairwise(joins)) >= 0.7
    assert job.words().count("the fleet has no place for it") == 1
    assert "there is a place in the fleet" in job.words()


def test_a_worker_that_a_newer_agent_uses_finishes_delivers_and_does_not_retire_it(
    job: Job, server: AgentServer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = (
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\n"
    )
    lease_id = job.offer_task(waits.encode() + SCRIPT)
    agent = job.start("--slots", "2")
    wait_until(lambda: " runs: " in job.words(), START_SECONDS)
    in_use = error(409, ErrorCode.WORKER_IN_USE, "An agent that started later uses this worker.")
    server.scripted["leases/claim"] = [in_use] * 100
    wait_until(lambda: "a newer agent works with this worker's token" in job.words())
    assert server.results == {}
    assert " · no sandbox · ephemeral · for " in status_of(job)
    gate.touch()
    assert agent.wait(START_SECONDS) == exits.EXIT_WORKER_IN_USE
    assert server.results[lease_id]["outcome"] == Outcome.COMPLETED
    assert server.calls("workers/me/leave") == []
    assert "so this one has ended" in job.words()


def status_of(job: Job) -> str:
    """Return what `xeenet-worker status` says of the agent that runs."""
    (name,) = job.left()
    command = [sys.executable, "-m", "workers.agent", "status"]
    command += ["--state-dir", str(job.scratch / name)]
    return subprocess.check_output(command, cwd=ROOT, text=True)


def tagged_processes(job: Job) -> list[psutil.Process]:
    """Return the living processes of the scripts of this job's agents."""
    ids = [path.read_text() for path in job.scratch.glob("*/agent-id")]
    living = []
    for process in psutil.process_iter():
        try:
            tag = process.environ().get(TAG_VARIABLE, "")
            if process.status() != psutil.STATUS_ZOMBIE and tag.startswith(tuple(ids)):
                living.append(process)
        except (psutil.Error, OSError):
            continue
    return living
