"""One leased task on this machine, shared by the thread that runs it and the heartbeat."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from workers.agent.grants import Grant
from workers.agent.output.progress import ProgressBuffer
from workers.agent.status.model import Phase
from workers.protocol import Lease

# Lease ids, data-set names and hashes become file names, so they must not lead out of a folder.
SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TRAINING_SHARE: Final = 0.9  # of a time budget; what is left is for the final evaluation
SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")


class StopReason(StrEnum):
    """Why the agent stops a running script."""

    CANCEL = "cancel"  # a person cancelled the task
    LOST = "lost"  # the server ended the lease
    DRAIN = "drain"  # the agent is about to end
    OWNER = "owner"  # the owner's rules want the machine back


class StopRequest:
    """A request to stop a run. The first reason is kept. Thread-safe."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.words = ""  # for people, where the reason alone does not tell
        self._event = threading.Event()

    def request(self, reason: StopReason, words: str = "") -> None:
        """Ask the run to stop because of ``reason``."""
        if self.reason is None:
            self.reason, self.words = reason, words
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds``; return True at once when a stop is requested, otherwise False."""
        return self._event.wait(seconds)

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._event.is_set()


class Attempt:
    """A lease with its state on this machine: time of arrival, stop request and progress."""

    def __init__(self, lease: Lease, *, label: str = "", ends_by: float = math.inf) -> None:
        self.lease = lease
        self._label = label
        self._ends_by = ends_by  # monotonic: the agent itself ends soon after it
        self.lease_id = lease["lease_id"]
        self.stop = StopRequest()
        self.progress = ProgressBuffer()
        self.grant: Grant | None = None  # what it may use; None until it begins
        self.on_phase: Callable[[Phase], None] | None = None
        self._received_at = time.monotonic()
        self._began_at: float | None = None

    @property
    def label(self) -> str:
        """What it is called in the log: by default as on the server's pages, and its lease."""
        return self._label or f"task {self.number} lease {self.lease_id[:8]}"

    @property
    def number(self) -> str:
        """What the task is called on the server's pages: campaign/number."""
        return f"{self.lease['campaign_id']}/{self.lease['task_number']}"

    def enter(self, phase: Phase) -> None:
        """Tell whoever shows this attempt how far it has come."""
        if self.on_phase is not None:
            self.on_phase(phase)

    def begin(self) -> None:
        """Note that the budget runs from now on."""
        self._began_at = time.monotonic()

    def seconds_left(self) -> float:
        """Return how long the run may still take: infinite as long as its budget does not run.

        A work budget ends with its steps, which usually takes a tenth of the time it is allowed.
        """
        if self._began_at is None:
            return math.inf
        spent = time.monotonic() - self._began_at
        left = self.lease["time_budget_seconds"] - spent
        steps = self.lease["config"].get("max_steps")
        done = self.progress.last_step
        if isinstance(steps, int) and done > 0 and steps > 0:
            left = min(left, spent * max(0, steps - done) / done)
        return max(0.0, left)

    def most_seconds_left(self) -> float:
        """Return how long the run may still take if it is killed at last: budget and grace."""
        whole = self.lease["time_budget_seconds"] + self.lease["kill_grace_seconds"]
        spent = 0.0 if self._began_at is None else time.monotonic() - self._began_at
        return max(0.0, whole - spent)

    def may_outlast_agent(self) -> bool:
        """Return whether the agent's own time may be over before the run."""
        return time.monotonic() + self.most_seconds_left() > self._ends_by

    def is_finishing(self) -> bool:
        """Return whether its script only evaluates by now, as far as its steps and budget tell.

        Scripts train for nine tenths of a time budget at most.
        """
        if self._began_at is None:
            return False
        steps = self.lease["config"].get("max_steps")
        if isinstance(steps, int) and self.progress.last_step >= steps > 0:
            return True
        spent = time.monotonic() - self._began_at
        return spent >= _TRAINING_SHARE * self.lease["time_budget_seconds"]

    def seconds_to_deadline(self) -> float:
        """Return the seconds for which the server will still accept a result of this attempt."""
        return self.lease["deadline_seconds"] - (time.monotonic() - self._received_at)
