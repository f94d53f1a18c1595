"""Workers, the tokens that let them in, and the times they were here. Fields and reads only.

Every write to `Worker.state` is in `workers/lifecycle.py`.
"""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from workers.protocol import IsolationTier

# Stored by their wire names, which sort from weak to strong.
ISOLATION_CHOICES = [(tier.value, tier.value) for tier in IsolationTier]


class WorkerState(models.TextChoices):
    """Whether a worker may claim tasks."""

    # Claims and runs tasks.
    ACTIVE = "active"
    # Finishes what it holds, claims nothing new.
    DRAINING = "draining"
    # Its token opens nothing any more; leases it held expire.
    DISABLED = "disabled"


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Reads that more than one page needs."""

    def online(self, now: dt.datetime) -> WorkerQuerySet:
        """Workers heard of within the lease time: the others' tasks are being handed on."""
        since = now - dt.timedelta(seconds=settings.XEENET["LEASE_SECONDS"])
        return self.filter(last_seen_at__gte=since).exclude(state=WorkerState.DISABLED)

    def machines(self) -> WorkerQuerySet:
        """Workers that an agent runs: without the identities of people's own programs."""
        return self.filter(is_program=False)

    def programs(self) -> WorkerQuerySet:
        """The identities under which people's own programs ask and tell, with the person."""
        return self.filter(is_program=True).select_related("person")


class Worker(models.Model):
    """One registered agent identity: a name, a token, and what its machine is."""

    name = models.CharField(max_length=100, unique=True)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    # No agent, but what a person's own program asks and tells under, by the person's token.
    is_program = models.BooleanField(default=False, editable=False)
    # Whose program; None for a machine, and once the account is gone.
    person = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="asking_worker",
    )
    state = models.CharField(max_length=16, choices=WorkerState, default=WorkerState.ACTIVE)
    # env_error makes a worker pause itself: it claims nothing before this instant.
    paused_until = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=500, blank=True)
    # Environment failures in a row; each doubles the next pause. A good result resets it.
    consecutive_env_errors = models.PositiveSmallIntegerField(default=0)
    hardware = models.JSONField(default=dict, blank=True)
    # No torch on the machine: what it returns is simulated and never ranked.
    simulates = models.BooleanField(default=False)
    # How its last claim said it holds scripts back; "" from agents that do not say.
    isolation = models.CharField(max_length=8, choices=ISOLATION_CHOICES, blank=True)
    # Its owner lets it run scripts that people uploaded and operators approved.
    accepts_uploaded_scripts = models.BooleanField(default=False)
    agent_version = models.CharField(max_length=50, blank=True)
    enrolled_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(null=True, blank=True, db_index=True)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="worker_state_known", condition=Q(state__in=WorkerState.values)
            ),
            models.CheckConstraint(
                name="worker_isolation_known",
                condition=Q(isolation__in=["", *(tier.value for tier in IsolationTier)]),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def program_of(self) -> str:
        """Whose program it is, as the pages and commands call it; "" for a machine."""
        if not self.is_program:
            return ""
        return self.person.get_username() if self.person else "an account that is gone"

    @property
    def device(self) -> str:
        """The torch device it would train on: "cuda", "mps", "cpu", or "" when it has no torch."""
        devices = self.hardware.get("devices") or [""]
        return str(devices[0])

    @property
    def tier(self) -> IsolationTier:
        """How well it holds scripts back; what did not say counts as the weakest."""
        return IsolationTier(self.isolation or IsolationTier.T0)

    def is_online(self, now: dt.datetime) -> bool:
        """Whether it was heard of within the lease time. Same rule as `WorkerQuerySet.online`."""
        limit = dt.timedelta(seconds=settings.XEENET["LEASE_SECONDS"])
        return (
            self.state != WorkerState.DISABLED
            and self.last_seen_at is not None
            and now - self.last_seen_at <= limit
        )


class WorkerSession(models.Model):
    """One start of an agent, from its first call to its last: the presence of a worker."""

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="sessions")
    boot_id = models.UUIDField()
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    # Set by the sweep once the worker has been silent for the lease time; cleared if it returns.
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-started_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["worker", "boot_id"], name="worker_session_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["last_seen_at"], name="worker_session_open", condition=Q(ended_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.worker} since {self.started_at:%Y-%m-%d %H:%M}"


class EnrolmentToken(models.Model):
    """A single-use invitation: whoever presents it in time becomes a worker."""

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    label = models.CharField(max_length=100, blank=True, help_text="For whom or what it is.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    worker = models.OneToOneField(
        Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="enrolment"
    )

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.label or f"no. {self.pk}"


class AuditEntry(models.Model):
    """One thing a person did: who, what, to what, when. Only ever added to."""

    at = models.DateTimeField(db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    # Stays readable when the account is gone.
    actor_name = models.CharField(max_length=150)
    verb = models.CharField(max_length=50)
    target_kind = models.CharField(max_length=50)
    target_id = models.PositiveBigIntegerField(null=True, blank=True)
    target_name = models.CharField(max_length=250)
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        verbose_name_plural = "audit entries"
        indexes: ClassVar = [
            models.Index(fields=["target_kind", "target_id", "-at"], name="audit_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.verb} {self.target_kind} {self.target_name}"
