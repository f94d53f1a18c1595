"""One heartbeat for all leases: renews them, delivers progress and receives stop requests."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from workers.agent.attempt import Attempt, StopReason
from workers.agent.connection.client import Client, RequestRefused, ServerError
from workers.agent.connection.server_errors import fault_of
from workers.agent.delivery.outbox import Outbox
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import PausedBy
from workers.protocol import (
    MAX_LEASES_PER_CLAIM,
    HeartbeatAnswer,
    HeartbeatLease,
    HeartbeatReply,
    HeartbeatRequest,
    LeaseAnswer,
    OwnerPause,
)

_SHORTEST_SECONDS: Final = 0.1
_JITTER: Final = 0.1

log = logging.getLogger("xeenet.heartbeat")


class Heartbeat(threading.Thread):
    """Reports at the server's interval, with jitter, from its start until `stop`.

    The interval counts from the last heartbeat: replies that change it, however often, do not put
    the next heartbeat off for longer than the one told last.

    A lease is reported until the server has taken its result, not only while its script runs: a
    result that waits in the outbox should not lose its lease to another worker.
    """

    def __init__(
        self,
        client: Client,
        boot_id: str,
        outbox: Outbox,
        interval_seconds: float,
        board: StatusBoard | None = None,
        owner_pause: Callable[[], OwnerPause | None] = lambda: None,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._owner_pause = owner_pause
        self._interval_seconds = interval_seconds
        self.worker_state = "active"
        self._client = client
        self._boot_id = boot_id
        self._outbox = outbox
        self._lock = threading.Lock()
        self._running: dict[str, Attempt] = {}
        self._known_lease_ids: set[str] = set()  # of this start; the server tells starts apart
        self._board = board or StatusBoard()
        self._stopping = False
        self._wake = threading.Event()
        self._waits_since = time.monotonic()

    def run(self) -> None:
        """Beat until stopped."""
        self._waits_since = time.monotonic()
        while not self._stopping:
            if self._wake.wait(self._next_wait()):
                self._wake.clear()  # stopped, or a new interval: wait for what is left of it
            else:
                try:
                    self.beat()
                except Exception:  # a bug must not end the renewals
                    log.exception("a heartbeat failed, trying on")
                self._waits_since = time.monotonic()

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wake.set()

    def set_interval(self, seconds: float) -> None:
        """Use the server's interval at once, also for the wait under way."""
        if seconds != self._interval_seconds:
            self._interval_seconds = seconds
            self._wake.set()

    def add(self, attempt: Attempt) -> None:
        """Report this attempt from now on."""
        with self._lock:
            self._running[attempt.lease_id] = attempt
            self._known_lease_ids.add(attempt.lease_id)

    def remove(self, attempt: Attempt) -> None:
        """Stop reporting this attempt, unless its result waits in the outbox."""
        with self._lock:
            self._running.pop(attempt.lease_id, None)

    def beat(self) -> None:
        """Report all leases once; a failure is logged when it begins and when it ends."""
        with self._lock:
            attempts = list(self._running.values())
            waiting = [
                lease_id
                for lease_id in self._outbox.pending_lease_ids()
                if lease_id in self._known_lease_ids and lease_id not in self._running
            ]
        try:
            reply = self._report(attempts, waiting)
        except ServerError as error:
            if isinstance(error, RequestRefused) and error.status == 400:
                # The server cannot read a progress point. Drop them all, otherwise the same
                # points would keep every later heartbeat from renewing the leases.
                for attempt in attempts:
                    attempt.progress.delivered(attempt.progress.pending())
            self._board.trouble(
                "heartbeat", fault_of(error), f"no heartbeat possible, scripts go on: {error}"
            )
            return
        self._board.mended("heartbeat")
        self.set_interval(reply["heartbeat_seconds"])
        state = reply["worker_state"]
        if state != self.worker_state and state != "active":
            self._board.pause(PausedBy.SERVER, f"it set this worker to {state}")
        elif state == "active":
            self._board.resume(PausedBy.SERVER)
        self.worker_state = state

    def flush(self, attempt: Attempt) -> None:
        """Deliver the last progress of an ended run, without a retry.

        A short run may end between two heartbeats.
        """
        if attempt.progress.pending():
            try:
                self._report([attempt], [])
            except ServerError as error:
                log.debug("%s: last progress not delivered: %s", attempt.label, error)

    def _report(self, attempts: list[Attempt], waiting: list[str]) -> HeartbeatReply:
        """Send one heartbeat and pass its answers on to the attempts. Raises `ServerError`."""
        points = {attempt.lease_id: attempt.progress.pending() for attempt in attempts}
        leases: list[HeartbeatLease] = [
            {"lease_id": lease_id, "progress": progress} for lease_id, progress in points.items()
        ]
        free = MAX_LEASES_PER_CLAIM - len(leases)  # the same limit as for a claim
        leases += [{"lease_id": lease_id} for lease_id in waiting[:free]]
        request: HeartbeatRequest = {"boot_id": self._boot_id, "leases": leases}
        if (pause := self._owner_pause()) is not None:
            request["owner_pause"] = pause
        reply = self._client.heartbeat(request, self._interval_seconds)
        by_id = {attempt.lease_id: attempt for attempt in attempts}
        for attempt in attempts:
            attempt.progress.delivered(points[attempt.lease_id])
        for answer in reply["leases"]:
            reported = by_id.get(answer["lease_id"])
            if reported is not None:
                self._pass_on(reported, answer)
        return reply

    def _pass_on(self, attempt: Attempt, answer: LeaseAnswer) -> None:
        """Ask the attempt to stop when the answer says so and its script still runs."""
        with self._lock:
            # The run may have ended while the heartbeat was under way.
            running = attempt.lease_id in self._running
        if not running or answer["answer"] == HeartbeatAnswer.CONTINUE:
            return
        log.debug("%s: %s. %s", attempt.label, answer["answer"], answer["reason"])
        cancelled = answer["answer"] == HeartbeatAnswer.CANCEL
        attempt.stop.request(StopReason.CANCEL if cancelled else StopReason.LOST)

    def _next_wait(self) -> float:
        interval = max(_SHORTEST_SECONDS, self._interval_seconds)
        waited = time.monotonic() - self._waits_since
        return max(0.0, interval * random.uniform(1 - _JITTER, 1 + _JITTER) - waited)
