"""Webhooks and their deliveries."""

from __future__ import annotations

from typing import Any

from django.core.validators import URLValidator
from rest_framework import serializers

from campaigns.models import DeliveryState, Webhook, WebhookDelivery, WebhookEvent
from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import (
    MAX_BIGINT,
    BoundedListField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
)


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """One webhook; its secret was shown when it was made."""

    owner = serializers.CharField(source="owner.username")
    campaign_id = serializers.IntegerField(
        allow_null=True, help_text="Null: it hears of every campaign."
    )
    events = serializers.ListField(child=serializers.ChoiceField(choices=WebhookEvent.choices))
    waiting = serializers.IntegerField(help_text="Deliveries that are still tried.")
    failed = serializers.IntegerField(help_text="Deliveries that were given up.")

    class Meta:
        model = Webhook
        fields: Any = (
            "id",
            "owner",
            "campaign_id",
            "url",
            "events",
            "is_active",
            "created_at",
            "waiting",
            "failed",
        )
        read_only_fields = fields


class NewWebhookSerializer(WebhookSerializer):
    """A webhook that was just made."""

    secret = serializers.CharField(help_text="Signs each delivery. Shown this once.")

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")
        read_only_fields = fields


class WebhookRequestSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """Where to, of what, and of which campaign."""

    url = StrictCharField(
        max_length=500,
        validators=[URLValidator(schemes=["http", "https"])],
        help_text="Gets a POST with a JSON body for each event.",
    )
    events = BoundedListField(
        child=StrictChoiceField(choices=WebhookEvent.choices),
        min_length=1,
        max_length=len(WebhookEvent),
    )
    campaign_id = StrictIntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_BIGINT,
        help_text="Null or absent: of every campaign.",
    )


class DeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """One event on its way to a webhook."""

    webhook_id = serializers.IntegerField()
    event = serializers.ChoiceField(choices=WebhookEvent.choices)
    state = serializers.ChoiceField(choices=DeliveryState.choices)
    payload = serializers.DictField(help_text="The body that is sent.")

    class Meta:
        model = WebhookDelivery
        fields = (
            "id",
            "webhook_id",
            "event",
            "state",
            "attempts",
            "next_attempt_at",
            "last_status",
            "last_error",
            "created_at",
            "delivered_at",
            "payload",
        )
        read_only_fields = fields
