"""Workers, their enrolment tokens, their sessions and the audit log: fields and reads only.

Every write to `Worker.state` is in `workers/lifecycle.py` or `workers/fleets.py`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import ClassVar, Final

from django.conf import settings
from django.db import models
from django.db.models import Case, Count, F, Q, Value, When
from django.db.models.expressions import Expression
from django.utils import timezone

from experiments import catalog
from workers.fleet_token import FleetToken
from workers.pace import Pace, longest, pace_of, usual
from workers.protocol import MAX_LEASES_PER_CLAIM, IsolationTier
from xeenet_site.web.formats import clock

# Stored under their wire names, which sort from weak to strong.
ISOLATION_CHOICES = [(tier.value, tier.value) for tier in IsolationTier]

# What tells machines apart whose agents send no id.
_PROFILE: Final = ("platform", "cpu_model", "cpu_count", "ram_bytes", "gpu_name")


class WorkerState(models.TextChoices):
    """Whether a worker may claim tasks."""

    # Claims and runs tasks.
    ACTIVE = "active"
    # Finishes the tasks it holds, claims no new ones.
    DRAINING = "draining"
    # Its token is rejected; the leases it held expire.
    DISABLED = "disabled"
    # An ephemeral worker that has ended: no list or count has it, and its token opens nothing.
    RETIRED = "retired"


# They cannot call.
SHUT_OUT: Final = (WorkerState.DISABLED, WorkerState.RETIRED)


def called_lately(now: dt.datetime | Expression) -> Q:
    """Return which workers called within their lease time. Same rule as `Worker.is_online`.

    An expression for `now` must take a time from itself, as an instant does.
    """
    least, most = usual().lease_time, longest().lease_time
    at = Value(now) if isinstance(now, dt.datetime) else now
    # The bound of the longest lease time is there for the index.
    within_own = Q(last_seen_at__gte=at - F("lease_time"))
    return Q(last_seen_at__gte=now - most) & (Q(last_seen_at__gte=now - least) | within_own)


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Queries that more than one page needs."""

    def online(self, now: dt.datetime) -> WorkerQuerySet:
        """Return the enabled workers that called within their lease time.

        The tasks of workers that were silent for longer are handed to other workers.
        """
        return self.filter(called_lately(now)).exclude(state__in=SHUT_OUT)

    def machines(self) -> WorkerQuerySet:
        """Return the workers with an agent: neither retired nor people's own programs."""
        return self.present().filter(is_program=False)

    def present(self) -> WorkerQuerySet:
        """Return the workers that lists and counts have: those that are not retired."""
        return self.exclude(state=WorkerState.RETIRED)

    def in_scope(self) -> WorkerQuerySet:
        """Leave out the workers whose fleet's token keeps them from tasks.

        The mirror of `campaigns.lifecycle.claim_reasons.why_nothing`.
        """
        tier = Case(When(isolation="", then=Value(IsolationTier.T0.value)), default="isolation")
        allowed = Q(fleet_token__revoked_at=None, fleet_token__tier__lte=tier)
        return self.filter(Q(fleet_token=None) | allowed)

    def owner_count(self) -> int:
        """Count the owners: each fleet is one, and so is each other worker."""
        counts = self.aggregate(
            alone=Count("pk", filter=Q(fleet_token=None)),
            fleets=Count("fleet_token", distinct=True),
        )
        return int(counts["alone"] + counts["fleets"])

    def live_of(self, token: FleetToken) -> WorkerQuerySet:
        """Return the workers of a fleet that count towards its bound."""
        return self.filter(fleet_token=token).exclude(state__in=SHUT_OUT)

    def programs(self) -> WorkerQuerySet:
        """Return the identities of people's own programs, with `person` loaded."""
        return self.filter(is_program=True).select_related("person")


