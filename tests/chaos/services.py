"""Web servers, q-clusters and agents as processes that faults can kill, freeze and restart."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.processes import ROOT
from workers.protocol import API_PREFIX, ME_PATH
from xeenet_site.running.processes import Child

START_SECONDS = 60.0  # importing Django takes its time on a busy machine
# Short durations for tests: the server notices a lost worker within seconds.
SHORT_TIMES = {
    "XEENET_HEARTBEAT_SECONDS": "0.5",
    "XEENET_LEASE_SECONDS": "3",
    "XEENET_IDLE_WAIT_SECONDS": "0.5",
    "XEENET_OTHER_WORKER_FIRST_SECONDS": "0.5",
    "XEENET_SETUP_GRACE_SECONDS": "20",
    "XEENET_KILL_GRACE_SECONDS": "2",
    "XEENET_SUBMIT_GRACE_SECONDS": "60",
    "XEENET_WORKER_PAUSE_SECONDS": "1",
}


class Service:
    """One command that can be started several times; each start has its own log file.

    It runs in its own session, so `kill` and `freeze` reach its whole process group. No process of
    a killed q-cluster can keep running beside the next one.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.environment = dict(environment)
        self._command = list(command)
        self._folder = folder
        self._starts = 0
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process that leads the group, or None if it is not running."""
        return self._child.pid if self._child and self._child.is_running else None

    def start(self) -> None:
        """Start the command unless it is running."""
        if self.pid is not None:
            return
        self._collect()
        self._starts += 1
        log = self._folder / f"{self.name}-{self._starts}.log"
        self._child = Child(self.name, self._command, self.environment, log)

    def kill(self) -> None:
        """Send SIGKILL to the whole process group and all other descendants."""
        self._collect()

    def freeze(self) -> None:
        """Send SIGSTOP to the whole process group."""
        self._signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT to the whole process group."""
        self._signal_group(signal.SIGCONT)

    def stop(self, patience_seconds: float = 20.0) -> bool:
        """Send SIGTERM and wait, then SIGKILL; return whether the command ended by itself."""
        if self._child is None:
            return True
        self.thaw()
        self._child.terminate()
        end = time.monotonic() + patience_seconds
        while (is_running := self._child.is_running) and time.monotonic() < end:
            time.sleep(0.05)
        self._collect()
        return not is_running

    def last_log(self) -> str:
        """Return the output of the latest start."""
        return (self._folder / f"{self.name}-{self._starts}.log").read_text(errors="replace")

    def log_text(self) -> str:
        """Return the output of all starts."""
        files = sorted(
            self._folder.glob(f"{self.name}-*.log"), key=lambda path: path.stat().st_mtime
        )
        return "".join(path.read_text(errors="replace") for path in files)

    def _signal_group(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _collect(self) -> None:
        if self._child is not None:
            self._child.kill_and_collect()
            self._child = None


class WebServer(Service):
    """granian serving the site, on a port of the loopback address."""

    def __init__(self, name: str, port: int, environment: Mapping[str, str], folder: Path) -> None:
        from xeenet_site.running.serving import web_command  # once Django is set up

        super().__init__(name, web_command("127.0.0.1", port), environment, folder)
        self.port = port

    def answers(self) -> bool:
        """Whether the API answers, with whatever status."""
        return ask_status(self.port) is not None

    def wait_until_it_answers(self) -> None:
        """Wait until the API answers; raise AssertionError with the log if it does not."""
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self.pid is not None, f"{self.name} ended:\n{self.log_text()}"
            assert time.monotonic() < end, f"{self.name} does not answer:\n{self.log_text()}"
            time.sleep(0.05)


class QCluster(Service):
    """The background jobs: the master and all its children."""

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path) -> None:
        from xeenet_site.running.serving import cluster_command  # once Django is set up

        super().__init__(name, cluster_command(), environment, folder)


class Fleet(Service):
    """Several agents in one process; see `tests.chaos.fleet`."""

    def __init__(
        self,
        name: str,
        server_url: str,
        workers: Sequence[tuple[str, str]],
        folder: Path,
        **options: Any,
    ) -> None:
        self.worker_names = [worker for worker, _ in workers]
        self.state_folders = [folder / "agents" / worker for worker in self.worker_names]
        config = folder / f"{name}.json"
        config.write_text(
            json.dumps(
                {
                    "server": server_url,
                    "folder": str(folder / "agents"),
                    "workers": [{"name": worker, "token": token} for worker, token in workers],
                    **options,
                }
            )
        )
        command = [sys.executable, "-m", "tests.chaos.fleet", str(config)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        super().__init__(name, command, environment, folder)

    def waiting_results(self) -> int:
        """Return the number of results in the outboxes of its agents."""
        return sum(len(list(state.glob("outbox/*.json"))) for state in self.state_folders)


class WorkerProgram(Fleet):
    """The worker program as a volunteer starts it, running real scripts in subprocesses."""

    def __init__(self, name: str, server_url: str, token: str, folder: Path) -> None:
        super().__init__(name, server_url, [(name, token)], folder)
        state_folder = self.state_folders[0]
        state_folder.mkdir(parents=True, exist_ok=True)
        self._command = [sys.executable, "-m", "workers.agent", "--server", server_url]
        self._command += ["--state-dir", str(state_folder), "--allow-server-code"]
        self._command += ["--threads", "1", "--priority", "normal", "--no-simulate"]
        self.environment["XEENET_WORKER_TOKEN"] = token


def ask_status(port: int, token: str = "", timeout_seconds: float = 2.0) -> int | None:
    """Send one cheap request that reads and writes the database; return its status, or None.

    Without a token, the server refuses the request before it uses the database.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    headers = {"Connection": "close"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request("GET", API_PREFIX + ME_PATH, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
