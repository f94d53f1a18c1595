"""An agent with a server of its own, for the tests of its loop, and scripts that it can run."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.agent.server import WORKER_TOKEN, AgentServer, make_lease
from tests.agent.tasks.bench import MACHINE, SCRIPT, SERVER_CODE
from workers.agent.connection.client import Client
from workers.agent.delivery.outbox import Outbox
from workers.agent.grants import Grant
from workers.agent.loop import Agent, AgentOptions
from workers.agent.processes.process_tree import TAG_VARIABLE
from workers.agent.state import StateFolder
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.protocol import Lease

HANGING = b"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
REPORTING = (
    b"import sys, time\n"
    b"for n in range(3):\n"
    b'    print(\'{"event": "progress", "elapsed_seconds": 0.1, "step": %d}\' % n,'
    b" file=sys.stderr, flush=True)\n"
)


class Bench:
    """An agent with its server; `running` runs it in a thread."""

    def __init__(self, root: Path, server: AgentServer) -> None:
        self.server = server
        self.state = StateFolder(root / "state")
        self.token = WORKER_TOKEN
        self.outbox = Outbox(self.state.outbox)

    def offer_task(self, source: bytes = SCRIPT, **changes: Any) -> str:
        """Add a task to the server; return its lease id."""
        self.server.files[hashlib.sha256(source).hexdigest()] = source
        lease: Lease = make_lease(source, **({"time_budget_seconds": 20.0} | changes))
        self.server.leases.append(lease)
        return lease["lease_id"]

    def agent(self, client: Client, **options: Any) -> Agent:
        settings = RunnerSettings(policy=SERVER_CODE, grant=lambda: Grant(memory_bytes=2**32))
        runner = Runner(self.state, client, MACHINE, settings)
        hardware = MACHINE.hardware
        return Agent(client, self.outbox, runner, hardware, AgentOptions(**options))

    def run(self, **options: Any) -> int:
        """Run an agent until it ends by itself; return its exit code."""
        with self.running(**options) as run:
            pass
        return run.exit_code

    @contextmanager
    def running(self, **options: Any) -> Iterator[RunningAgent]:
        """Run an agent in a thread during the block, and wait for its end after the block."""
        client = Client(self.server.url, self.token)
        run = RunningAgent(self.agent(client, **options))
        run.thread.start()
        try:
            yield run
        except BaseException:
            run.agent.on_sigterm()
            raise
        finally:
            run.thread.join(60)
            client.close()
        assert not run.thread.is_alive()

    def scripts(self) -> list[psutil.Process]:
        """Return the living processes of this agent's runs."""
        living = []
        for process in psutil.process_iter():
            try:
                tag = process.environ().get(TAG_VARIABLE, "")
                alive = process.status() != psutil.STATUS_ZOMBIE
            except (psutil.Error, OSError):
                continue
            if alive and tag.startswith(self.state.tag_prefix):
                living.append(process)
        return living


class RunningAgent:
    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.exit_code = -1
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.exit_code = self.agent.run()
