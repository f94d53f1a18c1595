"""A campaign from launch to leaderboard, with real server, q-cluster, agents and training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.utils import timezone
from django_q.models import Schedule, Success

from campaigns import lifecycle
from campaigns.datasets import store_dataset
from campaigns.lifecycle import CampaignSpec
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    ProgressPoint,
)
from tests.english_like import corpus
from tests.faults.served import running_serve
from tests.processes import ROOT, processes_mentioning, wait_until
from workers import lifecycle as worker_lifecycle
from workers.models import Worker

# Short durations, so that the server notices a lost worker within the test.
SHORT_LEASES = {"XEENET_HEARTBEAT_SECONDS": "1", "XEENET_LEASE_SECONDS": "4"}
# Small models, so that even a busy machine trains some steps in a few seconds.
SMALL_SPACE = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-3, "high": 1e-2, "log": True, "decimals": 6},
        {"name": "d_model", "type": "choice", "values": [32, 64]},
        {"name": "n_heads", "type": "choice", "values": [2]},
        {"name": "lr_schedule", "type": "choice", "values": ["cosine", "linear"]},
        {"name": "n_layers", "type": "choice", "values": [1, 2]},
        {"name": "d_ff", "type": "choice", "values": [64, 128]},
        {"name": "batch_size", "type": "choice", "values": [8, 16]},
        {"name": "context_length", "type": "choice", "values": [64]},
    ],
    "constraints": ["d_model % n_heads == 0"],
}
DONE_SECONDS = 300.0


def seconds_to_import_torch() -> float:
    """Return the seconds that the import takes on this machine, as busy as it is now."""
    started_at = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.monotonic() - started_at


@pytest.fixture
def environment(process_environment: dict[str, str], static_root: Path) -> dict[str, str]:
    """Return the environment of the server's processes: the test's database, short durations."""
    return process_environment | SHORT_LEASES | {"XEENET_STATIC_ROOT": str(static_root)}


@pytest.fixture
def server(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Run `manage.py serve` and yield its URL; check afterwards that no process is left."""
    with running_serve(environment, tmp_path / "serve.log") as served:
        yield served.url


@pytest.fixture
def start_agent(server: str, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Yield a function that enrols a worker with this name and starts its agent."""
    agents: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> subprocess.Popen[bytes]:
        _, token = worker_lifecycle.register(name, now=timezone.now())
        command = [sys.executable, "-m", "workers.agent", "--server", server, "--no-simulate"]
        command += ["--state-dir", str(tmp_path / name), "--threads", "1", "--priority", "normal"]
        with (tmp_path / f"{name}.log").open("wb") as output:
            agent = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"XEENET_WORKER_TOKEN": token},
                stderr=output,
            )
        agents.append(agent)
        return agent

    yield start
    for agent in agents:
        if agent.poll() is None:
            agent.send_signal(signal.SIGTERM)
            agent.wait(30)


@pytest.fixture
def make_campaign(environment: dict[str, str], settings: Any) -> Callable[[int], Campaign]:
    """Return a function that launches a campaign with n small runs on a small text."""
    settings.MEDIA_ROOT = Path(environment["XEENET_HOME"]) / "media"
    # Two scripts that import torch at once and then train some steps fit on a busy machine, too.
    budget_seconds = max(8.0, 5 * seconds_to_import_torch())

    def make(tasks: int) -> Campaign:
        dataset = store_dataset("english_excerpt", corpus()[:100_000])
        spec = CampaignSpec(
            name="end to end",
            experiment="train_char_lm",
            task_count=tasks,
            time_budget_seconds=budget_seconds,
            search_space=SMALL_SPACE,
            dataset=dataset.sha256,
        )
        campaign = lifecycle.create_campaign(spec, owner=None, now=timezone.now())
        lifecycle.launch(campaign, now=timezone.now())
        return campaign

    return make


def is_completed(campaign: Campaign) -> bool:
    campaign.refresh_from_db()
    return campaign.state == CampaignState.COMPLETED


@pytest.mark.long
@pytest.mark.timeout(1000)
def test_trainings_arrive_even_after_a_kill_while_the_q_cluster_does_its_jobs(
    server: str,
    start_agent: Callable[[str], subprocess.Popen[bytes]],
    make_campaign: Callable[[int], Campaign],
    tmp_path: Path,
) -> None:
    """One server for both campaigns: its scheduler looks every 30 seconds, which they wait for."""
    jobs = set(Schedule.objects.values_list("func", flat=True))
    Schedule.objects.update(next_run=timezone.now())
    campaign = make_campaign(3)
    agents = [start_agent("first"), start_agent("second")]
    wait_until(lambda: is_completed(campaign), "three results", DONE_SECONDS)
    check_leaderboard(server, campaign)
    for agent in agents:  # otherwise they would take the next campaign's task
        agent.send_signal(signal.SIGTERM)
        agent.wait(30)

    check_that_a_killed_agents_task_runs_again(start_agent, make_campaign(1), tmp_path)

    assert jobs
    done = Success.objects.filter(func__in=jobs).values_list("func", flat=True)
    wait_until(lambda: set(done.all()) == jobs, "the scheduled jobs", 75.0)


def check_leaderboard(server: str, campaign: Campaign) -> None:
    """Check the three results in the database, on the page and over the API."""
    results = list(campaign.results.ranked().select_related("task"))
    values = [result.value for result in results]
    assert len(set(values)) == 3
    assert all(value is not None and 1.0 < value < 8.0 for value in values)
    assert values == sorted(values)
    assert not any(result.simulated for result in results)
    assert all(result.wall_time_seconds <= campaign.time_budget_seconds for result in results)
    assert all(result.steps_completed > 0 for result in results)
    assert {result.task.seed for result in results} == {42}
    for worker in Worker.objects.all():
        assert worker.last_seen_at is not None
        assert worker.hardware["torch_version"].startswith("2.")

    # Under a time budget the two agents, which have no calibration, are two classes.
    path = f"{campaign.get_absolute_url()}?class=all"
    page = httpx2.get(server + path, timeout=DONE_SECONDS)
    assert page.status_code == 200
    assert f"{values[0]:.4f}" in page.text
    address = f"{server}/api/v1/campaigns/{campaign.pk}/leaderboard?result_class=all"
    reply = httpx2.get(address, timeout=DONE_SECONDS).json()
    assert [row["value"] for row in reply["rows"]] == pytest.approx(values)


def check_that_a_killed_agents_task_runs_again(
    start_agent: Callable[[str], subprocess.Popen[bytes]], campaign: Campaign, tmp_path: Path
) -> None:
    """Kill the agent that runs the campaign's only task; another one must complete it."""
    victim = start_agent("victim")
    attempts = Attempt.objects.filter(task__campaign=campaign)
    # Kill the agent during training. While the sandbox is still being set up, bubblewrap does not
    # yet die with its parent, and its processes would stay until the agent's next start.
    trains = ProgressPoint.objects.filter(attempt__in=attempts)
    wait_until(trains.exists, "a script that trains", DONE_SECONDS)
    victim.kill()
    victim.wait()
    start_agent("heir")
    wait_until(lambda: is_completed(campaign), "the result", DONE_SECONDS)

    first, second = attempts.order_by("number")
    assert (first.worker.name, first.outcome) == ("victim", AttemptOutcome.LOST)
    assert first.failure_class == FailureClass.LOST
    assert (second.worker.name, second.outcome) == ("heir", AttemptOutcome.COMPLETED)
    assert campaign.results.filter(attempt=second).exists()
    assert processes_mentioning(tmp_path / "victim") == []
