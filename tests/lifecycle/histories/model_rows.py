"""What the model of the lifecycle knows about a task and about each of its leases."""

from __future__ import annotations

from dataclasses import dataclass, field

from campaigns import lifecycle
from campaigns.models import Attempt, AttemptOutcome, TaskState
from workers.protocol import Submission

MAX_LOST, MAX_FAILED = 3, 2
LEASE_SECONDS, BUDGET_SECONDS = 45.0, 100.0
# What comes to the budget, from the claim to the deadline: set-up, kill and submission.
GRACE_SECONDS = 60 + 15 + 60


@dataclass(eq=False)  # compare by identity: two leases with equal fields are different leases
class ModelLease:
    """What the model knows about a lease. Times are seconds from the start of the history."""

    attempt: Attempt
    expires: float
    deadline: float
    outcome: str = AttemptOutcome.RUNNING
    sent: Submission | None = None
    answer: lifecycle.Answer | None = None

    @property
    def failure_class(self) -> str:
        return "" if self.sent is None else str(self.sent.get("failure_class") or "")

    @property
    def is_loss(self) -> bool:
        """Whether its worker lost the task, also when it came back too late."""
        is_lost_failure = self.outcome == AttemptOutcome.FAILED and self.failure_class == "lost"
        return self.outcome in {AttemptOutcome.LOST, AttemptOutcome.LATE} or is_lost_failure

    @property
    def is_unpaid(self) -> bool:
        """Whether the try ended without being charged to the task as its failure."""
        free = {"env_error", "too_slow"}
        is_trouble = self.outcome == AttemptOutcome.FAILED and self.failure_class in free
        return self.is_loss or is_trouble or self.outcome == AttemptOutcome.RELEASED


@dataclass
class ModelTask:
    """What the model knows about a task."""

    arm: int
    state: str = TaskState.PENDING
    holder: ModelLease | None = None
    winner: ModelLease | None = None
    lost: int = 0
    failed: int = 0
    max_lost: int = MAX_LOST
    max_failed: int = MAX_FAILED
    leases: list[ModelLease] = field(default_factory=list)

    def unpaid_tries_of(self, worker_id: int) -> int:
        """How often the worker had the task for nothing."""
        return sum(lease.is_unpaid for lease in self.of_worker(worker_id))

    def was_failed_by(self, worker_id: int) -> bool:
        """Whether a failure of the worker was charged to the task."""
        return any(
            lease.outcome == AttemptOutcome.FAILED and lease.failure_class == "script_error"
            for lease in self.of_worker(worker_id)
        )

    def of_worker(self, worker_id: int) -> list[ModelLease]:
        """The leases of this task that the worker had."""
        return [lease for lease in self.leases if lease.attempt.worker_id == worker_id]
