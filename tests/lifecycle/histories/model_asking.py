"""What an outside program does in the model: it asks, and says that it will not ask again."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import ClassVar, Final

from campaigns import lifecycle
from campaigns.lifecycle import WrongState
from campaigns.models import Campaign, CampaignState, TaskState
from tests.lifecycle.histories.model_people import MOST_TASKS
from tests.lifecycle.histories.model_rows import GRACE_SECONDS, LEASE_SECONDS, ModelLease, ModelTask
from workers.models import Worker

# So long after an ask with params the model's campaign does not complete. Shorter than by default,
# so that histories reach it.
ASK_TIMEOUT: Final = 400.0


class AskingVerbs:
    """The verbs of an outside program; `model.Verbs` has the state that they change."""

    campaign: Campaign
    workers: list[Worker]
    tasks: dict[int, ModelTask]
    state: str
    seconds: float
    longest: ClassVar[float]
    asked: float | None
    disabled: set[int]
    now: dt.datetime
    finish: Callable[[], None]
    see: Callable[[Worker], None]

    @property
    def is_expected_to_ask(self) -> bool:
        return self.asked is not None and self.seconds - self.asked < ASK_TIMEOUT

    def ask(self, number: int) -> None:
        worker = self.workers[number % len(self.workers)]
        if len(self.tasks) == MOST_TASKS or worker.pk in self.disabled:
            return
        self.see(worker)
        arguments = {
            "claim_id": uuid.uuid4(),
            "params": {"lr": 0.001 + len(self.tasks) / 10_000, "d_model": 128},
            "now": self.now,
        }
        try:
            answer = lifecycle.ask(worker, self.campaign, **arguments)
        except WrongState:
            return  # nothing changed: the invariants check that
        if not answer.attempts:
            return
        assert self.state in {CampaignState.ACTIVE, CampaignState.COMPLETED}
        (attempt,) = answer.attempts
        deadline = self.seconds + self.longest + GRACE_SECONDS
        lease = ModelLease(attempt, self.seconds + LEASE_SECONDS, deadline)
        self.tasks[attempt.task_id] = ModelTask(
            attempt.task.arm_id, TaskState.LEASED, lease, leases=[lease]
        )
        self.state, self.asked = CampaignState.ACTIVE, self.seconds
        assert lifecycle.ask(worker, self.campaign, **arguments).attempts == answer.attempts

    def say_finish(self, _number: int) -> None:
        may = self.asked is not None and self.state in {CampaignState.ACTIVE, CampaignState.PAUSED}
        try:
            lifecycle.finish(self.campaign, now=self.now)
        except WrongState:
            assert not may
            return
        assert may
        self.asked = None
        self.finish()

    def sweep(self, _number: int) -> None:
        before = self.state
        self.finish()
        completed = before != self.state
        assert lifecycle.finish_done_campaigns(now=self.now) == completed
