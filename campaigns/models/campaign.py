"""The campaign."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Case, ExpressionWrapper, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from campaigns.models.sources import Dataset, Package
from campaigns.models.states import (
    MAX_BUDGET_SECONDS,
    MAX_MIN_EFFECT,
    MAX_RACE_SEEDS,
    MAX_SEED,
    MAX_WORK,
    BudgetKind,
    CampaignState,
    PackageOrigin,
    WorkUnit,
)
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rows import MIN_EFFECT
from campaigns.race.rule import SEEDS
from experiments import catalog, metrics
from experiments.metrics import VAL_BPB, MetricSpec
from workers.models import ISOLATION_CHOICES, Calibration, Worker, WorkerQuerySet, WorkerState
from workers.protocol import IsolationTier
from xeenet_site.web.formats import duration


class CampaignQuerySet(models.QuerySet["Campaign"]):
    """Which campaigns hand out tasks to which worker; the lifecycle builds its claims on these."""

    def handing_out_to(self, worker: Worker) -> CampaignQuerySet:
        """Return the active campaigns that accept this worker's results, simulated or measured."""
        campaigns = self.filter(state=CampaignState.ACTIVE)
        if worker.simulates:
            campaigns = campaigns.filter(allow_simulated=True)
        return campaigns

    def runnable_by(self, worker: Worker) -> CampaignQuerySet:
        """Return the campaigns whose script the worker's machine may run.

        Its isolation tier is strong enough. A script of the catalog must be one that its agent has
        or fetches (`Worker.runs_script`), an uploaded one needs an operator's approval and the
        permission of the worker's owner.
        """
        tiers = [tier for tier in IsolationTier if tier <= worker.tier]
        allowed = Q(package__origin=PackageOrigin.BUILTIN)
        if not worker.simulates:
            if not worker.runs_any_script:
                allowed &= Q(package__in=worker.scripts.split())
            allowed &= ~Q(package__in=worker.refused_scripts.split())
        if worker.accepts_uploaded_scripts:
            allowed |= Q(package__approved_at__isnull=False)
        return self.filter(allowed, required_isolation__in=tiers)


def is_held_back(calibrations: models.QuerySet[Calibration]) -> Coalesce:
    """Return `Calibration.is_held_back` of the newest of a subquery's calibrations."""
    held_back = Case(When(flagged=True, admitted_at=None, then=Value(True)), default=Value(False))
    newest = calibrations.order_by("-taken_at", "-id").annotate(held_back=held_back)
    return Coalesce(Subquery(newest.values("held_back")[:1]), False)


def machines_able_to_run(
    *,
    now: dt.datetime,
    allow_simulated: Any,
    required_isolation: Any,
    script_origin: Any,
    script_sha256: Any,
    budget_kind: Any,
    experiment: Any,
) -> WorkerQuerySet:
    """Return the machines online whose agents may claim tasks of a campaign with these columns.

    The mirror of `handing_out_to` and `runnable_by`, and of work that is withheld from flagged
    workers. The columns are values of a campaign, or OuterRefs to them in a subquery.
    """
    online = Worker.objects.machines().in_scope().online(now)
    machines = online.filter(state=WorkerState.ACTIVE).order_by()
    # An agent that reports no tier counts as the weakest; the names of the tiers sort by strength.
    isolates = Case(When(isolation="", then=Value(IsolationTier.T0.value)), default="isolation")
    theirs = Calibration.objects.filter(worker=OuterRef("pk"), experiment=OuterRef("experiment"))
    has = Q(runs_any_script=True) | Q(scripts__contains=F("script_sha256"))
    runs = Q(simulates=True) | (has & ~Q(refused_scripts__contains=F("script_sha256")))
    return machines.annotate(
        isolates=isolates,
        script_origin=_text(script_origin),
        script_sha256=_text(script_sha256),
        budget_kind=_text(budget_kind),
        experiment=_text(experiment),
        held_back=is_held_back(theirs),
    ).filter(
        (Q(script_origin=PackageOrigin.BUILTIN) & runs)
        | Q(script_origin=PackageOrigin.UPLOADED, accepts_uploaded_scripts=True),
        Q(budget_kind=BudgetKind.TIME) | Q(held_back=False),
        # False sorts before true: a machine that simulates needs a campaign that allows it.
        simulates__lte=allow_simulated,
        isolates__gte=required_isolation,
    )


