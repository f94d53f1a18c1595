"""The attempts at tasks, one row for each lease, and the learning curve of an attempt."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from campaigns.models.states import HEX_SHA256_LENGTH, AttemptOutcome, FailureClass
from workers.models import Worker
from workers.protocol import INFRASTRUCTURE_FAILURES

# The condition of `AttemptQuerySet.unpaid`.
UNPAID = Q(outcome__in=[AttemptOutcome.RELEASED, AttemptOutcome.LOST, AttemptOutcome.LATE]) | Q(
    outcome=AttemptOutcome.FAILED, failure_class__in=INFRASTRUCTURE_FAILURES
)

# A failure that is charged to the task.
FAILED = Q(outcome=AttemptOutcome.FAILED) & ~Q(failure_class__in=INFRASTRUCTURE_FAILURES)


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """Queries that several lists share."""

    def unpaid(self) -> AttemptQuerySet:
        """Return the tries that were not charged to the task as its failure.

        The worker gave the task back, lost it (and perhaps came back too late), or could not run
        it.
        """
        return self.filter(UNPAID)

    def losses(self) -> AttemptQuerySet:
        """Return the tries whose worker lost the task, also those that it answered too late."""
        return self.filter(
            Q(outcome__in=[AttemptOutcome.LOST, AttemptOutcome.LATE])
            | Q(outcome=AttemptOutcome.FAILED, failure_class=FailureClass.LOST)
        )

    def of_claim(self, worker: Any, claim_id: Any) -> AttemptQuerySet:
        """Return the attempts that this claim of the worker, given by its id, got."""
        # Not null: for the index, which leaves out the attempts from before it.
        return self.filter(worker=worker, claim_id=claim_id, ordinal__isnull=False)

    def brief(self) -> AttemptQuerySet:
        """Leave out the script's stderr and the agent's submission: large, and shown by no list."""
        return self.defer("stderr_tail", "submission", "answer")


class Attempt(models.Model):
    """One worker's try at a task: one row per lease."""

    task = models.ForeignKey("campaigns.Task", on_delete=models.CASCADE, related_name="attempts")
    # Not a small integer: releases and losses are free, so a task may have any number of attempts.
    number = models.PositiveIntegerField(help_text="From 1.")
    lease_id = models.UUIDField(unique=True)
    claim_id = models.UUIDField(help_text="The agent's id of the claim; a repeat finds it.")
    # Its place among the attempts that the claim got, from 0; null in attempts that had ended when
    # this was added.
    ordinal = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    worker = models.ForeignKey(Worker, on_delete=models.PROTECT, related_name="attempts")
    started_at = models.DateTimeField()
    # What the run may take: the campaign's budget, or the guard of its work on this worker.
    time_budget_seconds = models.FloatField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(
        max_length=16, choices=AttemptOutcome, default=AttemptOutcome.RUNNING
    )
    failure_class = models.CharField(max_length=20, choices=FailureClass, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    stderr_tail = models.TextField(blank=True)
    wall_time_seconds = models.FloatField(null=True, blank=True)
    # The submission as received, and its digest: the same body again gets the stored `answer`.
    submission = models.JSONField(null=True, blank=True)
    submission_digest = models.CharField(max_length=HEX_SHA256_LENGTH, blank=True)
    answer = models.JSONField(null=True, blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["task_id", "number"]
        indexes: ClassVar = [
            models.Index(fields=["worker", "-started_at"], name="attempt_by_worker"),
            # Finds the newest failures for a log without reading the attempts that went well.
            models.Index(
                fields=["-ended_at", "-id"],
                name="attempt_went_wrong",
                condition=Q(outcome__in=["failed", "lost"]),
            ),
            # Finds what was too much work for a worker; every claim asks.
            models.Index(
                fields=["worker"],
                name="attempt_too_slow",
                condition=Q(failure_class="too_slow"),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="attempt_outcome_known", condition=Q(outcome__in=AttemptOutcome.values)
            ),
            models.CheckConstraint(
                name="attempt_ended_unless_running",
                condition=Q(outcome="running", ended_at__isnull=True)
                | (~Q(outcome="running") & Q(ended_at__isnull=False)),
            ),
            models.UniqueConstraint(
                fields=["task"], condition=Q(outcome="running"), name="attempt_one_live_per_task"
            ),
            models.UniqueConstraint(fields=["task", "number"], name="attempt_number_once"),
            # Two repetitions of one claim at once cannot both get tasks. Finds a claim's attempts.
            models.UniqueConstraint(
                fields=["worker", "claim_id", "ordinal"],
                name="attempt_of_claim_once",
                condition=Q(ordinal__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of task {self.task.name} by {self.worker}"

    @property
    def budget_seconds(self) -> float:
        """What the run may take; attempts from before work budgets have the campaign's."""
        if self.time_budget_seconds is None:
            return self.task.campaign.time_budget_seconds
        return self.time_budget_seconds

    @property
    def config(self) -> dict[str, object]:
        """The config that this attempt's script reads."""
        return self.task.config | {"time_budget_seconds": self.budget_seconds}


class ProgressPoint(models.Model):
    """One progress line of a running script: a point of the learning curve."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="progress")
    seq = models.PositiveIntegerField()
    elapsed_seconds = models.FloatField()
    step = models.PositiveBigIntegerField()
    tokens = models.PositiveBigIntegerField(null=True, blank=True)
    train_loss = models.FloatField(null=True, blank=True)
    # Estimated on a small sample during training; the leaderboard ranks the result's own value.
    value = models.FloatField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["attempt_id", "seq"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["attempt", "seq"], name="progress_point_once"),
        ]

    def __str__(self) -> str:
        return f"step {self.step}: {self.value}"
