"""A short ``make chaos``: every fault that affects more than one process, once.

It uses its own PostgreSQL with durability on, two web servers behind the proxy, two q-clusters, and
agents with simulated and with real runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import EXIT_UNAVAILABLE
from tests.processes import ROOT

FAULTS = {
    "PostgreSQL restarted",
    "a web server killed",
    "a q-cluster killed",
    "agents killed",
    "server unreachable",
    "answers lost",
}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_fault_in_turn_loses_and_doubles_nothing_and_the_service_comes_back(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--each-once", "--herd", "0", "--period", "1"]
    command += ["--agents", "8", "--fleets", "2", "--programs", "0", "--no-scripts"]
    command += ["--pace", "8"]  # about as many as the agents can run, so that they are never idle
    command += ["--faults", ",".join(sorted(FAULTS)), "--report", str(tmp_path / "report.json")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode == EXIT_UNAVAILABLE:
        pytest.skip(run.stderr)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["lost"], report["doubled"], report["violations"]) == ([], [], [])
    times = {recovery["kind"]: recovery["times"] for recovery in report["recoveries"]}
    assert times == dict.fromkeys(FAULTS, 1)
    # The faults hit a working system: results were submitted through the proxy.
    assert report["tasks"] >= 50
    assert report["acknowledged"] >= report["tasks"]