def _text(column: Any) -> Any:
    """Return a column's value, or a reference to it, as an expression."""
    expression = column if hasattr(column, "resolve_expression") else Value(column)
    return ExpressionWrapper(expression, models.CharField())


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
    # Name and version of what ranks its results, pinned by the launch. A draft has none: it follows
    # the catalog.
    metric = models.CharField(max_length=50, blank=True, editable=False)
    metric_version = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    package = models.ForeignKey(Package, on_delete=models.PROTECT, related_name="campaigns")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="campaigns")
    search_space = models.JSONField()
    sampler = models.CharField(max_length=50, default="random")
    base_seed = models.PositiveBigIntegerField(default=42)
    # Whether all arms run on the same seeds, those of `campaigns.search.seeds`. In campaigns from
    # before the arms each task has a seed of its own, so no two arms can be compared seed by seed.
    shares_seeds = models.BooleanField(default=True)
    # How often the sampler has drawn. Tasks that repeat an arm take no draw, so the params that are
    # drawn later do not depend on them.
    draws = models.PositiveIntegerField(default=0)
    # Its tasks, and the runs that are kept for its race: what the person asked for, until both end.
    task_count = models.PositiveIntegerField()
    # The part of it that is no task yet: it waits for the race that begins by itself.
    kept_runs = models.PositiveIntegerField(default=0, editable=False)
    budget_kind = models.CharField(max_length=16, choices=BudgetKind, default=BudgetKind.TIME)
    # The budget, or the longest guard of a work budget: an attempt has its own.
    time_budget_seconds = models.FloatField()
    work_unit = models.CharField(max_length=16, choices=WorkUnit, blank=True)
    work_amount = models.FloatField(null=True, blank=True)
    # What turns seconds of work into steps, pinned by the launch (`campaigns.work.cost.CostModel`).
    cost_model = models.JSONField(null=True, blank=True, editable=False)
    # Whether a race begins by itself when screening is over.
    races_automatically = models.BooleanField(default=False)
    # The smallest difference, in the metric's unit, that races look for.
    min_effect = models.FloatField(default=MIN_EFFECT)
    # How many seeds each arm may run in a race that a person starts, unless they choose others.
    race_seeds = models.PositiveSmallIntegerField(default=SEEDS)
    # When an outside program last asked for a task; null once nobody is expected to ask again.
    asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Whether workers without torch, whose results are invented numbers, get tasks of the campaign.
    allow_simulated = models.BooleanField(default=False)
    # Workers of a weaker isolation tier get no tasks of the campaign.
    required_isolation = models.CharField(
        max_length=8, choices=ISOLATION_CHOICES, default=IsolationTier.T0
    )
    max_failed_attempts = models.PositiveSmallIntegerField(default=2)
    max_lost_attempts = models.PositiveSmallIntegerField(default=5)

    state = models.CharField(max_length=16, choices=CampaignState, default=CampaignState.DRAFT)
    state_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    launched_at = models.DateTimeField(null=True, blank=True)
    # Grows with every change that pages draw (ended tasks, results, added tasks): a cache key.
    revision = models.PositiveBigIntegerField(default=0)
    # When it last grew because tasks ended; results that came later are not in it yet.
    ends_noted_at = models.DateTimeField(null=True, blank=True, editable=False)
    paused_at = models.DateTimeField(null=True, blank=True)
    # The failure breaker ignores attempts that began earlier, so that a resumed campaign is not
    # paused again because of its old failures.
    resumed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = CampaignQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["state", "-created_at"], name="campaign_by_state"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="campaign_state_known", condition=Q(state__in=CampaignState.values)
            ),
            models.CheckConstraint(
                name="campaign_isolation_known",
                condition=Q(required_isolation__in=[tier.value for tier in IsolationTier]),
            ),
            models.CheckConstraint(name="campaign_has_tasks", condition=Q(task_count__gt=0)),
            models.CheckConstraint(
                name="campaign_kept_runs_counted", condition=Q(kept_runs__lte=F("task_count"))
            ),
            models.CheckConstraint(
                name="campaign_budget_positive",
                condition=Q(time_budget_seconds__gt=0, time_budget_seconds__lte=MAX_BUDGET_SECONDS),
            ),
            # Without the checks for null an unknown comparison would satisfy the constraint.
            models.CheckConstraint(
                name="campaign_work_is_whole",
                condition=Q(
                    budget_kind=BudgetKind.TIME,
                    work_unit="",
                    work_amount__isnull=True,
                    cost_model__isnull=True,
                )
                | Q(
                    budget_kind=BudgetKind.WORK,
                    work_unit__in=WorkUnit.values,
                    work_amount__isnull=False,
                    work_amount__gt=0,
                    work_amount__lt=MAX_WORK,
                ),
            ),
            models.CheckConstraint(
                name="campaign_min_effect_sane",
                condition=Q(min_effect__gte=0, min_effect__lte=MAX_MIN_EFFECT),
            ),
            models.CheckConstraint(
                name="campaign_race_seeds_sane",
                condition=Q(race_seeds__gte=FEWEST_COMMON, race_seeds__lte=MAX_RACE_SEEDS),
            ),
            models.CheckConstraint(
                name="campaign_launched_with_metric",
                condition=Q(launched_at__isnull=True)
                | (~Q(metric="") & Q(metric_version__isnull=False)),
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

    @property
    def metric_spec(self) -> MetricSpec:
        """What ranks its results: as pinned by the launch, or of its experiment for a draft.

        Raises UnknownMetric for a metric that only a newer server has.
        """
        if self.metric_version is not None:
            return metrics.get(self.metric, self.metric_version)
        try:
            return catalog.get(self.experiment).metric_spec
        except catalog.UnknownExperiment:
            # A draft may be older than the removal of its experiment from the catalog.
            return VAL_BPB

    def machines(self, now: dt.datetime) -> WorkerQuerySet:
        """Return the machines online whose agents may claim its tasks."""
        origin = Package.objects.filter(pk=self.package_id).values("origin")
        return machines_able_to_run(
            now=now,
            allow_simulated=self.allow_simulated,
            required_isolation=self.required_isolation,
            script_origin=Subquery(origin),
            script_sha256=self.package_id,
            budget_kind=self.budget_kind,
            experiment=self.experiment,
        )

    @property
    def budget_text(self) -> str:
        """When a run is over, in words: "1 m 00 s", "60 reference seconds", "500 steps"."""
        if self.budget_kind == BudgetKind.TIME:
            return duration(self.time_budget_seconds)
        unit = WorkUnit(self.work_unit)
        name = "reference seconds" if unit == WorkUnit.SECONDS else unit.value
        return f"{self.work_amount or 0:,.12g} {name}"

    @property
    def script(self) -> str:
        """The sha256 of the uploaded script it runs, "" for the experiment's own."""
        return self.package_id if self.package.is_uploaded else ""
