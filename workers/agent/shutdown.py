"""How the agent stops: what still goes on after a signal, for how long, and what goes back."""

from __future__ import annotations

import threading
import time
from typing import Final

from workers.agent.delivery.outbox import Outbox
from workers.agent.places import Places
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Fault
from workers.agent.status.words import draining_text

TICK_SECONDS: Final = 0.2  # a signal is noticed within this time
LAST_REQUEST_SECONDS: Final = 2.0  # for a request that is still under way at the end
_STOP_SECONDS: Final = 20.0  # for threads to kill, clean up and release
_STOPPED: Final = "the agent was stopped"
_DELIVERY_SECONDS: Final = 10.0  # for the outbox at the end; the rest stays on disk
_LAST_DELIVERY_SECONDS: Final = 300.0  # where nothing stays, as long as nobody asks it to end


class Shutdown:
    """The signals to stop that one agent got, and what it does at its end because of them.

    Signal handlers must not take locks: they count up two numbers, and the loop reads them every
    tick.
    """

    def __init__(
        self,
        places: Places,
        outbox: Outbox,
        board: StatusBoard,
        *,
        changed: threading.Event,
        drain_seconds: float,
        keeps_results: bool = True,
    ) -> None:
        self.terminations = 0
        self.interruptions = 0
        self._places = places
        self._outbox = outbox
        self._board = board
        self._changed = changed
        self._drain_seconds = drain_seconds
        self._keeps_results = keeps_results  # on disk, for the next start
        self._drain_noticed_at: float | None = None

    def is_draining(self) -> bool:
        """Return whether there was a signal to stop."""
        return self.terminations + self.interruptions > 0

    def _is_at_once(self) -> bool:
        return self.terminations + self.interruptions >= 2

    def gives_up_claim(self) -> bool:
        """Return whether a claim under way has had its last seconds since a signal to stop."""
        if not self.is_draining():
            return False
        self.give_back_waiting()
        if self._is_at_once() or (self.terminations and not self._drain_seconds):
            self._places.ask_to_stop()  # the claim must not delay that
        now = time.monotonic()
        if self._drain_noticed_at is None:
            self._drain_noticed_at = now
        return now - self._drain_noticed_at >= LAST_REQUEST_SECONDS

    def give_back_waiting(self) -> None:
        """Release the tasks that wait for a place."""
        self._places.give_back_waiting(_STOPPED)

    def finish_running(self) -> None:
        """Wait for running tasks while the kind of stop allows it, then stop and release them."""
        if self.is_draining():
            seconds = self._drain_seconds if self.terminations else None
            self._board.draining(draining_text(len(self._places.running), seconds))
        terminated_at: float | None = None
        while not self._places.is_empty:
            if self.terminations and terminated_at is None:
                terminated_at = time.monotonic()
            drained = (
                terminated_at is not None
                and time.monotonic() - terminated_at >= self._drain_seconds
            )
            if drained or self._is_at_once():
                self._board.draining("its tasks go back to the server")
                self._places.stop(_STOP_SECONDS)
                return
            self._changed.wait(TICK_SECONDS)
            self._changed.clear()
            self._places.collect()

    def wait_for_delivery(self) -> None:
        """Give the outbox a few seconds to send what waits in it; tell of what stays.

        Where nothing stays, it gets minutes, unless somebody asks the agent to end.
        """
        began = time.monotonic()
        while self._outbox.pending_lease_ids() and not self._is_at_once():
            is_short = self._keeps_results or self.is_draining()
            seconds = _DELIVERY_SECONDS if is_short else _LAST_DELIVERY_SECONDS
            if time.monotonic() - began >= seconds:
                break
            time.sleep(TICK_SECONDS / 4)
        if waiting := len(self._outbox.pending_lease_ids()):
            words = f"{waiting} result(s) stay on disk and are sent at the next start"
            if not self._keeps_results:
                words = f"{waiting} result(s) could not be sent; their tasks run again elsewhere"
            self._board.trouble("delivery", Fault.NETWORK, words)
