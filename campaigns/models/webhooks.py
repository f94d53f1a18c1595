"""Webhooks, and the deliveries to them with their outcome."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from campaigns.models.campaign import Campaign


class WebhookEvent(models.TextChoices):
    """The events that a webhook can be notified of."""

    # A measured result took the lead of its campaign.
    NEW_BEST = "new_best"
    # A race ended: with a champion, a tie, or no arm that runs.
    DECIDED = "decided"
    # A campaign completed.
    CAMPAIGN_FINISHED = "campaign_finished"
    # The breaker paused a campaign, because half of its last attempts failed.
    FAILURE_BURST = "failure_burst"
    # Tasks wait, and no worker has called the server for a while.
    SILENT_FLEET = "silent_fleet"


class DeliveryState(models.TextChoices):
    """Where a delivery is. Terminal: delivered, failed."""

    # Waits for `next_attempt_at`.
    PENDING = "pending"
    # The receiver answered 2xx.
    DELIVERED = "delivered"
    # Out of tries, or the address is not allowed.
    FAILED = "failed"


class Webhook(models.Model):
    """An address to notify of events, of one campaign or of all that its owner may see."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks"
    )
    # Empty: every campaign.
    campaign = models.ForeignKey(
        Campaign, null=True, blank=True, on_delete=models.CASCADE, related_name="webhooks"
    )
    url = models.URLField(max_length=500)
    # Signs each body (HMAC-SHA256), so it is stored readable and not as a hash; shown once.
    secret = models.CharField(max_length=100, editable=False)
    events = models.JSONField(default=list)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """One event for one webhook: written with the event, sent by the q-cluster."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=32, choices=WebhookEvent)
    # Makes notifying idempotent: one delivery per event, however often its cause is noticed.
    event_key = models.CharField(max_length=100)
    payload = models.JSONField()
    state = models.CharField(max_length=16, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        verbose_name_plural = "webhook deliveries"
        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"],
                name="delivery_pending",
                condition=Q(state="pending"),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="delivery_state_known", condition=Q(state__in=DeliveryState.values)
            ),
            models.UniqueConstraint(fields=["webhook", "event_key"], name="delivery_once"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"
