"""A real server with a small campaign, for agents that were just installed."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.faults.served import running_serve
from tests.processes import ROOT, product_environment

# Runs that a busy core finishes in a few seconds.
SPACE: Final = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-3, "high": 1e-2, "log": True, "decimals": 6},
        {"name": "d_model", "type": "choice", "values": [32]},
        {"name": "n_heads", "type": "choice", "values": [2]},
        {"name": "lr_schedule", "type": "choice", "values": ["cosine"]},
        {"name": "n_layers", "type": "choice", "values": [1]},
        {"name": "d_ff", "type": "choice", "values": [64]},
        {"name": "batch_size", "type": "choice", "values": [8]},
        {"name": "context_length", "type": "choice", "values": [64]},
    ],
    "constraints": [],
}


class Lab:
    """The server, with the commands that its operator types."""

    def __init__(self, home: Path) -> None:
        self.variables = product_environment(home)
        self.url = ""
        self._home = home

    def manage(self, *words: str) -> str:
        """Run a management command; return what it prints. Raises CalledProcessError."""
        command = [sys.executable, "manage.py", *words]
        answer = subprocess.run(
            command, cwd=ROOT, env=self.variables, stdout=subprocess.PIPE, text=True, check=True
        )
        return answer.stdout

    @contextlib.contextmanager
    def serving(self, tasks: int, budget_seconds: float) -> Iterator[None]:
        """Serve a campaign of so many runs on the corpus that needs no network."""
        space = self._home / "space.json"
        space.write_text(json.dumps(SPACE))
        self.manage("migrate", "-v0")
        words = ["packages", "--tasks", str(tasks), "--budget", f"{budget_seconds:g}", "--launch"]
        words += ["--space", str(space), "--dataset", "english_like", "--no-race"]
        self.manage("create_campaign", *words)
        with running_serve(self.variables, self._home / "serve.log") as served:
            self.url = served.url
            yield

    def token(self, name: str) -> str:
        """Return the token of a new worker."""
        printed = self.manage("enroll_worker", "--direct", "--name", name, "--server", self.url)
        found = re.search(r"\bxw_[\w-]+", printed)
        assert found is not None, printed
        return found[0]

    def results_of(self, name: str) -> list[dict[str, Any]]:
        """Return the measured results of a worker, as the server exports them."""
        rows = map(json.loads, self.manage("export_results", "--format", "jsonl").splitlines())
        return [row for row in rows if row["worker"] == name and row["steps_completed"]]
