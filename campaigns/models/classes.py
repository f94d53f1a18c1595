"""Which results may stand in one order, and how much they vary between seeds."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from campaigns.models.sources import Dataset, Package
from campaigns.models.states import HEX_SHA256_LENGTH, BudgetKind
from workers.models import Worker


class ResultClass(models.Model):
    """Results of one script on one data set, with the same budget, evaluation and kind of machine.

    Campaigns share classes. Rows are only added.
    """

    # The hash of what tells it from other classes.
    key = models.CharField(max_length=HEX_SHA256_LENGTH, unique=True, editable=False)
    package = models.ForeignKey(Package, on_delete=models.PROTECT, related_name="+")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    # Name and version of the metric.
    metric = models.CharField(max_length=50)
    metric_version = models.PositiveSmallIntegerField()
    budget_kind = models.CharField(max_length=16, choices=BudgetKind)
    # The size of the budget in words: "60 s", "200 steps".
    budget = models.CharField(max_length=200)
    # Of work in reference seconds: the hash of the cost model that turns them into steps.
    cost_model_sha256 = models.CharField(max_length=HEX_SHA256_LENGTH, blank=True)
    eval_is_subset = models.BooleanField()
    device_kind = models.CharField(max_length=50)
    # Under a time budget also the number type, and the worker whose equals may join.
    dtype = models.CharField(max_length=50, blank=True)
    band = models.ForeignKey(
        Worker, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    # Set where the worker, alone here, ran with other threads than before in the same campaign.
    threads = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="class_budget_kind_known", condition=Q(budget_kind__in=BudgetKind.values)
            ),
        ]

    def __str__(self) -> str:
        parts = [self.budget, self.device_kind, self.dtype, self.band and self.band.name]
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'' if self.threads == 1 else 's'}")
        parts.append("part of the validation" if self.eval_is_subset else "")
        return ", ".join(part for part in parts if part)


class NoiseFloor(models.Model):
    """How much the results of a class vary between seeds, from arms that ran on several."""

    result_class = models.OneToOneField(
        ResultClass, on_delete=models.CASCADE, related_name="noise_floor"
    )
    # The s.d. between seeds in the unit of the values; null without a replicate pair.
    sd = models.FloatField(null=True, blank=True)
    pairs = models.PositiveIntegerField(default=0)
    # The share of runs beyond five s.d., or without a value.
    bad_seed_rate = models.FloatField(null=True, blank=True)
    as_of = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["result_class_id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="noise_floor_sane",
                condition=(
                    Q(sd__isnull=True, pairs=0)
                    | Q(sd__isnull=False, sd__gte=0, sd__lt=1e6, pairs__gte=1)
                )
                & (Q(bad_seed_rate__isnull=True) | Q(bad_seed_rate__gte=0, bad_seed_rate__lte=1)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.result_class}: {self.sd}"
