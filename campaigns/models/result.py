"""The result of a task."""

from __future__ import annotations

from typing import ClassVar, Final

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from campaigns.models.arm import Arm
from campaigns.models.attempt import Attempt
from campaigns.models.campaign import Campaign
from campaigns.models.classes import ResultClass
from campaigns.models.states import MAX_LOSS
from campaigns.models.task import Task
from experiments.metrics import MAX_MAGNITUDE

# Set-up that takes a larger share of a time budget is its worker's trouble.
SETUP_SHARE: Final = 0.3


class ResultQuerySet(models.QuerySet["Result"]):
    """What may be ranked, and in which order."""

    def ranked(self) -> ResultQuerySet:
        """Measured results with a value, best first: a total order, so pages never overlap."""
        return self.filter(is_ranked=True).order_by("sort_key", "created_at", "id")


class Result(models.Model):
    """The accepted metrics of a task: the one number and what it was measured with."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="result")
    attempt = models.OneToOneField(Attempt, on_delete=models.CASCADE, related_name="result")
    # A copy of task.campaign, so that the leaderboard reads a single index.
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="results")
    # A copy of task.arm, so that the board of arms reads a single index.
    arm = models.ForeignKey(Arm, on_delete=models.CASCADE, related_name="+")
    # With which results it may stand in one order; null for what was not measured. Classes are
    # never removed, so the indexes below suffice.
    result_class = models.ForeignKey(
        ResultClass,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="results",
        db_index=False,
    )
    # In the unit of the campaign's metric.
    value = models.FloatField(null=True, blank=True)
    # The value, or its negative where more is better: the smaller, the better, for any metric.
    sort_key = models.FloatField(null=True, blank=True, editable=False)
    # False for what was not measured (simulated), has no value (diverged, budget too small), or is
    # implausible.
    is_ranked = models.BooleanField()
    # Of the first task of its arm: a copy of the task's purpose, for the board of arms.
    is_screening = models.BooleanField(default=False)
    # Better than models reach on this data set; an operator can admit it, which ranks it.
    implausible = models.BooleanField(default=False)
    admitted_at = models.DateTimeField(null=True, blank=True)
    admitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    diverged = models.BooleanField(default=False)
    simulated = models.BooleanField(default=False)
    train_loss = models.FloatField(null=True, blank=True)
    eval_nll_nats = models.FloatField(null=True, blank=True)
    eval_bytes = models.PositiveBigIntegerField()
    eval_tokens = models.PositiveBigIntegerField()
    # The whole validation split did not fit in the budget; a fixed subset was evaluated.
    eval_is_subset = models.BooleanField(default=False)
    steps_completed = models.PositiveBigIntegerField()
    tokens_trained = models.PositiveBigIntegerField()
    model_params = models.PositiveBigIntegerField()
    wall_time_seconds = models.FloatField()
    # Training time per step, without set-up and evaluation; null when the script does not tell.
    step_seconds = models.FloatField(null=True, blank=True)
    # What a step of its config takes on its worker otherwise; null: unknown.
    expected_step_seconds = models.FloatField(null=True, blank=True)
    # Cores that other programs used meanwhile, on average; null from agents that cannot tell.
    foreign_load = models.FloatField(null=True, blank=True)
    # Whether its steps took much longer than they should on its worker; null: unknown.
    disturbed = models.BooleanField(null=True, blank=True)
    # Whether its set-up took too much of a time budget; null: unknown, or under a work budget.
    slow_setup = models.BooleanField(null=True, blank=True)
    device_used = models.CharField(max_length=100)
    stop_reason = models.CharField(max_length=50)
    # The script's whole result line: also threads, dtype, torch version, memory, and keys to come.
    metrics = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    objects = ResultQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["campaign", "sort_key", "created_at", "id"],
                name="result_ranked",
                condition=Q(is_ranked=True),
            ),
            # The board of arms that never raced.
            models.Index(
                fields=["campaign", "sort_key", "created_at", "id"],
                name="result_screened",
                condition=Q(is_ranked=True, is_screening=True),
            ),
            models.Index(fields=["campaign", "created_at", "id"], name="result_by_time"),
            # How many results of each class a campaign has.
            models.Index(
                fields=["campaign", "result_class"],
                name="result_of_class",
                condition=Q(is_ranked=True),
            ),
            # The further runs of a class, from which its noise is estimated.
            models.Index(
                fields=["result_class", "-created_at"],
                name="result_repeated",
                condition=Q(is_ranked=True, is_screening=False),
            ),
            # The runs without a value, which lists count for each campaign.
            models.Index(
                fields=["campaign"], name="result_without_value", condition=Q(value__isnull=True)
            ),
            # The default order, of all campaigns together: the admin's first page.
            models.Index(fields=["-created_at", "-id"], name="result_newest"),
        ]
        constraints: ClassVar = [
            # Keeps out infinity and NaN, whatever the metric: PostgreSQL sorts NaN above all
            # numbers, SQLite stores it as NULL. The metric's own bounds are checked in code.
            models.CheckConstraint(
                name="result_value_finite",
                condition=Q(value__isnull=True)
                | Q(value__gte=-MAX_MAGNITUDE, value__lte=MAX_MAGNITUDE),
            ),
            # Without the checks for null an unknown comparison would satisfy the constraint.
            models.CheckConstraint(
                name="result_sort_key_of_value",
                condition=Q(value__isnull=True, sort_key__isnull=True)
                | Q(
                    Q(sort_key=F("value")) | Q(sort_key=-F("value")),
                    value__isnull=False,
                    sort_key__isnull=False,
                ),
            ),
            models.CheckConstraint(
                name="result_ranked_was_measured",
                condition=Q(is_ranked=False)
                | Q(value__isnull=False, simulated=False, diverged=False),
            ),
            models.CheckConstraint(
                name="result_implausible_unranked",
                condition=Q(implausible=False)
                | Q(is_ranked=False, value__isnull=False, simulated=False, diverged=False),
            ),
            models.CheckConstraint(
                name="result_speed_sane",
                condition=(
                    Q(step_seconds__isnull=True) | Q(step_seconds__gt=0, step_seconds__lt=1e9)
                )
                & (Q(foreign_load__isnull=True) | Q(foreign_load__gte=0, foreign_load__lt=1e6)),
            ),
            # Whoever says that a run was disturbed, or not, says by which expectation.
            models.CheckConstraint(
                name="result_disturbed_by_expectation",
                condition=(
                    Q(expected_step_seconds__isnull=True)
                    | Q(expected_step_seconds__gt=0, expected_step_seconds__lt=1e9)
                )
                & (
                    Q(disturbed__isnull=True)
                    | Q(step_seconds__isnull=False, expected_step_seconds__isnull=False)
                ),
            ),
            models.CheckConstraint(
                name="result_slow_setup_measured",
                condition=Q(slow_setup__isnull=True) | Q(simulated=False),
            ),
            # Also keeps out infinity and NaN, like the bound of the value.
            models.CheckConstraint(
                name="result_train_loss_sane",
                condition=Q(train_loss__isnull=True)
                | Q(train_loss__gte=-MAX_LOSS, train_loss__lte=MAX_LOSS),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task}: {self.value}"

    @property
    def disturbance(self) -> str:
        """What disturbed the run, in a sentence without a full stop; "" when nothing is known."""
        if not self.disturbed or not self.step_seconds or not self.expected_step_seconds:
            return ""
        ratio = self.step_seconds / self.expected_step_seconds
        text = f"disturbed: steps took {ratio:.1f}x as long as expected"
        if self.foreign_load is not None:
            text += f"; {self.foreign_load:.1f} cores were used by others"
        return text

    @property
    def setup_trouble(self) -> str:
        """What is wrong with its set-up, in words without a full stop; "" when nothing is."""
        if not self.slow_setup:
            return ""
        seconds = self.metrics.get("setup_seconds") or 0.0
        return f"slow set-up: it took {seconds:.1f} s, more than {SETUP_SHARE:.0%} of the budget"

    @property
    def hindrances(self) -> int:
        """How many things kept the run from coming as far as it can."""
        return int(bool(self.disturbed)) + int(bool(self.slow_setup))
