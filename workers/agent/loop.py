"""The agent's main loop: claim, run, submit, and stop without leaving anything behind."""

from __future__ import annotations

import datetime as dt
import logging
import math
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Final

from workers.agent import AGENT_VERSION
from workers.agent.attempt import Attempt
from workers.agent.backoff import Backoff
from workers.agent.connection.client import (
    Abandoned,
    Client,
    RequestRefused,
    ServerUnavailable,
)
from workers.agent.connection.refusals import explain_refusal
from workers.agent.connection.replies import lease_problem
from workers.agent.connection.server_errors import fault_of
from workers.agent.delivery.heartbeat import Heartbeat
from workers.agent.delivery.outbox import Outbox
from workers.agent.ephemeral.lifetime import Lifetime
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK
from workers.agent.limits.limiter import FixedSlots, WorkLimits, give_back, told_to_server
from workers.agent.obstacles import ClaimObstacles
from workers.agent.pauses import Pauses
from workers.agent.places import Places
from workers.agent.shutdown import LAST_REQUEST_SECONDS, TICK_SECONDS, Shutdown
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Fault
from workers.agent.tasks.calibration import Calibrator
from workers.agent.tasks.outcomes import RunOutcome
from workers.agent.tasks.renewal import Renewal
from workers.agent.tasks.runner import Runner
from workers.agent.tasks.scripts import runnable_scripts
from workers.features import Feature
from workers.protocol import (
    MAX_LEASES_PER_CLAIM,
    ClaimReply,
    ClaimRequest,
    Hardware,
    IsolationTier,
)

_DEFAULT_HEARTBEAT_SECONDS: Final = 10.0  # until the first claim returns the server's interval
_REFUSED_WAIT_SECONDS: Final = 60.0

log = logging.getLogger("xeenet.agent")


@dataclass(frozen=True)
class AgentOptions:
    """How long the agent works, on how many tasks at a time, and what it offers the server."""

    slots: int = 1  # where no rules of the owner say how many
    once: bool = False  # end when there is nothing to claim
    max_tasks: int | None = None
    drain_seconds: float = 0.0  # after SIGTERM, how long running scripts may go on
    simulate: bool = False
    isolation: IsolationTier = IsolationTier.T0
    accepts_uploaded_scripts: bool = False
    ephemeral: bool = False  # nothing stays for a next start
    lifetime: Lifetime = field(default_factory=Lifetime)


