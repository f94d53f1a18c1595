"""The short form of ``make chaos``: each fault that reaches further than one process, once.

A PostgreSQL of its own that keeps its word when it is killed, two web servers behind the proxy,
two q-clusters, agents with simulated and with real subprocess runs.
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
    command += ["--agents", "12", "--fleets", "2", "--programs", "0", "--no-scripts"]
    command += ["--pace", "15"]  # about what the agents can do, so that no fault finds them idle
    command += ["--faults", ",".join(sorted(FAULTS)), "--report", str(tmp_path / "report.json")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode == EXIT_UNAVAILABLE:
        pytest.skip(run.stderr)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["lost"], report["doubled"], report["violations"]) == ([], [], [])
    assert {one["kind"]: one["times"] for one in report["recoveries"]} == dict.fromkeys(FAULTS, 1)
    # It happened to something: results came in and went through the proxy.
    assert report["tasks"] >= 50
    assert report["acknowledged"] >= report["tasks"]
