"""Processes of an engine: started here, ended here by their ids, never by a name."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.processes import wait_until

END_SECONDS = 20.0


class NotHere(Exception):
    """This machine lacks something; the message says what to install."""


class Daemon:
    """One program of an engine in the foreground, in a session of its own."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, variables: Mapping[str, str]
    ) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def tree(self) -> list[psutil.Process]:
        """Return the daemon and all its descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def stop(self) -> None:
        """End it and its descendants, at first with SIGTERM."""
        tree = self.tree()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        kill_all(tree)
        self.process.wait()

    def kill(self) -> None:
        """Kill it and its descendants at once, as a power cut does."""
        kill_all(self.tree())
        self.process.wait()


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill these processes and all their descendants; those that ended are skipped."""
    doomed: list[psutil.Process] = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            doomed += [process, *process.children(recursive=True)]
    for process in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(doomed, timeout=END_SECONDS)


def need(programs: Iterable[str], how: str) -> None:
    """Raise `NotHere` with ``how`` to install them when one of the programs is missing."""
    if lacking := [program for program in programs if shutil.which(program) is None]:
        raise NotHere(f"{', '.join(lacking)} missing here: {how}")


def ready(condition: Callable[[], bool], what: str, logs: Iterable[Path]) -> None:
    """Wait for an engine's start; fail with the ends of its logs."""
    try:
        wait_until(condition, what, 60.0)
    except AssertionError as error:
        ends = [f"{log.name}: …{log.read_text(errors='replace')[-1500:]}" for log in logs]
        raise AssertionError("\n".join([str(error), *ends])) from error
