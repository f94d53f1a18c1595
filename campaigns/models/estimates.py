"""What background jobs compute ahead of anybody asking."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from campaigns.models.campaign import Campaign


class ImportanceEstimate(models.Model):
    """How much each parameter of a campaign matters, as it was last computed.

    Seconds of work, so no request does it: a request asks for it and shows what there is. In the
    database and not in a cache, because job and request are different processes.
    """

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, related_name="importance_estimates"
    )
    # Only of what was measured on it; "" for all results.
    device = models.CharField(max_length=100, blank=True)
    # When a job was last asked to compute it.
    asked_at = models.DateTimeField(null=True, blank=True)
    # All three are None until the first job has ended. The campaign's revision when it was read.
    revision = models.PositiveBigIntegerField(null=True, blank=True)
    computed_at = models.DateTimeField(null=True, blank=True)
    # `analysis.importance.Importance`, and how many results there were in all.
    found = models.JSONField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["campaign", "device"], name="importance_once_per_device"
            ),
        ]

    def __str__(self) -> str:
        return f"importance in {self.campaign_id}{f' on {self.device}' if self.device else ''}"
