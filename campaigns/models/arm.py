"""What a campaign compares: arms."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from campaigns.models.campaign import Campaign
from campaigns.models.sources import Package
from campaigns.models.states import HEX_SHA256_LENGTH, TaskOrigin


class Arm(models.Model):
    """One script with one set of params in a campaign. It has a task for each seed it runs on."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="arms")
    number = models.PositiveIntegerField(help_text="From 0, as the arms joined the campaign.")
    package = models.ForeignKey(Package, on_delete=models.PROTECT, related_name="arms")
    # In the form that `SearchSpace.normalised` gives them, so that equal params are the same arm.
    params = models.JSONField()
    params_sha256 = models.CharField(max_length=HEX_SHA256_LENGTH)
    origin = models.CharField(max_length=16, choices=TaskOrigin, default=TaskOrigin.SAMPLED)
    # Why it can get no result, in a sentence: too slow for every worker, or without a finite cost.
    infeasible = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["campaign_id", "number"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="arm_origin_known", condition=Q(origin__in=TaskOrigin.values)
            ),
            models.UniqueConstraint(fields=["campaign", "number"], name="arm_number_once"),
            models.UniqueConstraint(
                fields=["campaign", "package", "params_sha256"], name="arm_params_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign}, arm {self.number}"
