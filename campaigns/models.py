"""Campaigns, tasks, attempts and results: fields, constraints, indexes and reads.

No state changes here: every write to a `state` or `outcome` column is in `campaigns/lifecycle/`.
What must never be true is a named constraint, beside the check in code.
"""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from workers.models import Worker
from workers.protocol import FailureClass as WireFailureClass

HEX_SHA256_LENGTH = 64
# Keeps base_seed + number inside what every database and torch take as an integer.
MAX_SEED = 2**31 - 1
MAX_BUDGET_SECONDS = 7 * 86_400


class CampaignState(models.TextChoices):
    """Where a campaign is. Terminal: completed, cancelled."""

    # Described, not started; may still be changed or deleted.
    DRAFT = "draft"
    # Its tasks are handed out.
    ACTIVE = "active"
    # Hands out nothing; what runs may finish. `state_reason` says who or what paused it.
    PAUSED = "paused"
    # Every task has ended.
    COMPLETED = "completed"
    # A person ended it; open tasks were cancelled with it.
    CANCELLED = "cancelled"


class TaskState(models.TextChoices):
    """Where a task is. Terminal: completed, failed, cancelled."""

    # Waits for a worker, from `available_at` on.
    PENDING = "pending"
    # A worker holds the lease `lease_id` until `lease_expires_at`.
    LEASED = "leased"
    # Has its one result.
    COMPLETED = "completed"
    # Out of tries; `failure_class` says why.
    FAILED = "failed"
    # Ended by a person.
    CANCELLED = "cancelled"


class AttemptOutcome(models.TextChoices):
    """How an attempt ended."""

    # Has not ended.
    RUNNING = "running"
    # Brought the task's result.
    COMPLETED = "completed"
    # Brought the task's result, which is that the loss became NaN or infinite.
    DIVERGED = "diverged"
    # Brought no usable result; `failure_class` says why.
    FAILED = "failed"
    # The lease ran out; the worker may still come back with a result.
    LOST = "lost"
    # The worker gave the task back unrun.
    RELEASED = "released"
    # A person cancelled the task while it ran.
    CANCELLED = "cancelled"
    # Came back with a result after another attempt or a person had decided the task.
    LATE = "late"


class FailureClass(models.TextChoices):
    """Why an attempt failed; the words of the wire protocol, with labels for pages."""

    LOST = WireFailureClass.LOST, "worker lost"
    SCRIPT_ERROR = WireFailureClass.SCRIPT_ERROR, "script error"
    NO_JSON = WireFailureClass.NO_JSON, "no result line"
    INVALID_RESULT = WireFailureClass.INVALID_RESULT, "invalid result"
    TIMEOUT = WireFailureClass.TIMEOUT, "timeout"
    OOM = WireFailureClass.OOM, "out of memory"
    DISK_FULL = WireFailureClass.DISK_FULL, "disk full"
    OUTPUT_FLOOD = WireFailureClass.OUTPUT_FLOOD, "output flood"
    ENV_ERROR = WireFailureClass.ENV_ERROR, "worker environment"
    REFUSED = WireFailureClass.REFUSED, "refused by the worker"


class Package(models.Model):
    """A training script as it was when a campaign pinned it, found by its hash."""

    sha256 = models.CharField(primary_key=True, max_length=HEX_SHA256_LENGTH)
    name = models.CharField(max_length=100)
    source = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"


