"""The first start: what the person pastes, a test of the server, then the agent joins.

The same page says why an agent that had joined has ended, and starts it again. Pure but for the
things that it is given: how a server is tried, and the agent.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from workers.agent.desktop.invitation import read_invitation
from workers.agent.desktop.servers import ServerTest, try_server
from workers.agent.secrecy import ENROLMENT_VARIABLE
from workers.agent.status import words
from workers.agent.status.model import State, Status

_MAX_NAME: Final = 100


class Refused(Exception):
    """What was asked for is not done; the message says why."""


class Joining(Protocol):
    """What of the agent's process the first start needs."""

    @property
    def is_running(self) -> bool:
        """Whether it works on joining."""

    def start(self, words: Sequence[str] = (), secrets: dict[str, str] | None = None) -> None:
        """Start it. Raises OSError."""

    def status(self) -> Status | None:
        """Return what it has told."""

    def address(self) -> str:
        """Return an address of its page; "" while it has none."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""


@dataclass(frozen=True)
class Progress:
    """How far joining is: ``step`` is one of waiting, joining, joined, failed."""

    step: str = "waiting"
    text: str = ""
    address: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it for the page."""
        return {"step": self.step, "text": self.text, "address": self.address}


class FirstStart:
    """What the first page asks for. Thread-safe."""

    def __init__(
        self,
        agent: Joining,
        why_ended: Callable[[], str],
        *,
        attempt: Callable[[Sequence[str]], ServerTest] = try_server,
        host_name: Callable[[], str] = socket.gethostname,
        is_enrolled: bool = False,
    ) -> None:
        self._agent = agent
        self._why_ended = why_ended
        self._attempt = attempt
        self._host_name = host_name
        self._is_enrolled = is_enrolled
        self._lock = threading.Lock()
        self.has_joined = False
        self._tried: set[str] = set()
        self._server = ""

    def begin(self) -> dict[str, Any]:
        """Return what the page shows at once."""
        name = self._host_name()[:64]
        return {"name": name, "is_enrolled": self._is_enrolled, **self.progress().as_dict()}

    def check(self, text: str, server: str) -> dict[str, Any]:
        """Try the server of a pasted text; no token leaves this machine for that."""
        invitation = read_invitation(text, server)
        answer: dict[str, Any] = {"has_token": bool(invitation.token)}
        if not invitation.candidates:
            return {**answer, "server": "", "host": "", "problem": ""}
        test = self._attempt(invitation.candidates)
        if test.server_url:
            self._tried.add(test.server_url)
        host = words.host(test.server_url or invitation.candidates[0])
        return {
            **answer,
            "server": test.server_url,
            "host": host,
            "problem": test.problem,
            "milliseconds": round(test.milliseconds),
            "is_encrypted": test.is_encrypted,
        }

    def join(self, text: str, server: str, name: str) -> dict[str, Any]:
        """Let the agent enrol with the invitation at a server that was tried. Raises `Refused`."""
        invitation, name = read_invitation(text, server), name.strip()
        if not invitation.token:
            raise Refused("There is no invitation in that text: it begins with xe_.")
        if server not in self._tried:  # the invitation goes to nobody else
            raise Refused("Try the server first.")
        if len(name) > _MAX_NAME or not name.isprintable():
            raise Refused(f"A name has at most {_MAX_NAME} letters, in one line.")
        with self._lock:
            if self._agent.is_running:
                raise Refused("It is joining already.")
            self._server = words.host(server)
            options = ["--server", server, *(["--name", name] if name else [])]
            self._agent.start(options, {ENROLMENT_VARIABLE: invitation.token})
        return self.progress().as_dict()

    def again(self) -> dict[str, Any]:
        """Start an agent that has joined once more. Raises `Refused`."""
        with self._lock:
            if not self._is_enrolled or self._agent.is_running:
                raise Refused("There is nothing to start again.")
            self._agent.start()
        return self.progress().as_dict()

    def progress(self) -> Progress:
        """Return how far the agent is."""
        with self._lock:
            if self._agent.exit_code is not None:
                return Progress("failed", self._why_ended())
            if not self._agent.is_running:
                return Progress()
            status = self._agent.status()
            if status is None:
                return Progress("joining", "starts")
            if status.state is State.SETTING_UP and not status.identity.name:
                return Progress("joining", status.setting_up)
            address = self._agent.address()
            if not address:
                return Progress("joining", "opens its page")
            self.has_joined = True
            return Progress("joined", f"joined {self._server}", address)
