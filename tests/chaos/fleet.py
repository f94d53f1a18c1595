"""Several real agents in one process: ``python -m tests.chaos.fleet CONFIG.json``.

Loop, heartbeat, runner and outbox are the product's; each agent has its own state folder. Left out
is what `workers.agent.cli` does once per machine: importing torch, which the scripts of these tests
do not need, and enrolling. SIGTERM drains all agents.

The config has ``server``, ``folder`` (for the state folders), ``workers`` (name and token of each),
``simulate`` (default false) and ``slots`` (default 1).
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from workers.agent.connection.client import Client
from workers.agent.delivery.outbox import Outbox
from workers.agent.grants import Grant
from workers.agent.loop import Agent, AgentOptions
from workers.agent.processes.process_tree import adopt_orphans, kill_tagged
from workers.agent.running.hardware import Machine
from workers.agent.state import StateFolder
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.agent.tasks.scripts import CodePolicy

# The runner believes this; the stand-in script needs no torch.
MACHINE = Machine({"torch_version": "0", "devices": ["cpu"]})


def main(config: dict[str, Any]) -> int:
    """Run the agents until SIGTERM; return the highest exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    adopt_orphans()
    with contextlib.ExitStack() as stack:
        agents = [_agent(config, worker, stack) for worker in config["workers"]]

        def drain_all(*_: object) -> None:
            for agent in agents:
                agent.on_sigterm()

        signal.signal(signal.SIGTERM, drain_all)
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda agent=agent: codes.append(agent.run()))
            for agent in agents
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return max(codes)


def _agent(config: dict[str, Any], worker: dict[str, str], stack: contextlib.ExitStack) -> Agent:
    """Create an agent, after cleaning its state folder as the worker program does at its start."""
    state = StateFolder(Path(config["folder"]) / worker["name"])
    stack.enter_context(state.locked())
    kill_tagged(state.tag_prefix)
    state.remove_stale_folders()
    client = Client(config["server"], worker["token"])
    stack.callback(client.close)
    simulate = config.get("simulate", False)
    grant = Grant(threads=1)
    policy = CodePolicy(server_code=True)
    settings = RunnerSettings(simulate=simulate, policy=policy, grant=lambda: grant)
    options = AgentOptions(simulate=simulate, slots=config.get("slots", 1))
    runner = Runner(state, client, MACHINE, settings)
    return Agent(client, Outbox(state.outbox), runner, MACHINE.hardware, options)


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
