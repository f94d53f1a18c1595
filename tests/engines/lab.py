"""A real server with a campaign of short tasks, and what it says of its fleet."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.packages.lab import Lab
from tests.processes import ROOT

# A lost agent is noticed within seconds, and its task goes to another machine.
TIMES: Final = {
    "XEENET_HEARTBEAT_SECONDS": "2",
    "XEENET_LEASE_SECONDS": "15",
    "XEENET_IDLE_WAIT_SECONDS": "1",
    "XEENET_OTHER_WORKER_FIRST_SECONDS": "5",
    "XEENET_FLEET_SILENCE_SECONDS": "30",
}
# Two more than the four CPUs of an engine's nodes, so that jobs also wait.
MAX_LIVE: Final = 6
_MAKE_TOKEN: Final = """
import sys, django
django.setup()
from campaigns.clock import database_now
from workers import fleets
_, secret = fleets.create(
    label=sys.argv[1], name_prefix=sys.argv[1], max_live=int(sys.argv[2]), now=database_now()
)
print(secret)
"""
_COUNT: Final = """
import collections, json, django
django.setup()
from campaigns.models import Attempt, Result, Task
from tests import invariants
from workers.models import Worker
print(json.dumps({
    "tasks": collections.Counter(Task.objects.values_list("state", flat=True)),
    "attempts": collections.Counter(Attempt.objects.values_list("outcome", flat=True)),
    "results": Result.objects.count(),
    "tasks_with_result": Result.objects.values("task").distinct().count(),
    "workers": collections.Counter(Worker.objects.values_list("state", flat=True)),
    "violations": invariants.violations(),
}))
"""


class FleetLab(Lab):
    """The server, its fleet token, and what it has stored."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.variables |= TIMES

    def fleet_token(self, prefix: str) -> str:
        """Return a new fleet token, whose workers' names begin with this prefix."""
        return self._python(_MAKE_TOKEN, prefix, str(MAX_LIVE)).strip()

    def counts(self) -> dict[str, Any]:
        """Return tasks, attempts and workers by state, results, and broken invariants."""
        counts: dict[str, Any] = json.loads(self._python(_COUNT))
        return counts

    def _python(self, script: str, *words: str) -> str:
        command = [sys.executable, "-c", script, *words]
        answer = subprocess.run(
            command, cwd=ROOT, env=self.variables, stdout=subprocess.PIPE, text=True, check=True
        )
        return answer.stdout
