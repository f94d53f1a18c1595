"""``manage.py demo``: its data set, its set-up, its verdict, and how it ends."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from campaigns import lifecycle
from campaigns.management import demonstration
from campaigns.models import Campaign, CampaignState, Dataset
from tests import factories
from tests.english_like import corpus
from tests.processes import (
    ROOT,
    child_of,
    free_port,
    processes_mentioning,
    product_environment,
    wait_until,
)
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.tokens import hash_token

# --- User, workers, campaign -------------------------------------------------------------------


@pytest.mark.django_db
def test_the_password_shown_signs_in_and_only_its_hash_is_stored() -> None:
    user, password = demonstration.ensure_user()
    assert Client().login(username=user.username, password=password)
    assert password not in user.password
    again, new_password = demonstration.ensure_user()
    assert again == user
    assert not Client().login(username=user.username, password=password)
    assert Client().login(username=user.username, password=new_password)


@pytest.mark.django_db
def test_a_worker_of_an_earlier_demo_gets_a_new_token_and_may_claim_again() -> None:
    first = demonstration.ensure_worker("demo-agent-1", now=factories.NOW)
    worker = Worker.objects.get()
    worker_lifecycle.pause_after_env_error(worker, "no torch", now=factories.NOW)
    second = demonstration.ensure_worker("demo-agent-1", now=factories.NOW)
    worker.refresh_from_db()
    assert worker.token_hash == hash_token(second) != hash_token(first)
    assert worker.paused_until is None
    worker_lifecycle.disable(worker)
    demonstration.ensure_worker("demo-agent-1", now=factories.NOW)
    worker.refresh_from_db()
    assert worker.state == "active"


@pytest.fixture
def choice() -> demonstration.DatasetChoice:
    dataset = Dataset.objects.create(sha256="ab" * 32, name="text", size_bytes=1000)
    return demonstration.DatasetChoice(dataset, "Data set: a test's.")


@pytest.mark.django_db
def test_each_demo_has_a_campaign_of_its_own_and_pauses_what_was_left_running(
    choice: demonstration.DatasetChoice,
) -> None:
    user, _ = demonstration.ensure_user()
    of_somebody_else = factories.active_campaign()
    for _ in range(2):
        demonstration.pause_leftovers(user, now=factories.NOW)
        demonstration.launch_campaign(
            choice, owner=user, tasks=10, budget_seconds=10.0, now=factories.NOW
        )
    first, second = Campaign.objects.filter(owner=user).order_by("pk")
    assert (first.name, second.name) == ("Demo 1", "Demo 2")
    assert (first.state, second.state) == (CampaignState.PAUSED, CampaignState.ACTIVE)
    assert "a test's" in second.description
    assert (second.base_seed, second.tasks.count()) == (42, 10)
    of_somebody_else.refresh_from_db()
    assert of_somebody_else.state == CampaignState.ACTIVE


@pytest.mark.django_db
def test_the_demo_of_a_race_gives_equal_work_and_keeps_runs_for_the_race(
    choice: demonstration.DatasetChoice,
) -> None:
    user, _ = demonstration.ensure_user()
    campaign = demonstration.launch_campaign(
        choice, owner=user, tasks=30, budget_seconds=3.0, races=True, now=factories.NOW
    )
    assert (campaign.work_amount, campaign.work_unit) == (3.0, "seconds")
    assert (campaign.races_automatically, campaign.kept_runs) == (True, 9)
    assert all(task.max_steps >= 2 for task in campaign.tasks.all())
    assert campaign.arms.count() == campaign.tasks.count() == 21


@pytest.mark.django_db
def test_impossible_numbers_are_refused(choice: demonstration.DatasetChoice) -> None:
    user, _ = demonstration.ensure_user()
    with pytest.raises(CommandError, match="time_budget_seconds"):
        demonstration.launch_campaign(
            choice, owner=user, tasks=1, budget_seconds=1e9, now=factories.NOW
        )


# --- The verdict -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_completed_measured_and_distinct_results_leave_nothing_to_say() -> None:
    campaign = factories.active_campaign(2)
    for value in (3.1, 3.2):
        factories.finish(factories.claim_one(factories.worker()), value)
    assert demonstration.shortcomings(campaign) == []


@pytest.mark.django_db
def test_each_shortcoming_is_named() -> None:
    campaign = factories.active_campaign(5, allow_simulated=True)
    for _ in range(2):
        factories.finish(factories.claim_one(factories.worker()), 3.1)
    diverged = factories.claim_one(factories.worker())
    body = factories.completed(diverged.task, diverged=True)
    assert body["metrics"] is not None
    body["metrics"] |= {"val_bpb": None, "eval_nll_nats": None}
    lifecycle.submit(diverged.worker, diverged.lease_id, body, now=factories.NOW)
    dreamer = factories.claim_one(factories.worker(simulates=True))
    body = factories.completed(dreamer.task, 1.0)
    body["simulated"] = True
    lifecycle.submit(dreamer.worker, dreamer.lease_id, body, now=factories.NOW)
    problems = demonstration.shortcomings(campaign)
    assert len(problems) == 4
    assert problems[0] == "4 of 5 tasks completed (1 pending)"
    assert problems[1].startswith("1 results are simulated")
    assert problems[2].startswith("1 results have no value")
    assert problems[3].startswith("1 results repeat")


@pytest.mark.django_db
def test_invented_values_are_said_first_and_expected_without_torch(
    choice: demonstration.DatasetChoice,
) -> None:
    user, _ = demonstration.ensure_user()
    campaign = demonstration.launch_campaign(
        choice, owner=user, tasks=1, budget_seconds=10.0, simulates=True, now=factories.NOW
    )
    dreamer = factories.claim_one(factories.worker(simulates=True))
    body = factories.completed(dreamer.task, 1.0)
    body["simulated"] = True
    lifecycle.submit(dreamer.worker, dreamer.lease_id, body, now=factories.NOW)
    assert demonstration.shortcomings(campaign, simulates=True) == []
    campaign.refresh_from_db()
    sentence = demonstration.verdict(campaign, now=factories.NOW)
    assert sentence.startswith("All values are invented: this machine has no torch")


# --- The command -------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["tasks", "workers", "budget"])
def test_a_number_of_nothing_is_refused(option: str) -> None:
    with pytest.raises(CommandError, match=f"--{option} must be above 0"):
        call_command("demo", **{option: 0})


def test_production_is_left_alone(settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="only in development"):
        call_command("demo")


def test_a_port_in_use_is_refused_before_anything_is_made() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(CommandError, match="in use"):
            call_command("demo", port=listener.getsockname()[1])


class Demo:
    """The command as a process, in its own installation."""

    def __init__(self, home: Path, static: Path, *arguments: str) -> None:
        self.home = home
        # All demos of this file share the static files, so they are collected once.
        environment = product_environment(home, XEENET_STATIC_ROOT=str(static))
        self.port = free_port()
        self.log = home / "demo.out"
        data = home / "small.txt"
        data.write_bytes(corpus()[:100_000])
        command = [sys.executable, "manage.py", "demo", "--no-open", "--port", str(self.port)]
        command += ["--dataset-file", str(data), *arguments]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str, seconds: float = 90.0) -> None:
        def seen() -> bool:
            return words in self.output or self.process.poll() is not None

        wait_until(seen, f"{words!r} in the demo's output", seconds)
        assert words in self.output, self.output

    def rest(self) -> list[str]:
        """Return the command lines of processes of this installation that still run."""
        return processes_mentioning(self.home)

    def database(self) -> Any:
        return closing(sqlite3.connect(self.home / "xeenet.sqlite3"))


@pytest.fixture
def demos(tmp_path: Path, installation: Path) -> Iterator[Any]:
    """Yield a function that starts a demo; stop all demos after the test.

    With `migrated` the demo starts with a migrated, empty database instead of none.
    """
    started: list[Demo] = []

    def start(*arguments: str, migrated: bool = True) -> Demo:
        home = tmp_path / "home"
        home.mkdir()
        if migrated:
            shutil.copy(installation / "xeenet.sqlite3", home)
        started.append(Demo(home, installation / "static", *arguments))
        return started[-1]

    yield start
    for demo in started:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGTERM)
            demo.process.wait(30)


@pytest.mark.long
@pytest.mark.timeout(500)
def test_the_demo_trains_ranks_and_ends_with_zero_although_its_web_server_dies(demos: Any) -> None:
    # One small task with a large budget, because this machine may be busy with other tests.
    demo = demos("--exit", "--tasks", "1", "--budget", "15", "--workers", "2", migrated=False)
    demo.wait_for(", 1 running", seconds=200)
    server = child_of(demo.process.pid, "granian")
    assert server is not None
    server.kill()
    assert demo.process.wait(200) == 0, demo.output
    assert "The web server ended by itself (killed by signal 9); it starts again" in demo.output
    assert "1/1 done" in demo.output
    assert "Only one arm has a measured value" in demo.output
    assert re.search(r"^ +- +0 +\d\.\d{4} .*screened", demo.output, re.MULTILINE), demo.output
    assert "as demo with" in demo.output
    assert demo.rest() == []
    with demo.database() as database:
        simulated = database.execute("SELECT simulated FROM campaigns_result").fetchall()
    assert simulated == [(0,)]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_ctrl_c_stops_everything_and_leaves_a_campaign_that_says_so(demos: Any) -> None:
    demo = demos("--tasks", "5", "--budget", "60", "--workers", "2")
    demo.wait_for(", 2 running")
    for part in ("granian", "qcluster", "workers.agent", "script.py"):
        assert any(part in line for line in demo.rest()), f"{part} is not among {demo.rest()}"
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0, demo.output
    assert "Stopped: no process of the demo is left." in demo.output
    assert demo.rest() == []
    with demo.database() as database:
        campaign = database.execute("SELECT state, state_reason FROM campaigns_campaign").fetchone()
        outcomes = database.execute("SELECT DISTINCT outcome FROM campaigns_attempt").fetchall()
        states = database.execute("SELECT DISTINCT state FROM campaigns_task").fetchall()
    assert campaign == ("paused", "The demo was stopped.")
    assert outcomes == [("released",)]
    assert states == [("pending",)]
