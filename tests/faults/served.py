"""One whole `manage.py serve`, for tests that use it or kill its processes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import psutil

from tests.processes import ROOT, child_of, free_port, is_alive, processes_mentioning, wait_until

START_SECONDS = 180.0


class Served:
    """One running `serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def answers(self) -> bool:
        """Whether its probe answers with 200."""
        try:
            return httpx2.get(f"{self.url}/healthz", timeout=5.0).status_code == 200
        except httpx2.HTTPError:
            return False

    def child(self, word: str) -> psutil.Process | None:
        """The process that it started with this word in its command; None while there is none."""
        return child_of(self.process.pid, word)

    def below(self, word: str) -> set[int]:
        """The pids of the living processes that this child has started."""
        parent = self.child(word)
        with contextlib.suppress(psutil.Error):
            children = parent.children(recursive=True) if parent else []
            return {child.pid for child in children if is_alive(child.pid)}
        return set()


@contextlib.contextmanager
def running_serve(environment: Mapping[str, str], log: Path, *options: str) -> Iterator[Served]:
    """Start `serve` and wait until it says so; afterwards stop it, and check that nothing is left.

    `environment` names its home, in which no process may be left.
    """
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--no-migrate", "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(
            lambda: "XeeNet serves" in log.read_text() or process.poll() is not None,
            "a page",
            START_SECONDS,
        )
        assert process.poll() is None, log.read_text()
        yield Served(process, port, log)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
        assert processes_mentioning(Path(environment["XEENET_HOME"])) == []
