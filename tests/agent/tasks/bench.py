"""A runner with a server of its own, for the tests that run tasks, and scripts that it can run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.server import TEXT, WORKER_TOKEN, AgentServer, make_lease, running_server
from workers.agent.attempt import Attempt
from workers.agent.connection.client import Client
from workers.agent.grants import Grant
from workers.agent.running.hardware import Machine
from workers.agent.state import StateFolder
from workers.agent.tasks.outcomes import RunOutcome
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import FailureClass, Outcome

MACHINE = Machine({"torch_version": "2.13.0", "devices": ["cpu"]})
SERVER_CODE = CodePolicy(server_code=True)
TEXT_SHA256 = hashlib.sha256(TEXT).hexdigest()

# Prints a sound result line that also contains what the script saw.
SCRIPT = b"""
import json, os, pathlib, sys
config = json.loads(pathlib.Path(sys.argv[2]).read_text())
pathlib.Path("left_behind").mkdir(mode=0o000)
print("to stderr", file=sys.stderr)
print(json.dumps({
    "val_bpb": 2.0, "train_loss": 1.0, "steps_completed": 1, "wall_time_seconds": 0.1,
    "device_used": "cpu", "model_params": 1, "eval_nll_nats": 138.62943611198907,
    "eval_bytes": 100, "eval_tokens": 100, "tokens_trained": 1, "seed": config["seed"],
    "dataset_sha256": config["dataset_sha256"], "stop_reason": "time",
    "config": config, "environment": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(),
}))
"""

# A script whose prepare step writes the data set.
PREPARING_SCRIPT = (
    f"""
import os, pathlib, sys
if sys.argv[1] == "--prepare":
    name = "hamlet-{TEXT_SHA256[:12]}.txt"
    pathlib.Path(os.environ["XEENET_DATA_DIR"], name).write_bytes({TEXT!r})
    sys.exit(0)
""".encode()
    + SCRIPT
)


class Bench:
    """A runner with its server and state folder."""

    def __init__(self, root: Path, server: AgentServer) -> None:
        self.server = server
        self.state = StateFolder(root / "state")
        self.client = Client(server.url, WORKER_TOKEN)

    def run(self, attempt: Attempt, machine: Machine = MACHINE, **settings: Any) -> RunOutcome:
        grant = Grant(**({"memory_bytes": 2**32} | settings.pop("grant", {})))
        settings = {"policy": SERVER_CODE, "grant": lambda: grant} | settings
        runner = Runner(self.state, self.client, machine, RunnerSettings(**settings))
        return runner.run(attempt)

    def attempt(self, source: bytes = SCRIPT, **changes: Any) -> Attempt:
        """Return an attempt on ``source``, which the server holds, with a generous budget."""
        self.server.files[hashlib.sha256(source).hexdigest()] = source
        return Attempt(make_lease(source, **({"time_budget_seconds": 20.0} | changes)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        bench = Bench(tmp_path, server)
        yield bench
        bench.client.close()


def failure_of(outcome: RunOutcome) -> tuple[FailureClass | None, str]:
    assert outcome.submission is not None
    assert outcome.submission["outcome"] is Outcome.FAILED
    return outcome.submission.get("failure_class"), outcome.submission["message"]


def metrics_of(outcome: RunOutcome) -> dict[str, Any]:
    assert outcome.submission is not None
    assert outcome.submission["outcome"] is Outcome.COMPLETED, outcome.submission
    metrics = outcome.submission["metrics"]
    assert metrics is not None
    return metrics
