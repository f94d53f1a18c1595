"""Ephemeral agents and the real server: one worker a machine, which comes back with each job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from campaigns.models import CampaignState, Task, TaskState
from tests import factories
from tests.processes import ROOT, wait_until
from workers import fleets
from workers.agent import exits
from workers.agent.secrecy import ENROLMENT_VARIABLE, FLEET_VARIABLE, TOKEN_VARIABLE
from workers.models import FleetToken, Worker, WorkerState

START_SECONDS = 60.0


def start(url: str, token: str, root: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start an ephemeral agent that invents its results."""
    root.mkdir(exist_ok=True)
    environment = {
        **{key: os.environ[key] for key in os.environ if key not in OTHER_TOKENS},
        FLEET_VARIABLE: token,
        "TMPDIR": str(root),
        "XEENET_WORKER_HOME": str(root / "home"),
    }
    command = [sys.executable, "-m", "tests.agent.program", "--ephemeral", "--server", url]
    command += ["--log", "--isolation", "T0", "--simulate", *options]
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def new_token() -> tuple[FleetToken, str]:
    """Return a fleet token for one live worker, with its secret."""
    return fleets.create(label="a cluster", name_prefix="cluster", max_live=1, now=timezone.now())


OTHER_TOKENS = (TOKEN_VARIABLE, ENROLMENT_VARIABLE)


@pytest.mark.django_db(transaction=True)
def test_the_jobs_of_a_machine_are_one_worker_one_after_the_other(
    live_server: LiveServer, tmp_path: Path
) -> None:
    _, secret = new_token()
    campaign = factories.active_campaign(3, allow_simulated=True)
    first = start(live_server.url, secret, tmp_path / "a", "--max-tasks", "1")
    assert first.wait(START_SECONDS) == exits.EXIT_OK
    worker = Worker.objects.get()
    assert (worker.state, worker.name.startswith("cluster-")) == (WorkerState.RETIRED, True)

    second = start(live_server.url, secret, tmp_path / "b")
    wait_until(
        lambda: not campaign.tasks.exclude(state=TaskState.COMPLETED).exists(),
        "all results",
        START_SECONDS,
    )
    # While it waits for work the fleet is full.
    third = start(live_server.url, secret, tmp_path / "c", "--exit-after-idle", "0.5")
    assert third.wait(START_SECONDS) == exits.EXIT_OK
    assert Worker.objects.get().state == WorkerState.ACTIVE
    second.send_signal(signal.SIGTERM)
    assert second.wait(START_SECONDS) == exits.EXIT_OK

    assert Worker.objects.get() == worker  # the same row
    worker.refresh_from_db()
    assert worker.state == WorkerState.RETIRED
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED
    assert {task.worker_id for task in Task.objects.all()} <= {worker.pk, None}
    assert worker.attempts.count() == 3
    assert not list(tmp_path.glob("*/xeenet-*"))


@pytest.mark.django_db(transaction=True)
def test_a_revoked_token_lets_no_job_in(live_server: LiveServer, tmp_path: Path) -> None:
    token, secret = new_token()
    fleets.revoke(token, now=timezone.now())
    agent = start(live_server.url, secret, tmp_path / "a")
    assert agent.wait(START_SECONDS) == exits.EXIT_NOT_AUTHENTICATED
    assert not Worker.objects.exists()
