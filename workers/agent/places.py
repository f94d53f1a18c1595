"""The tasks of this agent: those that wait for a place, run, or are over and being handed in.

Where the next task was claimed ahead, it begins as soon as the processes of the last script are
gone. Storing and sending the result, the last progress and the clean-up come afterwards, while the
next script runs already.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import stamina

from workers.agent.attempt import Attempt, StopReason
from workers.agent.connection.client import Client, ServerError, ServerUnavailable
from workers.agent.delivery.heartbeat import Heartbeat
from workers.agent.delivery.outbox import Outbox
from workers.agent.status.board import StatusBoard
from workers.agent.tasks.account import ended_task, running_task
from workers.agent.tasks.outcomes import RunOutcome
from workers.agent.tasks.runner import Runner

# A task is claimed so long before its place is free: its hard deadline counts from the claim.
AHEAD_SECONDS: Final = 10.0
_LONGEST_WAIT_SECONDS: Final = 40.0  # of a claimed task for its place: a run that was killed late

log = logging.getLogger("xeenet.agent")


class Places:
    """Thread-safe. ``on_outcome`` hears how a task ended before its place is free."""

    def __init__(
        self,
        runner: Runner,
        client: Client,
        outbox: Outbox,
        heartbeat: Heartbeat,
        board: StatusBoard,
        *,
        changed: threading.Event,
        slots: Callable[[], int],
        on_outcome: Callable[[RunOutcome], None],
    ) -> None:
        self._runner = runner
        self._client = client
        self._outbox = outbox
        self._heartbeat = heartbeat
        self._board = board
        self._changed = changed
        self._slots = slots
        self._on_outcome = on_outcome
        self._lock = threading.Lock()
        self._running: dict[Attempt, threading.Thread] = {}
        self._over: dict[Attempt, threading.Thread] = {}
        self._waiting: dict[Attempt, float] = {}  # since when, by the monotonic clock
        self._is_closed = False

    @property
    def running(self) -> list[Attempt]:
        """The tasks whose scripts run, or are about to."""
        with self._lock:
            return list(self._running)

    @property
    def waiting(self) -> list[Attempt]:
        """The claimed tasks whose place is not free yet."""
        with self._lock:
            return list(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs, waits, or is being handed in."""
        with self._lock:
            return not (self._running or self._over or self._waiting)

    def free(self) -> int:
        """Return how many places no task has or waits for."""
        with self._lock:
            return self._slots() - len(self._running) - len(self._waiting)

    def soon_free(self) -> int:
        """Return how many more tasks can be claimed because a run is in its last seconds."""
        with self._lock:
            ending = sum(attempt.seconds_left() <= AHEAD_SECONDS for attempt in self._running)
            # The bound of leases: twice the places.
            most = 2 * self._slots() - len(self._running)
            return min(ending, most) - len(self._waiting)

    def wanted_spares(self, *, is_asking: bool) -> tuple[int, Path | None]:
        """Return how many spares to keep, and the data set of the next task, if one waits.

        One for each place whose task is ending, and, unless the server is being asked for a task,
        for each that is idle.
        """
        idle = 0 if is_asking else max(0, self.free())
        ending = sum(attempt.is_finishing() for attempt in self.running)
        next_task = next(iter(self.waiting), None)
        data = None if next_task is None else self._runner.data_of(next_task)
        return min(idle + ending, self._slots()), data

    def longest_wait(self) -> float:
        """Return how long a task that is claimed ahead may have to wait: for runs that end now."""
        with self._lock:
            ending = [run for run in self._running if run.seconds_left() <= AHEAD_SECONDS]
        return max((run.most_seconds_left() for run in ending), default=0.0)

    def lease_ids(self) -> set[str]:
        """Return the leases of all tasks here, apart from what only waits in the outbox."""
        with self._lock:
            attempts = [*self._running, *self._over, *self._waiting]
        return {attempt.lease_id for attempt in attempts}

    def leases_without_place(self) -> int:
        """Return how many leases are held whose script does not run, or no more."""
        with self._lock:
            ids = {attempt.lease_id for attempt in (*self._over, *self._waiting)}
        return len(ids | {*self._outbox.pending_lease_ids()})

    def take(self, attempt: Attempt) -> None:
        """Start a claimed task, or keep it until a place is free."""
        self._heartbeat.add(attempt)
        with self._lock:
            self._waiting[attempt] = time.monotonic()
        self.start_waiting()

    def start_waiting(self) -> None:
        """Start the tasks that wait, as far as places are free and the agent lives long enough."""
        with self._lock:
            while len(self._running) < self._slots() and not self._is_closed:
                fitting = (run for run in self._waiting if not run.may_outlast_agent())
                if (attempt := next(fitting, None)) is None:
                    return
                del self._waiting[attempt]
                self._start(attempt)

    def give_back_waiting(
        self, reason: str, *, which: Callable[[Attempt], bool] = lambda _: True
    ) -> int:
        """Release the tasks that wait, without waiting for the server; return how many."""
        with self._lock:
            attempts = [attempt for attempt in self._waiting if which(attempt)]
            for attempt in attempts:
                del self._waiting[attempt]
                attempt.stop.request(StopReason.DRAIN)
                thread = threading.Thread(
                    target=self._give_back, args=(attempt, reason), name="release", daemon=True
                )
                self._over[attempt] = thread
                thread.start()
        return len(attempts)

    def give_back_stale(self) -> int:
        """Release tasks that waited too long for their place; return how many."""
        with self._lock:
            now = time.monotonic()
            is_stale = any(now - since > _LONGEST_WAIT_SECONDS for since in self._waiting.values())
        return self.give_back_waiting("its place on this worker was not free") if is_stale else 0

    def give_back_too_long(self) -> int:
        """Release tasks that wait and may outlast the agent; return how many."""
        reason = "it may take longer than this agent lives"
        return self.give_back_waiting(reason, which=Attempt.may_outlast_agent)

    def collect(self) -> None:
        """Forget the threads that have ended."""
        with self._lock:
            for threads in (self._running, self._over):
                for attempt in [key for key, thread in threads.items() if not thread.is_alive()]:
                    del threads[attempt]

    def ask_to_stop(self) -> None:
        """Let all scripts be killed and their tasks go back, without waiting for that."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        self.give_back_waiting("the agent was stopped")
        for attempt in running:
            attempt.stop.request(StopReason.DRAIN)
        self._client.abandon_downloads()

    def stop(self, seconds: float) -> None:
        """Stop all scripts, and wait so long for their tasks to be given back."""
        self.ask_to_stop()
        end = time.monotonic() + seconds
        with self._lock:
            threads = [*self._running.values(), *self._over.values()]
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        self.collect()

    def _start(self, attempt: Attempt) -> None:
        """Begin with a task. Call with the lock."""
        self._board.started(running_task(attempt))
        attempt.on_phase = functools.partial(self._board.entered, attempt.lease_id)
        attempt.progress.on_point = functools.partial(self._board.progressed, attempt.lease_id)
        # The thread lives as long as the run: the script's death signal is bound to it.
        thread = threading.Thread(
            target=self._work, args=(attempt,), name=attempt.label, daemon=True
        )
        self._running[attempt] = thread
        thread.start()

    def _work(self, attempt: Attempt) -> None:
        """Run one attempt, then submit its result or release it. The body of a task's thread."""
        outcome, place = self._runner.run_script(attempt)
        self._on_outcome(outcome)  # before another task is claimed or started
        is_fine = outcome.submission is not None and not (outcome.pause_reason or outcome.stuck_tag)
        with self._lock:
            if is_fine and self._waiting:
                self._over[attempt] = self._running.pop(attempt)
        self.start_waiting()
        self._board.ended(ended_task(attempt, outcome))
        failed = outcome.submission is not None and "metrics" not in outcome.submission
        if failed:  # the disk may be full of what the script wrote
            self._runner.clean_up(attempt, place, outcome)
        if outcome.submission is not None:
            self._outbox.put(attempt.lease_id, outcome.submission)
            self._heartbeat.flush(attempt)  # before the result, which ends the lease
        self._heartbeat.remove(attempt)
        self._outbox.wake()
        if outcome.release_reason:
            # Before the clean-up: the machine may be gone in a moment.
            self._release(attempt, outcome.release_reason)
        if not failed:
            self._runner.clean_up(attempt, place, outcome)
        self._changed.set()

    def _give_back(self, attempt: Attempt, reason: str) -> None:
        self._heartbeat.remove(attempt)
        self._release(attempt, reason)
        self._changed.set()

    def _release(self, attempt: Attempt, reason: str) -> None:
        try:
            for retry in stamina.retry_context(on=ServerUnavailable, attempts=3, timeout=5.0):
                with retry:
                    self._client.release(attempt.lease_id, reason)
        except ServerError as error:
            log.warning("%s: not released, its lease will run out: %s", attempt.label, error)
