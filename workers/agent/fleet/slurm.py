"""Slurm: arrays of jobs by ``sbatch``, counted by ``squeue`` under one job name."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.agent.fleet.demand import Jobs
from workers.agent.fleet.engine import AgentStart, EngineError, one_line
from workers.agent.secrecy import SECRET_VARIABLES

CALL_SECONDS: Final = 60.0
# A cluster refuses arrays above its MaxArraySize, 1001 by default; the next round submits more.
MOST_PER_ARRAY: Final = 500
# The states of squeue that need no word: a job in another one has its place in the queue already.
_RUNNING: Final = frozenset({"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING"})
_ENDED: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "COMPLETING",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)


@dataclass(frozen=True)
class SlurmJob:
    """What each job of the array asks Slurm for."""

    name: str
    cpus: int
    minutes: int  # time limit
    gpus: int = 0
    memory_mib: int | None = None
    partition: str = ""
    account: str = ""
    output: str = ""
    more: tuple[str, ...] = ()  # further options of sbatch

    def options(self, count: int) -> list[str]:
        """Return the options of ``sbatch`` for so many jobs."""
        words = [f"--job-name={self.name}", f"--array=1-{count}", "--ntasks=1", "--no-requeue"]
        words += [f"--cpus-per-task={self.cpus}", f"--time={self.minutes}"]
        if self.gpus:
            words.append(f"--gres=gpu:{self.gpus}")
        if self.memory_mib is not None:
            words.append(f"--mem={self.memory_mib}M")
        for option in ("partition", "account", "output"):
            if value := getattr(self, option):
                words.append(f"--{option}={value}")
        return [*words, *self.more]


class Slurm:
    """The cluster as its commands show it.

    ``token_file`` and ``folder`` must be there under the same path on the nodes, as on the shared
    home of most clusters.
    """

    def __init__(self, job: SlurmJob, start: AgentStart, token_file: Path, folder: Path) -> None:
        self._job = job
        self._start = start
        self._token_file = token_file
        self._folder = folder

    def jobs(self) -> Jobs:
        """Return how many jobs of this name wait and run. Raises `EngineError`."""
        words = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}"]
        printed = _call([*words, f"--name={self._job.name}", "--format=%T"])
        states = [line.strip() for line in printed.splitlines() if line.strip()]
        running = sum(state in _RUNNING for state in states)
        ended = sum(state in _ENDED for state in states)
        return Jobs(queued=len(states) - running - ended, running=running)

    def submit(self, count: int) -> str:
        """Submit an array; return its id. Raises `EngineError`.

        After a timeout nobody knows whether Slurm took it: the next round counts.
        """
        words = ["sbatch", "--parsable", *self._job.options(count)]
        printed = _call(words, self.script())
        return f"job {printed.strip().partition(';')[0]}"

    def described(self, count: int) -> str:
        """Return the command and the script that it reads."""
        command = shlex.join(["sbatch", *self._job.options(count)])
        return f"{command} <<'EOF'\n{self.script()}EOF"

    def script(self) -> str:
        """Return the job's script. The token stays in its file."""
        words = [*self._start.words(), "--fleet-token-file", str(self._token_file)]
        return (
            f"#!/bin/sh\ncd {shlex.quote(str(self._folder))} || exit 1\nexec {shlex.join(words)}\n"
        )


def _call(words: Sequence[str], script: str = "") -> str:
    """Return what a command of Slurm prints. Raises `EngineError`."""
    try:
        answer = subprocess.run(
            words,
            input=script,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CALL_SECONDS,
            env=_environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise EngineError(
            f"There is no {words[0]} here: start this on a machine where Slurm's commands are "
            "installed, a login node for example."
        ) from error
    except OSError as error:
        raise EngineError(f"{words[0]} cannot be started: {error}.") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{words[0]} did not answer within {CALL_SECONDS:.0f} s.") from error
    if answer.returncode:
        why = one_line(answer.stderr or answer.stdout) or "it gave no reason"
        raise EngineError(f"{words[0]} refused (status {answer.returncode}): {why}")
    return answer.stdout


def _environment() -> Mapping[str, str]:
    """Return this environment without secrets: ``sbatch`` hands it on to every job."""
    return {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
