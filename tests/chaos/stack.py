"""Web servers behind the proxy, and agents, on the database of a test."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.chaos import history
from tests.chaos.proxy import Proxy, read_acks
from tests.chaos.services import SHORT_TIMES, Fleet, Service, WebServer
from tests.chaos.work import make_workers
from tests.processes import database_environment, free_port, processes_mentioning
from workers.agent.connection.client import Client
from workers.agent.tasks.simulate import simulated_metrics
from workers.protocol import Lease, Outcome, Submission

ENOUGH_SECONDS = 60.0  # for any one thing that a test waits for, on a busy machine


class Stack:
    """The servers, proxy and agents of fault tests; created by `running_stack`."""

    def __init__(self, folder: Path, web_servers: int) -> None:
        self.folder = folder
        self.environment = database_environment(folder / "home") | SHORT_TIMES
        self.media = folder / "home" / "media"
        ports = [free_port() for _ in range(web_servers)]
        self.webs = [
            WebServer(f"web-{number}", port, self.environment, folder)
            for number, port in enumerate(ports)
        ]
        self.acks = folder / "acks.jsonl"
        self.proxy = Proxy(ports, self.acks)
        self._fleets: list[Service] = []
        self._clients: list[Client] = []

    def start_webs(self) -> None:
        """Start all web servers that are not running, and wait until they answer."""
        for web in self.webs:
            web.start()
        for web in self.webs:
            web.wait_until_it_answers()

    def client(self, name: str) -> Client:
        """Enrol a worker and return a client with its token; no agent is started."""
        ((_, token),) = make_workers(name, 1)
        client = Client(self.proxy.url, token)
        self._clients.append(client)
        return client

    def start_fleet(self, name: str, agents: int = 1, **options: Any) -> Fleet:
        """Enrol workers and start their agents in one process."""
        fleet = Fleet(name, self.proxy.url, make_workers(name, agents), self.folder, **options)
        self._fleets.append(fleet)
        fleet.start()
        return fleet

    @contextlib.contextmanager
    def one_test(self, settings: Any) -> Iterator[Self]:
        """Yield itself for one test, then assert that every acknowledged result is stored once."""
        settings.MEDIA_ROOT = self.media
        yield self
        findings = self._tidy()
        assert findings.holds, findings
        assert self.proxy.bad_answers == []

    def _tidy(self) -> history.Findings:
        """Repair the proxy, stop the test's agents, and check the acknowledged results."""
        self.proxy.heal()
        for client in self._clients:
            client.close()
        ended = [fleet.stop() for fleet in self._fleets]
        assert all(ended), "an agent did not end when it was asked to"
        assert processes_mentioning(self.folder / "agents") == []
        self._fleets, self._clients = [], []
        acks = read_acks(self.acks)
        self.acks.write_text("")
        return history.check(acks)

    def stop(self) -> None:
        """Stop all agents and web servers."""
        for client in self._clients:
            client.close()
        for service in [*self._fleets, *self.webs]:
            service.stop()


@contextlib.contextmanager
def running_stack(folder: Path, web_servers: int) -> Iterator[Stack]:
    """Start web servers behind a proxy, and stop them after the block."""
    stack = Stack(folder, web_servers)
    try:
        with stack.proxy:
            stack.start_webs()
            yield stack
    finally:
        stack.stop()


def claim(client: Client, count: int = 1, claim_id: str = "") -> list[Lease]:
    """Claim up to `count` tasks."""
    return client.claim(
        {
            "claim_id": claim_id or str(uuid.uuid4()),
            "boot_id": str(uuid.uuid4()),
            "count": count,
            "simulate": False,
        }
    )["leases"]


def result_of(lease: Lease, **changes: Any) -> Submission:
    """Return the submission of a valid, measured result for a lease."""
    metrics = simulated_metrics(lease) | {"device_used": "cpu", **changes}
    return {
        "outcome": Outcome.COMPLETED,
        "metrics": metrics,
        "wall_time_seconds": 0.1,
        "code_sha256": lease["code_sha256"],
    }
