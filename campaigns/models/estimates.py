"""What background jobs compute and keep, because it takes too long for a request."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from campaigns.models.campaign import Campaign


class ImportanceEstimate(models.Model):
    """How much each parameter of a campaign matters, as it was last computed.

    Computing takes seconds, so a background job does it: a request asks for an estimate and shows
    the last one. Stored in the database and not in the cache, because job and request run in
    different processes.
    """

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, related_name="importance_estimates"
    )
    # The estimate is about the results of this device; "" for all results.
    device = models.CharField(max_length=100, blank=True)
    # When a job was last asked to compute it.
    asked_at = models.DateTimeField(null=True, blank=True)
    # All three are None until the first job has ended. The campaign's revision when it began.
    revision = models.PositiveBigIntegerField(null=True, blank=True)
    computed_at = models.DateTimeField(null=True, blank=True)
    # `analysis.importance.Importance` as JSON, and the number of all results.
    found = models.JSONField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["campaign", "device"], name="importance_once_per_device"
            ),
        ]

    def __str__(self) -> str:
        return f"importance in {self.campaign_id}{f' on {self.device}' if self.device else ''}"
