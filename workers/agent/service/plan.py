"""What a service consists of on each system: files, commands, and what a person must know. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Final

from workers.agent.service.program import Program

DEFAULT_NAME: Final = "xeenet-worker"
# In each file that is written, so that nobody takes a person's own file for one of ours.
MARK: Final = (
    "Written by `xeenet-worker service install`; `xeenet-worker service remove` takes it away."
)
# A service has nobody who looks; what the agent does is in its status and history.
STOP_SECONDS: Final = 60


class ServiceError(Exception):
    """The service cannot be installed or removed; the message says why and what to do."""


class Kind(StrEnum):
    """Who starts the agent."""

    SYSTEMD = "systemd"
    LAUNCHD = "launchd"
    STARTUP = "startup"  # the folder of what Windows starts when a person signs in


@dataclass(frozen=True)
class Request:
    """What is to be installed, for whom."""

    kind: Kind
    program: Program
    state: PurePath
    home: PurePath
    user: str
    uid: int = 0
    name: str = DEFAULT_NAME
    options: tuple[str, ...] = ()  # of the agent, in addition
    drain_seconds: float = 0.0  # those of the options
    presence: bool = True  # also a helper in the person's session, where a service needs one
    hardened: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def agent_words(self) -> tuple[str, ...]:
        """The agent's whole command line."""
        return (*self.program.words, "--log", *self.state_words, *self.options)

    @property
    def state_words(self) -> tuple[str, ...]:
        """The state folder, named: a service may see other variables than this shell."""
        return ("--state-dir", str(self.state))

    @property
    def stop_seconds(self) -> int:
        """How long the agent has to give its tasks back, after what its scripts may still do."""
        return STOP_SECONDS + int(self.drain_seconds + 0.999)


@dataclass(frozen=True)
class PlannedFile:
    """A file with its whole content."""

    path: PurePath
    text: str
    newline: str = "\n"


@dataclass(frozen=True)
class Command:
    """A command, and whether the rest means nothing without it."""

    words: tuple[str, ...]
    needed: bool = True


@dataclass(frozen=True)
class Plan:
    """Everything that `install` makes and `remove` undoes."""

    kind: Kind
    name: str
    files: tuple[PlannedFile, ...]
    start: tuple[Command, ...]
    restart: tuple[Command, ...]  # instead of `start`, where a file has changed
    stop: tuple[Command, ...]  # before the files are removed
    after: tuple[Command, ...] = ()  # once they are
    notes: tuple[str, ...] = ()
    asks_linger: bool = False


def plan_for(request: Request) -> Plan:
    """Return the plan for this system. Raises `ServiceError` for what no file can say."""
    from workers.agent.service import launchd, startup, systemd

    for word in (*request.agent_words, str(request.program.folder), str(request.home)):
        if not word.isprintable():
            raise ServiceError(f"{word!r} has a control character, which no service file can name.")
    makers = {
        Kind.SYSTEMD: systemd.plan,
        Kind.LAUNCHD: launchd.plan,
        Kind.STARTUP: startup.plan,
    }
    return makers[request.kind](request)
