"""One trial: a fleet works on a campaign, a node is killed in between, nothing may be lost.

The adapter's own log is read while it works, and becomes the table.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from tests.engines.lab import FleetLab
from tests.processes import ROOT
from workers.agent.connection.client import Client
from workers.protocol import FleetDemand

TASKS_BEFORE_THE_KILL: Final = 5
LEASED_AT_THE_KILL: Final = 3  # of four slots, so that the victim holds at least one
MOST_SECONDS: Final = 480.0
EVERY_SECONDS: Final = 5
ASK_SECONDS: Final = 4.0  # both ask with one token, which may do so 30 times a minute
_ROUND: Final = re.compile(
    r"(\d+) tasks, (\d+) workers wanted, (\d+) live; jobs: (\d+) queued, (\d+) running; "
    r"(?:submitted (\d+)|nothing to submit)"
)
_HEAD: Final = ("second", "tasks left", "wanted", "live", "queued", "running", "submitted")


class Cluster(Protocol):
    """An engine with two nodes on this machine."""

    name: str
    variables: Mapping[str, str]
    folder: Path

    def adapter(self) -> list[str]: ...

    def version(self) -> str: ...

    def kill_node(self) -> str: ...


@dataclass
class Trial:
    """The trial of one engine: rows of its table, and what went wrong."""

    cluster: Cluster
    lab: FleetLab
    tasks: int
    rows: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _started: float = 0.0
    _last: tuple[str, ...] = ()

    def run(self) -> None:
        """Run it, and print its table at its end."""
        token = self.lab.fleet_token(self.cluster.name)
        file = self.cluster.folder / "fleet-token"
        file.touch(mode=0o600)
        file.write_text(token)
        command = [*self.cluster.adapter(), "--server", self.lab.url, "--every", str(EVERY_SECONDS)]
        command += ["--fleet-token-file", str(file), "--exit-after-idle", "10"]
        # A busy machine must not stand in the way of so short a script.
        command += ["--", "--isolation", "T0", "--priority", "normal"]
        home = {"XEENET_WORKER_HOME": str(self.cluster.folder / "agents")}
        self._started = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.cluster.variables, **home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as adapter:
            reader = threading.Thread(target=self._read, args=(adapter,), daemon=True)
            reader.start()
            client = Client(self.lab.url, token)
            try:
                self._watch(client)
            finally:
                client.close()
                adapter.terminate()
                code = adapter.wait(60)
                reader.join()
        if code != 0:
            self.problems.append(f"the adapter ended with {code}")
        self._judge(self.lab.counts())

    def _watch(self, client: Client) -> None:
        """Kill a node when some tasks are done, then wait until all are and no agent lives."""
        try:
            demand = _wait(client, self._may_kill, "tasks before the kill")
            name = self.cluster.kill_node()
            done = self.tasks - demand["claimable"] - demand["leased"]
            self._event(f"{name} killed, {done} of {self.tasks} tasks done")
            _wait(client, lambda now: now["claimable"] + now["leased"] == 0, "the last task")
            self._event(f"all {self.tasks} tasks done")
            _wait(client, lambda now: now["live_workers"] == 0, "the end of the agents")
            self._event("no worker is live any more")
        except AssertionError as error:
            self.problems.append(str(error))

    def _may_kill(self, demand: FleetDemand) -> bool:
        done = self.tasks - demand["claimable"] - demand["leased"]
        return done >= TASKS_BEFORE_THE_KILL and demand["leased"] >= LEASED_AT_THE_KILL

    def _read(self, adapter: subprocess.Popen[str]) -> None:
        assert adapter.stderr is not None
        for line in adapter.stderr:
            if found := _ROUND.search(line):
                figures = tuple(figure or "0" for figure in found.groups())
                if figures != self._last:  # rounds in which nothing changed tell nothing
                    self._row(figures)
                self._last = figures
            else:
                self._event(line.strip())

    def _row(self, figures: tuple[str, ...]) -> None:
        cells = (f"{time.monotonic() - self._started:.0f}", *figures)
        self.rows.append(
            " | ".join(f"{cell:>{len(head)}}" for cell, head in zip(cells, _HEAD, strict=True))
        )
        print(self.rows[-1], flush=True)

    def _event(self, words: str) -> None:
        self.rows.append(f"{time.monotonic() - self._started:>6.0f} | {words}")
        print(self.rows[-1], flush=True)

    def _judge(self, counts: Mapping[str, Any]) -> None:
        # A run that other programs disturbed gets a replay, which is a further task.
        tasks, done = sum(counts["tasks"].values()), counts["tasks"].get("completed", 0)
        if tasks < self.tasks or not tasks == done == counts["tasks_with_result"]:
            self.problems.append(f"of {tasks} tasks {counts['tasks_with_result']} have a result")
        if counts["results"] != counts["tasks_with_result"]:
            self.problems.append("a task has two results")
        if not counts["attempts"].get("lost"):
            self.problems.append("the killed node held no task")
        self.problems += counts["violations"]
        self._event(f"tasks {counts['tasks']} with replays, attempts {counts['attempts']}")
        self._event(f"results {counts['results']}, workers {counts['workers']}")

    def report(self) -> str:
        """Return the table and the verdict."""
        seconds = f"{time.monotonic() - self._started:.0f} s"
        head = f"{self.cluster.version()}, {self.tasks} tasks, a node killed, {seconds}"
        verdict = "; ".join(self.problems) or "0 lost"
        return "\n".join([f"\n{head}: {verdict}", " | ".join(_HEAD), *self.rows])


def _wait(client: Client, condition: Callable[[FleetDemand], bool], what: str) -> FleetDemand:
    """Return the first demand for which the condition holds, asked no more often than allowed."""
    end = time.monotonic() + MOST_SECONDS
    while not condition(demand := client.fleet_demand()):
        assert time.monotonic() < end, f"{what}: not within {MOST_SECONDS:g} s"
        time.sleep(ASK_SECONDS)
    return demand
