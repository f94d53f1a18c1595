"""A Ray cluster on this machine: a head and a second node, from a venv made for it."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.engines.nodes import Daemon, NotHere, ready
from tests.engines.tools import venv_with
from tests.processes import ROOT, free_port

RAY: Final = "ray==2.60.0"
# What the adapter itself needs in Ray's Python; the agents run with the checkout's.
NEEDS: Final = ("h11", "httpx2", "psutil", "stamina")
CPUS: Final = 2  # of each node; Ray counts them, nothing binds them
# Ray gives ports from 10002 on to its workers.
_WORKER_PORTS: Final = ("--min-worker-port=0", "--max-worker-port=0")


class RayOnThisMachine:
    """The two nodes of one cluster."""

    name = "ray"

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self._python = python
        self._port = free_port()
        self._nodes: list[Daemon] = []
        self.variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            # An unreadable memory limit of a container must not end actors.
            "RAY_memory_monitor_refresh_ms": "0",
        }

    def adapter(self) -> list[str]:
        """Return the words that start the adapter, without its options."""
        agent = shlex.join([sys.executable, "-m", "workers.agent"])
        words = [str(self._python), "-m", "workers.agent", "fleet", "ray", "--agent", agent]
        return [*words, "--address", f"127.0.0.1:{self._port}"]

    def version(self) -> str:
        command = [self._python, "-c", "import ray; print('ray', ray.__version__)"]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def kill_node(self) -> str:
        """Kill the second node with all that runs on it; return its name."""
        self._nodes.pop().kill()
        return "the second node"

    def start(self) -> None:
        place = f"--temp-dir={self.folder / 'r'}"
        head = ("--head", f"--port={self._port}", "--include-dashboard=false", place)
        self._start("head", *head)
        log = self._nodes[0].log
        ready(lambda: "block forever" in log.read_text(), "the head runs", [log])
        self._start("second", f"--address=127.0.0.1:{self._port}")
        log = self._nodes[1].log
        ready(lambda: "block forever" in log.read_text(), "the second node runs", [log])

    def stop(self) -> None:
        for node in reversed(self._nodes):
            node.stop()

    def _start(self, name: str, *options: str) -> None:
        ray = [str(self._python.with_name("ray")), "start", "--block", f"--num-cpus={CPUS}"]
        command = [*ray, *_WORKER_PORTS, *options]
        self._nodes.append(Daemon(name, command, self.folder, self.variables))


@contextlib.contextmanager
def ray_cluster(folder: Path, python: Path | None) -> Iterator[RayOnThisMachine]:
    """Start a cluster, and stop it after the block. Raises `NotHere`.

    ``python`` has Ray and what the adapter needs; None: a venv is made for it.
    """
    folder.mkdir()
    if python is None:
        python = venv_with(folder / "venv", RAY, *NEEDS)
    if not python.with_name("ray").exists():
        raise NotHere(f"{python} has no Ray beside it")
    cluster = RayOnThisMachine(folder, python)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
