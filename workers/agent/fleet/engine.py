"""What an adapter must know of its engine, and what the agent of a job is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from workers.agent.executables import agent_words
from workers.agent.fleet.demand import Jobs

# An agent ends so long before its engine would end it, so that it delivers and says good-bye.
END_SECONDS: Final = 60


class EngineError(Exception):
    """The engine did not do what it was asked to; the message says why and what to change."""


class Engine(Protocol):
    """A system that runs jobs. Each method raises `EngineError`."""

    def jobs(self) -> Jobs:
        """Return the jobs of this fleet, without those that have ended."""

    def submit(self, count: int) -> str:
        """Submit so many jobs, each one ephemeral agent; return what to tell people of it."""

    def described(self, count: int) -> str:
        """Return what `submit` would do, for people."""


@dataclass(frozen=True)
class AgentStart:
    """How a job starts its agent."""

    server: str
    slots: int
    idle_seconds: int  # without work it ends after these
    lifetime_seconds: int | None  # None: as long as there is work
    program: tuple[str, ...] = ()  # its words; empty: as this very agent was started
    more: tuple[str, ...] = ()  # further options of the agent
    threads: int | None = None  # of each script; None: the agent decides

    def words(self) -> list[str]:
        """Return the command line; the fleet token is never in it."""
        words = [*(self.program or agent_words())]
        words += ["--server", self.server, "--ephemeral", "--no-simulate", "--log"]
        words += ["--slots", str(self.slots), "--exit-after-idle", str(self.idle_seconds)]
        if self.lifetime_seconds is not None:
            words += ["--max-lifetime", str(self.lifetime_seconds)]
        if self.threads is not None:
            words += ["--threads", str(self.threads)]
        return [*words, *self.more]


def one_line(text: str) -> str:
    """Return the last lines of a program's output as one line, for a message."""
    return " ".join(text.split())[-300:]


def threads_for(cpus: float, slots: int) -> int:
    """Return the threads of each script when a job has so many CPUs."""
    return max(1, int(cpus) // slots)