class Worker(models.Model):
    """One registered agent identity: a name, a token, and what its machine is."""

    name = models.CharField(max_length=100, unique=True)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    # True for the identity of a person's own program: it has no agent, and asks for params and
    # tells values with the person's token.
    is_program = models.BooleanField(default=False, editable=False)
    # The owner of the program. None for a machine, and after the account was deleted.
    person = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="asking_worker",
    )
    # Of an ephemeral worker: what it enrolled with, on which machine, and which of the jobs there
    # at a time it is, from 1. Together they are its identity.
    fleet_token = models.ForeignKey(
        FleetToken,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="workers",
    )
    machine_key = models.CharField(max_length=64, blank=True, editable=False)
    machine_job = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    state = models.CharField(max_length=16, choices=WorkerState, default=WorkerState.ACTIVE)
    # Set after an env_error: the worker claims nothing before this instant.
    paused_until = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=500, blank=True)
    # Environment failures in a row; each doubles the next pause. A good result resets it.
    consecutive_env_errors = models.PositiveSmallIntegerField(default=0)
    hardware = models.JSONField(default=dict, blank=True)
    # True without torch on the machine: its results are simulated and never ranked.
    simulates = models.BooleanField(default=False)
    # The isolation tier that its last claim reported; "" from agents that report none.
    isolation = models.CharField(max_length=8, choices=ISOLATION_CHOICES, blank=True)
    # Whether its owner lets it run scripts that people uploaded and operators approved.
    accepts_uploaded_scripts = models.BooleanField(default=False)
    # How many tasks its agent runs at once; null until one has told, which counts as one.
    slots = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    # Its owner's rules let its agent claim nothing, as its last heartbeat tells, until then.
    owner_pauses = models.BooleanField("paused by its owner", default=False, editable=False)
    owner_pauses_until = models.DateTimeField(
        "owner's pause ends", null=True, blank=True, editable=False
    )
    agent_version = models.CharField(max_length=50, blank=True)
    # The hashes of the catalog's scripts that its agent runs, with a space between them: as it
    # tells, or as its version is known to have. `workers.scripts` says how.
    scripts = models.TextField(blank=True, editable=False)
    # Whether it runs any other of the catalog's scripts, as far as anybody knows.
    runs_any_script = models.BooleanField(default=True, editable=False)
    # Those that its agent refused since it started.
    refused_scripts = models.TextField(blank=True, editable=False)
    # The start of its agent that claims; an earlier one gets no more tasks (`workers.takeover`).
    claiming_boot = models.UUIDField(null=True, blank=True, editable=False)
    enrolled_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(null=True, blank=True, db_index=True)
    # How long it may be silent before its leases end, as granted to it last (`workers.pace`); null
    # for the settings' lease time.
    lease_time = models.DurationField(null=True, blank=True, editable=False)

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
            models.CheckConstraint(
                name="worker_slots_sane",
                condition=Q(slots__isnull=True) | Q(slots__gte=1, slots__lte=MAX_LEASES_PER_CLAIM),
            ),
            models.CheckConstraint(
                name="worker_owner_pause_sane",
                condition=Q(owner_pauses=True) | Q(owner_pauses_until__isnull=True),
            ),
            models.UniqueConstraint(
                name="worker_of_fleet_once", fields=["fleet_token", "machine_key", "machine_job"]
            ),
            models.CheckConstraint(
                name="worker_of_fleet_has_machine",
                condition=Q(fleet_token__isnull=True, machine_key="", machine_job__isnull=True)
                | (Q(fleet_token__isnull=False, machine_job__gte=1) & ~Q(machine_key="")),
            ),
            models.CheckConstraint(
                name="worker_retired_of_fleet",
                condition=~Q(state="retired") | Q(fleet_token__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def program_of(self) -> str:
        """The owner's name for pages and commands; "" for a machine."""
        if not self.is_program:
            return ""
        return self.person.get_username() if self.person else "an account that is gone"

    @property
    def device(self) -> str:
        """The torch device it trains on: "cuda", "mps", "cpu", or "" without torch."""
        devices = self.hardware.get("devices") or [""]
        return str(devices[0])

    @property
    def machine(self) -> str:
        """What its machine is told from others by: all agents on one machine have the same.

        Without an id of the agent's that is its profile, so that two machines of one make count as
        one.
        """
        if sent := str(self.hardware.get("machine") or ""):
            return sent
        profile = json.dumps([self.hardware.get(key) for key in _PROFILE])
        return hashlib.sha256(profile.encode()).hexdigest()[:16]

    @property
    def tier(self) -> IsolationTier:
        """Its isolation tier; an agent that reports none counts as the weakest."""
        return IsolationTier(self.isolation or IsolationTier.T0)

    def runs_script(self, sha256: str) -> bool:
        """Whether it may be handed tasks of this script of the catalog.

        One without torch runs no script at all, so any task will do. The query is
        `campaigns.models.campaign.machines_able_to_run`.
        """
        has = self.runs_any_script or sha256 in self.scripts.split()
        return self.simulates or (has and sha256 not in self.refused_scripts.split())

    def owner_pause(self, now: dt.datetime) -> str:
        """In a few words, that its owner's rules pause it; "" without, or while it is offline."""
        if not self.owner_pauses or not self.is_online(now):
            return ""
        return paused_by_owner(self.owner_pauses_until, now)

    def is_online(self, now: dt.datetime) -> bool:
        """Whether it called within its lease time. Same rule as `WorkerQuerySet.online`."""
        return (
            self.state not in SHUT_OUT
            and self.last_seen_at is not None
            and now - self.last_seen_at <= self.pace.lease_time
        )

    @property
    def pace(self) -> Pace:
        """How often its agent sends heartbeats, and how long its leases last after each."""
        return pace_of(self.lease_time)


def paused_by_owner(until: dt.datetime | None, now: dt.datetime) -> str:
    """Return "paused by its owner until 22:00 UTC"."""
    # Past its end only the next heartbeat tells whether the pause is over.
    return f"paused by its owner{f' until {clock(until, now)}' if until and until > now else ''}"


class WorkerSession(models.Model):
    """One start of a worker's agent, from its first call to its last."""

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="sessions")
    boot_id = models.UUIDField()
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True, editable=False)
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


