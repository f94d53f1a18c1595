"""Helpers that run hostile scripts as the agent does: at T0, and in the T1 sandbox."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from workers.agent.attempt import StopRequest
from workers.agent.output.progress import ProgressBuffer
from workers.agent.processes.enclosure import best_enclosure
from workers.agent.processes.guarded import Enclosure, EnclosureKind
from workers.agent.processes.process_tree import TAG_VARIABLE
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Execution, Limits, execute
from workers.agent.running.sandbox import Sandbox, SandboxUnavailable, find_sandbox
from workers.protocol import IsolationTier


def _seconds_to_start() -> float:
    """Return the seconds in which this machine, as busy as it is now, starts a script."""
    started_at = time.monotonic()
    subprocess.run([sys.executable, "-c", "import pathlib, signal"], check=True)
    return time.monotonic() - started_at


# Within its budget a script must start and start its children, even on a busy machine.
BUDGET_SECONDS = max(0.9, 6 * _seconds_to_start())
GRACE_SECONDS = 0.6
MIB = 1024 * 1024

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux adopts orphans")
in_both_tiers = pytest.mark.parametrize("tier", list(IsolationTier))

# Every process announces itself by a file, so that the test knows that it really ran.
ANNOUNCE = """
import os, pathlib, signal, sys, time
def announce():
    pathlib.Path(str(os.getpid())).touch()
"""
IGNORE_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
DETACH = """
def detach(command=None):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            announce()
            if command is not None:
                os.execve(command[0], command, {})
            time.sleep(20)
        os._exit(0)
    os.wait()
"""


def script(*parts: str) -> str:
    return "".join(textwrap.dedent(part) for part in (ANNOUNCE, *parts))


@functools.cache
def find_working_sandbox() -> Sandbox | str:
    """Return this machine's sandbox, or the reason why it has none."""
    with tempfile.TemporaryDirectory() as name:
        try:
            return find_sandbox(Path(name), Path(name), f"test/{uuid.uuid4()}")
        except SandboxUnavailable as problem:
            return str(problem)


def working_sandbox() -> Sandbox:
    """Return this machine's sandbox; skip the test where it has none that works."""
    sandbox = find_working_sandbox()
    if isinstance(sandbox, str):
        assert "does not hold" not in sandbox, sandbox  # bubblewrap runs, but with a hole
        pytest.skip(f"isolation T1 not tested: {sandbox}")
    return sandbox


class Run:
    """One script, executed in its own folder under its own tag."""

    def __init__(
        self,
        folder: Path,
        source: str,
        tier: IsolationTier = IsolationTier.T0,
        enclosure: Enclosure | None = None,
    ) -> None:
        self.folder = folder
        self.enclosure = enclosure or best_enclosure()
        self.tag = f"test/{uuid.uuid4()}"
        self.stop = StopRequest()
        self.progress = ProgressBuffer()
        self.script = folder / "script.py"
        self.script.write_text(textwrap.dedent(source))
        self.sandbox = None if tier is IsolationTier.T0 else working_sandbox()

    def execute(self, **limits: Any) -> Execution:
        settings = {
            "time_budget_seconds": BUDGET_SECONDS,
            "kill_grace_seconds": GRACE_SECONDS,
            "memory_bytes": 4096 * MIB,
        }
        command = [sys.executable, "-u", str(self.script)]
        if self.sandbox is not None:
            command = self.sandbox.wrap(command, folder=self.folder)
        return execute(
            command,
            tag=self.tag,
            environment=script_environment(self.folder, self.folder),
            folder=self.folder,
            limits=Limits(**(settings | limits)),
            stop=self.stop,
            progress=self.progress,
            sandboxed=self.sandbox is not None,
            enclosure=self.enclosure,
        )

    def announced(self) -> int:
        """Return how many processes of the script have announced themselves."""
        return len(list(self.folder.glob("[0-9]*")))

    def leftovers(self) -> list[psutil.Process]:
        """Return the living processes of this run: tagged, announced, or in its sandbox.

        A process id announced inside a sandbox or a namespace means nothing outside. Processes of a
        sandbox are recognised by their mounts, which they share, others by their folder.
        """
        inside = self.sandbox or self.enclosure.kind is EnclosureKind.NAMESPACE
        pids = set() if inside else {int(path.name) for path in self.folder.glob("[0-9]*")}
        living = []
        for process in psutil.process_iter():
            try:
                belongs = process.environ().get(TAG_VARIABLE) == self.tag or process.pid in pids
                if self.sandbox and not belongs:
                    mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
                    belongs = str(self.folder) in mounts
                belongs = belongs or process.cwd() == str(self.folder)
                if belongs and process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process)
            except (psutil.Error, OSError):
                continue
        return living


def kill_with_its_guardians(agent: subprocess.Popen[bytes]) -> None:
    """Kill an agent and the processes that would clean up after it."""
    guardians = psutil.Process(agent.pid).children()
    for guardian in guardians:
        guardian.suspend()
    agent.kill()
    agent.wait()
    for guardian in guardians:
        guardian.kill()


class MemorySampler:
    """Measures the largest growth of this process's memory while the block runs."""

    def __init__(self) -> None:
        self.growth_bytes = 0
        self._stop = threading.Event()
        self._process = psutil.Process()
        self._before = 0
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._before = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.01):
            growth = self._process.memory_info().rss - self._before
            self.growth_bytes = max(self.growth_bytes, growth)