class Agent:
    """Claims a task for every free place and runs each task in a thread of its own."""

    def __init__(
        self,
        client: Client,
        outbox: Outbox,
        runner: Runner,
        hardware: Hardware,
        options: AgentOptions,
        board: StatusBoard | None = None,
        limits: WorkLimits | None = None,
    ) -> None:
        self.board = board or StatusBoard()
        self.pauses = Pauses(self.board)
        self._client = client
        self._outbox = outbox
        self._runner = runner
        self._hardware = hardware
        self._options = options
        self._limits = limits or FixedSlots(options.slots)
        self._boot_id = str(uuid.uuid4())
        self._claim_id = str(uuid.uuid4())
        self._heartbeat = Heartbeat(
            client,
            self._boot_id,
            outbox,
            _DEFAULT_HEARTBEAT_SECONDS,
            self.board,
            owner_pause=lambda: told_to_server(self._limits.pause, dt.datetime.now(dt.UTC)),
        )
        self._changed = threading.Event()
        self._places = Places(
            runner,
            client,
            outbox,
            self._heartbeat,
            self.board,
            changed=self._changed,
            slots=lambda: self._limits.slots,
            on_outcome=self._pause_after_trouble,
        )
        self._shutdown = Shutdown(
            self._places,
            outbox,
            self.board,
            changed=self._changed,
            drain_seconds=options.drain_seconds,
            keeps_results=not options.ephemeral,
        )
        self._lifetime = options.lifetime
        self._obstacles = ClaimObstacles(runner, outbox, self.board)
        self._calibrator = self._new_calibrator()
        self.renewal: Renewal | None = None  # follows the set-ups of torch, where it may
        self._claim_backoff = Backoff()
        self._next_claim_at = 0.0  # set by the server's waits and refusals
        self._claimed_tasks = 0
        self._exit_code: int | None = None
        self._end_words = ""

    def _new_calibrator(self) -> Calibrator:
        return Calibrator(
            self._client,
            self._runner,
            self._options.isolation,
            is_able=not self._options.simulate,
            stuck_tags=self._obstacles.stuck_tags,
            board=self.board,
        )

    def on_sigterm(self) -> None:
        """Stop claiming; running scripts get ``drain_seconds``."""
        self._shutdown.terminations += 1

    def on_interrupt(self) -> None:
        """Stop claiming and let running tasks finish; the second time, stop them at once."""
        self._shutdown.interruptions += 1

    def drain(self) -> None:
        """Stop claiming and let running tasks finish; asked again, it changes nothing."""
        self._shutdown.interruptions = max(1, self._shutdown.interruptions)

    def stop_now(self) -> None:
        """Stop the running scripts at once and give their tasks back, like a second Ctrl-C."""
        self._shutdown.terminations += 2

    def run(self) -> int:
        """Work until told to stop or nothing is left to do; return the exit code."""
        self.board.setting_up("")
        delivery_stop = threading.Event()
        delivery = threading.Thread(
            target=self._outbox.deliver_until,
            args=(self._client, delivery_stop),
            name="delivery",
            daemon=True,
        )
        delivery.start()
        self._heartbeat.start()
        self._limits.start()
        spares = self._runner.warm.spares
        if spares is not None:
            spares.on_change = lambda why: self.board.identify(cold_because=why)
            self.board.identify(cold_because=spares.why_cold)
        try:
            while not self._is_done():
                self._keep_limits()
                is_paused = self.pauses.hold()
                self._keep_waiting(is_paused=is_paused)
                if not is_paused and self._may_claim():
                    self._claim()
                is_active = self._heartbeat.worker_state == "active" and self._limits.pause is None
                is_idle = self._places.is_empty and not is_paused
                self._calibrator.step(is_active=is_active, is_idle=is_idle)
                self._keep_spares(is_paused=is_paused)
                self._renew(is_idle=is_active and is_idle)
                self._changed.wait(TICK_SECONDS)
                self._changed.clear()
                self._places.collect()
            self._shutdown.give_back_waiting()
            if spares is not None:
                spares.rest()
            self._calibrator.stop()
            self._shutdown.finish_running()
            self._shutdown.wait_for_delivery()
        finally:
            if spares is not None:
                spares.close()
            self._limits.stop()
            self._heartbeat.stop()
            delivery_stop.set()
            self._outbox.wake()
        for thread in (delivery, self._heartbeat):
            thread.join(LAST_REQUEST_SECONDS)
        self.board.stopped(code := self._exit_code or EXIT_OK, self._end_words)
        return code

    def _is_done(self) -> bool:
        if self._shutdown.is_draining() or self._exit_code is not None:
            return True
        if self._is_at_max_tasks() and self._places.is_empty:
            return True
        is_idle = self._places.is_empty and not self._calibrator.keeps_from_claiming
        is_idle = is_idle and not self._outbox.pending_lease_ids()
        if why := self._lifetime.why_over(is_idle=is_idle):
            self._end_words = f"done: {why}"
            if not is_idle:  # what still runs goes back
                self._shutdown.terminations += 1
        return bool(why)

    def _is_at_max_tasks(self) -> bool:
        maximum = self._options.max_tasks
        return maximum is not None and self._claimed_tasks >= maximum

    def _renew(self, *, is_idle: bool) -> None:
        """Take the Python that a set-up has chosen meanwhile, once nothing runs."""
        if self.renewal is None:
            return
        new = self.renewal.step(is_idle=is_idle and not self._calibrator.keeps_from_claiming)
        if new is not None:
            self._runner.equip(new)
            self._hardware = new.hardware
            self._options = replace(
                self._options,
                simulate=bool(new.simulated_because),
                isolation=new.isolation,
                accepts_uploaded_scripts=new.policy.uploaded_scripts,
            )
            self._calibrator = self._new_calibrator()

    def _may_claim(self) -> bool:
        if self._wanted_tasks() <= 0 or self._is_at_max_tasks() or self._room() <= 0:
            return False
        if self._limits.pause is not None:
            return False
        if time.monotonic() < self._next_claim_at:
            return False
        if self._heartbeat.worker_state != "active" or self._calibrator.keeps_from_claiming:
            return False
        if self.renewal is not None and self.renewal.keeps_from_claiming:
            return False
        wait = self._obstacles.wait_seconds()
        if wait is not None:
            self._next_claim_at = time.monotonic() + wait
        return wait is None

    def _wanted_tasks(self) -> int:
        """Return how many tasks to claim: for free places, and for those that are free soon.

        A task is claimed ahead only where it starts warm, and with a server that counts the places
        of a worker.
        """
        free = self._places.free()
        if self._runner.warm.spares is None or Feature.SLOTS not in self._client.heard_features:
            return free
        return max(0, free) + max(0, self._places.soon_free())

    def _room(self) -> float:
        """Return the longest that a task may take which is claimed now, infinite by default."""
        is_ahead = self._wanted_tasks() > self._places.free()
        return self._lifetime.room(self._places.longest_wait() if is_ahead else 0.0)

    def _claim(self) -> None:
        """Ask for tasks for the free places and start what is granted."""
        count = max(1, min(self._wanted_tasks(), MAX_LEASES_PER_CLAIM))
        if self._options.max_tasks is not None:
            count = min(count, self._options.max_tasks - self._claimed_tasks)
        request: ClaimRequest = {
            "claim_id": self._claim_id,
            "boot_id": self._boot_id,
            "count": count,
            "simulate": self._options.simulate,
            "hardware": self._hardware,
            "agent_version": AGENT_VERSION,
            "isolation": self._options.isolation,
            "accepts_uploaded_scripts": self._options.accepts_uploaded_scripts,
            "slots": self._slots(count),
            "calibrates": self._calibrator.offers,
            "scripts": runnable_scripts(),
            "runs_server_code": self._runner.runs_server_code,
        }
        if math.isfinite(room := self._room()):
            request["longest_seconds"] = max(0.0, room)
        try:
            reply = self._client.claim(request, gives_up=self._shutdown.gives_up_claim)
        except Abandoned:
            log.debug("the claim under way was given up; a lease of it would run out by itself")
        except ServerUnavailable as error:
            # Keep the claim_id for the retry: if only the answer was lost, the server sends the
            # same leases again.
            wait = self._claim_backoff.next_wait(error.retry_after_seconds)
            self._next_claim_at = time.monotonic() + wait
            words = f"no answer from {self._client.server_url}, trying on: {error}"
            self.board.trouble("claim", fault_of(error), words)
        except RequestRefused as refused:
            self._claim_id = str(uuid.uuid4())
            self._act_on_refusal(refused)
        else:
            self._claim_id = str(uuid.uuid4())
            self._start_granted(reply, count)

    def _keep_limits(self) -> None:
        """Give back what the owner's rules do not let go on, unless it is done soon."""
        pause = self._limits.pause
        self.pauses.by_rules(pause)
        if pause is not None:
            give_back(self._places.running, pause)

    def _keep_spares(self, *, is_paused: bool) -> None:
        """Have a spare ready for every place that is idle, and for those whose task is ending."""
        spares = self._runner.warm.spares
        if spares is None:
            return
        self._obstacles.stuck_tags |= spares.stuck_tags
        spares.stuck_tags.clear()
        if self._limits.pause is not None or self._heartbeat.worker_state != "active":
            spares.rest()
            return
        is_asking = time.monotonic() >= self._next_claim_at  # a task may be here in a moment
        if (
            is_paused
            or self._calibrator.keeps_from_claiming
            or self._is_at_max_tasks()
            or self._room() <= 0
        ):
            spares.want(0)
            return
        spares.want(*self._places.wanted_spares(is_asking=is_asking))

    def _keep_waiting(self, *, is_paused: bool) -> None:
        """Start what was claimed ahead as soon as it can, or give it back as soon as it cannot."""
        is_stopped = is_paused or self._limits.pause is not None
        if is_stopped or self._heartbeat.worker_state != "active":
            self._claimed_tasks -= self._places.give_back_waiting("this worker was paused")
        self._claimed_tasks -= self._places.give_back_stale()
        if too_long := self._places.give_back_too_long():
            self._claimed_tasks -= too_long
            if Feature.LIFETIMES not in self._client.heard_features:
                self._lifetime.exhaust()  # such a server would hand it out again at once
        self._places.start_waiting()

    def _slots(self, count: int) -> int:
        """Return how many leases the agent can hold, with ``count`` more.

        A result that is not delivered yet keeps its lease, but not its place, and a task that is
        claimed ahead has none yet.
        """
        held = len(self._places.running) + self._places.leases_without_place()
        return min(max(self._limits.slots, held + count), MAX_LEASES_PER_CLAIM)

    def _start_granted(self, reply: ClaimReply, requested: int) -> None:
        self._heartbeat.set_interval(reply["heartbeat_seconds"])
        leases = reply["leases"]
        wait = reply["wait_seconds"] if len(leases) < requested else 0.0
        self._claim_backoff.reset(wait)
        self._next_claim_at = time.monotonic() + wait
        self.board.mended("claim")
        if leases or not self._places.running:  # not when a claim ahead found nothing
            self.board.idle("" if leases else reply["reason"], wait)
        held = self._places.lease_ids() | {*self._outbox.pending_lease_ids()}
        for lease in leases:
            problem = lease_problem(lease)
            if not problem and lease["lease_id"] in held:
                problem = f"the lease {lease['lease_id'][:8]} is here already"
            if problem:
                log.error("a lease of the server cannot be run: %s", problem)
                continue
            held.add(lease["lease_id"])
            self._claimed_tasks += 1
            self._places.take(Attempt(lease, ends_by=self._lifetime.tasks_end_by))
        self._calibrator.take(reply.get("calibrate"), running=self._places.running)
        is_idle = self._places.is_empty and not self._calibrator.keeps_from_claiming
        if self._options.once and not leases and is_idle:
            self._end_words = "nothing to claim: done"
            self._exit_code = EXIT_OK

    def _pause_after_trouble(self, outcome: RunOutcome) -> None:
        """Pause after a failure that is not the task's fault, longer each time in a row."""
        if outcome.stuck_tag:
            self._obstacles.stuck_tags.add(outcome.stuck_tag)
        if outcome.unavailable is not None:
            self.pauses.after_missing_files(outcome.unavailable, outcome.release_reason)
            return
        if not outcome.pause_reason:
            if outcome.submission is not None:
                self.pauses.forget_trouble()
            return
        if self._options.once:
            words = f"this machine cannot run its tasks: {outcome.pause_reason}"
            self.board.trouble("tasks", Fault.MACHINE, words)
            self._end_words = "this machine cannot run its tasks"
            self._exit_code = EXIT_CANNOT_RUN
            return
        self.pauses.after_trouble(outcome.pause_reason)

    def _act_on_refusal(self, refused: RequestRefused) -> None:
        self._next_claim_at = time.monotonic() + _REFUSED_WAIT_SECONDS
        refusal = explain_refusal(
            refused, once=self._options.once, ephemeral=self._options.ephemeral
        )
        self.board.trouble("claim", Fault.SERVER, refusal.words, refusal.advice)
        if refusal.exit_code is not None:
            self._end_words, self._exit_code = refusal.end_words, refusal.exit_code