class Calibration(models.Model):
    """How fast a worker trained the catalog's script at fixed steps, between its tasks."""

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="calibrations")
    taken_at = models.DateTimeField()
    experiment = models.CharField(max_length=100)
    script_sha256 = models.CharField(max_length=64)
    device = models.CharField(max_length=50)
    dtype = models.CharField(max_length=50)
    threads = models.PositiveIntegerField(null=True, blank=True)
    torch_version = models.CharField(max_length=50, blank=True)
    isolation = models.CharField(max_length=8, choices=ISOLATION_CHOICES, blank=True)
    # One entry per measured shape: {"params", "steps", "step_seconds", "val_bpb"}.
    shapes = models.JSONField()
    # Seconds per unit of each term of the script's cost, fitted to the shapes; {} without a fit.
    coefficients = models.JSONField(default=dict)
    # How many times as fast as the machine that the catalog records; null without a fit. Stored,
    # because the pages of this app know no cost models.
    speed = models.FloatField(null=True, blank=True)
    # The s.d. of log(predicted / measured) over the shapes.
    fit_error = models.FloatField(null=True, blank=True)
    # Cores that other programs used meanwhile, on average; null when the agent cannot tell.
    foreign_load = models.FloatField(null=True, blank=True)
    # How far the known value was missed, in bits per byte; null when none is known for the dtype.
    value_off = models.FloatField(null=True, blank=True)
    # Its values differ from what this script gives elsewhere: no work budgets until admitted.
    flagged = models.BooleanField(default=False)
    admitted_at = models.DateTimeField(null=True, blank=True)
    admitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering: ClassVar = ["-taken_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["worker", "-taken_at", "-id"], name="calibration_newest"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="calibration_numbers_sane",
                condition=(Q(fit_error__isnull=True) | Q(fit_error__gte=0, fit_error__lt=1e6))
                & (Q(speed__isnull=True) | Q(speed__gt=0, speed__lt=1e9))
                & (Q(foreign_load__isnull=True) | Q(foreign_load__gte=0, foreign_load__lt=1e6))
                & (Q(value_off__isnull=True) | Q(value_off__gte=0, value_off__lt=1e6)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.worker} at {self.taken_at:%Y-%m-%d %H:%M}"

    @property
    def speed_text(self) -> str:
        """Its speed for people, like "1.3×"; "" without a fit."""
        return "" if self.speed is None else f"{float(f'{self.speed:.2g}'):g}×"

    @property
    def reference(self) -> str:
        """The machine that its speed is compared with; "" when the experiment is gone."""
        try:
            plan = catalog.get(self.experiment).calibration
        except catalog.UnknownExperiment:
            return ""
        return plan.recorded_on if plan else ""

    @property
    def is_held_back(self) -> bool:
        """Whether it keeps its worker from work budgets: flagged, and not admitted."""
        return self.flagged and self.admitted_at is None

    @property
    def why_held_back(self) -> str:
        """In one sentence, why it keeps its worker from work budgets; "" when it does not."""
        if not self.is_held_back:
            return ""
        missed = "has no value: its loss diverged"
        if self.value_off is not None:
            missed = f"is {self.value_off:.3f} bits per byte off the known value"
        return (
            f"Its known run {missed}. It gets no tasks of work budgets until an operator admits "
            "the calibration."
        )


class EnrolmentToken(models.Model):
    """A single-use invitation: the machine that presents it before it expires becomes a worker."""

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
    # The newest machine that may not have the name it asked for: which name, why, and when.
    refused_name = models.CharField(max_length=100, blank=True, editable=False)
    refusal = models.CharField(max_length=200, blank=True, editable=False)
    refused_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.label or f"no. {self.pk}"


class AuditEntry(models.Model):
    """One action of a person: who did what to which target, and when. Entries never change."""

    at = models.DateTimeField(db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    # A copy, so that the name stays readable after the account was deleted.
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
