"""A simulated fleet: agents that work on all campaigns through the real verbs, on a clock."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from django.test import TestCase

from campaigns import lifecycle
from campaigns.lifecycle.charges import CHARGES
from campaigns.models import Attempt, Campaign
from tests import factories
from tests.factories import at, finish
from workers import lifecycle as worker_lifecycle
from workers.models import Worker

HEARTBEAT_SECONDS, POLL_SECONDS = 15.0, 30.0
FOREVER = float("inf")


@dataclass
class Agent:
    """An agent with so many slots, each of whose runs takes `seconds`."""

    worker: Worker
    slots: int
    seconds: float
    until: float
    runs: list[tuple[float, Attempt]] = field(default_factory=list)
    next_heartbeat: float = 0.0
    next_claim: float = 0.0

    def due(self) -> float:
        """Return when it does something next."""
        claims = self.next_claim if len(self.runs) < self.slots else FOREVER
        due = min([claims, self.next_heartbeat, *(end for end, _ in self.runs)])
        return due if due < self.until else FOREVER

    def act(self, second: float) -> None:
        """Do what is due: deliver results, renew leases, claim."""
        now = at(second)
        worker_lifecycle.see(self.worker, now=now)
        for end, attempt in [run for run in self.runs if run[0] <= second]:
            self.runs.remove((end, attempt))
            finish(attempt, now=now)
            self.next_claim = second
        if self.next_heartbeat <= second:
            self.next_heartbeat = second + HEARTBEAT_SECONDS
            for _, attempt in self.runs:
                lifecycle.renew(self.worker, attempt.lease_id, now=now)
        free = self.slots - len(self.runs)
        if free and self.next_claim <= second:
            # What a claim hands out is charged after its commit.
            with TestCase.captureOnCommitCallbacks(execute=True):
                claim = lifecycle.claim(
                    self.worker, claim_id=uuid.uuid4(), count=free, now=now, slots=self.slots
                )
            CHARGES.fold()
            self.runs += [(second + self.seconds, attempt) for attempt in claim.attempts]
            self.next_claim = second + POLL_SECONDS


@dataclass
class Clock:
    """Agents at work, from one event to the next."""

    agents: list[Agent] = field(default_factory=list)
    seconds: float = 0.0

    def join(self, *, seconds: float, slots: int = 1, until: float = FOREVER) -> Agent:
        """Let an agent begin now."""
        agent = Agent(factories.worker(), slots, seconds, until)
        agent.next_heartbeat = agent.next_claim = self.seconds
        self.agents.append(agent)
        return agent

    def run(self, *, until: float = FOREVER, done: Callable[[], bool] | None = None) -> None:
        """Let the agents work until a second, or until something is done."""
        while (due := min((agent.due() for agent in self.agents), default=FOREVER)) <= until:
            assert due < 100_000, "it never ends"
            self.seconds = due
            for agent in self.agents:
                if agent.due() <= due:
                    agent.act(due)
            if done and done():
                return
        self.seconds = until


def is_done(campaign: Campaign) -> Callable[[], bool]:
    """Return what says whether none of the campaign's tasks is open."""
    return lambda: not campaign.tasks.open().exists()