class Dataset(models.Model):
    """A data set the server knows by hash; the bytes are in `file` when it can serve them."""

    sha256 = models.CharField(primary_key=True, max_length=HEX_SHA256_LENGTH)
    name = models.CharField(max_length=100)
    size_bytes = models.PositiveBigIntegerField(validators=[MinValueValidator(2)])
    file = models.FileField(upload_to="datasets/", blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"


class Campaign(models.Model):
    """One question: an experiment, a search space, a sampler, a budget per run and a base seed."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="campaigns",
    )
    experiment = models.CharField(max_length=100)
    package = models.ForeignKey(Package, on_delete=models.PROTECT, related_name="campaigns")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="campaigns")
    search_space = models.JSONField()
    sampler = models.CharField(max_length=50, default="random")
    base_seed = models.PositiveBigIntegerField(default=42)
    task_count = models.PositiveIntegerField()
    time_budget_seconds = models.FloatField()
    # A worker without torch returns invented numbers. Off: such workers get none of these tasks.
    allow_simulated = models.BooleanField(default=False)
    max_failed_attempts = models.PositiveSmallIntegerField(default=2)
    max_lost_attempts = models.PositiveSmallIntegerField(default=5)

    state = models.CharField(max_length=16, choices=CampaignState, default=CampaignState.DRAFT)
    state_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    launched_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    # The failure breaker looks no further back: a resumed campaign starts with a clean slate.
    resumed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["state", "-created_at"], name="campaign_by_state"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="campaign_state_known", condition=Q(state__in=CampaignState.values)
            ),
            models.CheckConstraint(name="campaign_has_tasks", condition=Q(task_count__gt=0)),
            models.CheckConstraint(
                name="campaign_budget_positive",
                condition=Q(time_budget_seconds__gt=0, time_budget_seconds__lte=MAX_BUDGET_SECONDS),
            ),
            models.CheckConstraint(
                name="campaign_seeds_in_range", condition=Q(base_seed__lte=MAX_SEED)
            ),
            models.CheckConstraint(
                name="campaign_may_try",
                condition=Q(max_failed_attempts__gte=1, max_lost_attempts__gte=1),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("campaign", args=[self.pk])


class TaskQuerySet(models.QuerySet["Task"]):
    """The predicates that lifecycle and pages share."""

    def claimable(self, worker: Worker, now: dt.datetime) -> TaskQuerySet:
        """Pending tasks this worker may have now, in the order they are handed out."""
        head_start = dt.timedelta(seconds=settings.XEENET["OTHER_WORKER_FIRST_SECONDS"])
        tasks = self.filter(
            state=TaskState.PENDING,
            available_at__lte=now,
            campaign__state=CampaignState.ACTIVE,
        ).exclude(last_failed_worker=worker, available_at__gt=now - head_start)
        if worker.simulates:
            tasks = tasks.filter(campaign__allow_simulated=True)
        return tasks.order_by("available_at", "id")

    def overdue(self, now: dt.datetime) -> TaskQuerySet:
        """Leased tasks whose lease has run out; the hard deadline bounds every renewal."""
        return self.filter(state=TaskState.LEASED, lease_expires_at__lt=now)

    def open(self) -> TaskQuerySet:
        """Tasks that may still run."""
        return self.filter(state__in=[TaskState.PENDING, TaskState.LEASED])


class Task(models.Model):
    """One point of the search space with one seed, to be evaluated once."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="tasks")
    number = models.PositiveIntegerField(help_text="From 0; the seed is base seed + number.")
    params = models.JSONField()
    params_sha256 = models.CharField(max_length=HEX_SHA256_LENGTH)
    seed = models.PositiveBigIntegerField()

    state = models.CharField(max_length=16, choices=TaskState, default=TaskState.PENDING)
    available_at = models.DateTimeField(default=timezone.now)
    # Fencing token of the attempt that may decide this task.
    lease_id = models.UUIDField(null=True, blank=True, unique=True)
    worker = models.ForeignKey(
        Worker, null=True, blank=True, on_delete=models.PROTECT, related_name="leased_tasks"
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    # Hard end of the attempt; a renewal never moves the lease beyond it.
    deadline_at = models.DateTimeField(null=True, blank=True)
    # Tries that count: failures of the task itself, and losses nobody is to blame for.
    failed_attempts = models.PositiveSmallIntegerField(default=0)
    lost_attempts = models.PositiveSmallIntegerField(default=0)
    max_failed_attempts = models.PositiveSmallIntegerField()
    max_lost_attempts = models.PositiveSmallIntegerField()
    last_failed_worker = models.ForeignKey(
        Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    failure_class = models.CharField(max_length=20, choices=FailureClass, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["campaign_id", "number"]
        indexes: ClassVar = [
            models.Index(fields=["campaign", "state"], name="task_by_state"),
            # "What next?" and "who is late?" are each one range over a small index.
            models.Index(
                fields=["available_at", "id"],
                name="task_pending",
                condition=Q(state="pending"),
            ),
            models.Index(
                fields=["lease_expires_at"], name="task_leased", condition=Q(state="leased")
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="task_state_known", condition=Q(state__in=TaskState.values)
            ),
            models.CheckConstraint(
                name="task_leased_has_lease",
                condition=Q(
                    state="leased",
                    lease_id__isnull=False,
                    worker__isnull=False,
                    lease_expires_at__isnull=False,
                    deadline_at__isnull=False,
                )
                | (
                    ~Q(state="leased")
                    & Q(
                        lease_id__isnull=True,
                        worker__isnull=True,
                        lease_expires_at__isnull=True,
                        deadline_at__isnull=True,
                    )
                ),
            ),
            models.CheckConstraint(
                name="task_tries_bounded",
                condition=Q(
                    failed_attempts__lte=F("max_failed_attempts"),
                    lost_attempts__lte=F("max_lost_attempts"),
                ),
            ),
            models.CheckConstraint(
                name="task_failed_has_class",
                condition=~Q(state="failed") | ~Q(failure_class=""),
            ),
            models.CheckConstraint(
                name="task_finished_when_terminal",
                condition=Q(
                    state__in=["completed", "failed", "cancelled"], finished_at__isnull=False
                )
                | Q(state__in=["pending", "leased"], finished_at__isnull=True),
            ),
            models.UniqueConstraint(fields=["campaign", "number"], name="task_number_once"),
            models.UniqueConstraint(
                fields=["campaign", "params_sha256", "seed"], name="task_point_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} #{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("task", args=[self.pk])

    @property
    def config(self) -> dict[str, object]:
        """What the script reads: params, seed, budget and data set as one flat object."""
        campaign = self.campaign
        return {
            **self.params,
            "seed": self.seed,
            "time_budget_seconds": campaign.time_budget_seconds,
            "dataset": campaign.dataset.name,
            "dataset_sha256": campaign.dataset_id,
        }


class Attempt(models.Model):
    """One worker's try at a task: one row per lease."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField(help_text="From 1.")
    lease_id = models.UUIDField(unique=True)
    claim_id = models.UUIDField(help_text="The agent's id of the claim; a repeat finds it.")
    worker = models.ForeignKey(Worker, on_delete=models.PROTECT, related_name="attempts")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(
        max_length=16, choices=AttemptOutcome, default=AttemptOutcome.RUNNING
    )
    failure_class = models.CharField(max_length=20, choices=FailureClass, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    stderr_tail = models.TextField(blank=True)
    wall_time_seconds = models.FloatField(null=True, blank=True)
    # The submission as it came, and its digest: the same body again gets `answer` again.
    submission = models.JSONField(null=True, blank=True)
    submission_digest = models.CharField(max_length=HEX_SHA256_LENGTH, blank=True)
    answer = models.JSONField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["task_id", "number"]
        indexes: ClassVar = [
            models.Index(fields=["worker", "claim_id"], name="attempt_by_claim"),
            models.Index(fields=["worker", "-started_at"], name="attempt_by_worker"),
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
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.task_id} by {self.worker}"


class ProgressPoint(models.Model):
    """One progress line of a running script: a point of the learning curve."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="progress")
    seq = models.PositiveIntegerField()
    elapsed_seconds = models.FloatField()
    step = models.PositiveBigIntegerField()
    tokens = models.PositiveBigIntegerField(null=True, blank=True)
    train_loss = models.FloatField(null=True, blank=True)
    # Estimated on a small sample while training; the result's value is the one that counts.
    val_bpb = models.FloatField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["attempt_id", "seq"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["attempt", "seq"], name="progress_point_once"),
        ]

    def __str__(self) -> str:
        return f"step {self.step}: {self.val_bpb}"


class ResultQuerySet(models.QuerySet["Result"]):
    """What may be ranked, and in which order."""

    def ranked(self) -> ResultQuerySet:
        """Measured results with a value, best first: a total order, so pages never overlap."""
        return self.filter(is_ranked=True).order_by("val_bpb", "created_at", "id")


class Result(models.Model):
    """The accepted metrics of a task: the one number and what it was measured with."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="result")
    attempt = models.OneToOneField(Attempt, on_delete=models.CASCADE, related_name="result")
    # Repeats task.campaign: the leaderboard reads one index.
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="results")
    val_bpb = models.FloatField(null=True, blank=True)
    # False for what was not measured (simulated) or has no value (diverged, budget too small).
    is_ranked = models.BooleanField()
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
    device_used = models.CharField(max_length=100)
    stop_reason = models.CharField(max_length=50)
    # The script's whole line: threads, dtype, torch version, memory and what later scripts add.
    metrics = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    objects = ResultQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["campaign", "val_bpb", "created_at", "id"],
                name="result_ranked",
                condition=Q(is_ranked=True),
            ),
            models.Index(fields=["campaign", "created_at", "id"], name="result_by_time"),
        ]
        constraints: ClassVar = [
            # The upper bound also keeps infinity out, and NaN: PostgreSQL sorts it above all
            # numbers, SQLite stores it as NULL.
            models.CheckConstraint(
                name="result_val_bpb_finite_positive",
                condition=Q(val_bpb__isnull=True) | Q(val_bpb__gt=0, val_bpb__lt=1e6),
            ),
            models.CheckConstraint(
                name="result_ranked_was_measured",
                condition=Q(is_ranked=False)
                | Q(val_bpb__isnull=False, simulated=False, diverged=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task}: {self.val_bpb}"


class PersonalToken(models.Model):
    """A researcher's key to the API, stored as a hash."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="personal_tokens"
    )
    name = models.CharField(max_length=100)
    token_hash = models.CharField(max_length=HEX_SHA256_LENGTH, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"
