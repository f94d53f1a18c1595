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
    """One webhook. Its secret was shown once, when it was made."""

    owner = serializers.CharField(source="owner.username")
    campaign_id = serializers.IntegerField(
        allow_null=True, help_text="The one campaign whose events it gets. Null: all campaigns."
    )
    events = serializers.ListField(child=serializers.ChoiceField(choices=WebhookEvent.choices))
    waiting = serializers.IntegerField(help_text="Deliveries that are still to be sent.")
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
    """A new webhook."""

    secret = serializers.CharField(
        help_text="The key that signs each delivery. It is shown only once."
    )

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")
        read_only_fields = fields


class WebhookRequestSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """The address of a webhook, its events, and the campaign they are about."""

    url = StrictCharField(
        max_length=500,
        validators=[URLValidator(schemes=["http", "https"])],
        help_text="The address that gets a POST with a JSON body for each event.",
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
        help_text="Only events of this campaign. The default, null, is all campaigns.",
    )


class DeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """One event that is sent to a webhook."""

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
