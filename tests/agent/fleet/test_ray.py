"""What of `xeenet-worker fleet ray` needs no Ray; `make engines` runs it on a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.fleet.demand_server import FLEET_TOKEN, DemandServer, demand, token_file
from tests.agent.server import wait_until
from tests.processes import ROOT, is_alive
from workers.agent import cli
from workers.agent.exits import EXIT_CANNOT_RUN
from workers.agent.fleet.engine import AgentStart, EngineError
from workers.agent.fleet.ray_actor import run_agent
from workers.agent.fleet.ray_cluster import RayCluster, RayShare

SHOW = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['XEENET_FLEET_TOKEN']]))"


def test_without_ray_it_says_how_to_install_it(
    server: DemandServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.demand = demand(claimable=1)
    words = ["fleet", "ray", "--server", server.url, "--once"]
    assert cli.main([*words, "--fleet-token-file", str(token_file(tmp_path))]) == EXIT_CANNOT_RUN
    assert "Ray is not installed beside this agent" in caplog.text
    assert f"{sys.executable} -m pip install ray" in caplog.text


def test_a_cluster_that_is_not_there_is_named_soon() -> None:
    start = AgentStart("http://127.0.0.1:9", slots=1, idle_seconds=60, lifetime_seconds=None)
    cluster = RayCluster("127.0.0.1:9", "xeenet-1", RayShare(1.0), start, FLEET_TOKEN)
    with pytest.raises(EngineError, match=r"No Ray cluster answers at 127\.0\.0\.1:9"):
        cluster._check_that_somebody_listens()


def test_an_actor_takes_its_share_and_shows_no_token() -> None:
    start = AgentStart("http://127.0.0.1:9", slots=1, idle_seconds=60, lifetime_seconds=None)
    cluster = RayCluster("auto", "xeenet-1", RayShare(2.0, 0.25, 512), start, FLEET_TOKEN)
    described = cluster.described(3)
    assert FLEET_TOKEN not in described
    what = json.loads(described)
    assert what["actors"] == 3
    assert what["options"]["num_gpus"] == 0.25
    assert what["options"]["memory"] == 512 * 1024 * 1024
    assert what["options"]["lifetime"] == "detached"
    assert "--ephemeral" in what["runs"]


def test_the_agent_gets_the_token_in_its_environment_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_agent([sys.executable, "-c", SHOW, "--ephemeral"], FLEET_TOKEN) == 0
    assert json.loads(capfd.readouterr().out) == [["--ephemeral"], FLEET_TOKEN]


PARENT = """
import sys
from workers.agent.fleet.ray_actor import run_agent
run_agent(sys.argv[1:], "xf_x")
"""
CHILD = """
import os, pathlib, signal, sys
place = pathlib.Path(sys.argv[1])
def end(*_):
    place.with_name("ended").touch()
    raise SystemExit
signal.signal(signal.SIGTERM, end)
place.write_text(str(os.getpid()))
place.rename(place.with_name("pid"))
while True:
    signal.pause()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a signal of Linux")
def test_an_agent_gets_sigterm_when_its_actor_is_killed(tmp_path: Path) -> None:
    agent = [sys.executable, "-c", CHILD, str(tmp_path / "new")]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    actor = subprocess.Popen([sys.executable, "-c", PARENT, *agent], env=variables)
    try:
        wait_until((tmp_path / "pid").exists)
    finally:
        actor.send_signal(signal.SIGKILL)
        actor.wait()
    agent_pid = int((tmp_path / "pid").read_text())
    try:
        wait_until((tmp_path / "ended").exists)
        wait_until(lambda: not is_alive(agent_pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent_pid, signal.SIGKILL)
