"""Fleets: their demand for workers, and their tokens."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.fleet.demand import ANY_DEVICE, DEVICES, MOST_COUNTED
from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import StrictCharField, StrictChoiceField, StrictIntegerField
from workers.fleet_form import MAX_DAYS, MAX_LABEL_LENGTH, FleetTokenForm
from workers.fleet_token import MAX_FLEET_WORKERS, MAX_PREFIX_LENGTH, PREFIX_WORDS, FleetToken
from workers.models import ISOLATION_CHOICES


class _DemandSerializer(serializers.Serializer[dict[str, Any]]):
    claimable = serializers.IntegerField(
        help_text="Tasks that its workers could claim now. Of each need at most "
        f"{MOST_COUNTED:,} are counted, or as many as the fleet can run at a time."
    )
    leased = serializers.IntegerField(help_text="Tasks that its workers hold.")
    live_workers = serializers.IntegerField(
        help_text="Its workers that called within the lease time."
    )
    wanted_workers = serializers.IntegerField(
        help_text="As many as run all of these tasks at a time, at most `max_live`."
    )


class FleetNeedSerializer(_DemandSerializer):
    """`protocol.FleetNeed`."""

    device = serializers.ChoiceField(
        choices=[*DEVICES, ANY_DEVICE],
        help_text="What the tasks train on; any where their search space leaves it open.",
    )
    tier = serializers.ChoiceField(
        choices=ISOLATION_CHOICES, help_text="The weakest isolation that may run them."
    )


class FleetDemandSerializer(_DemandSerializer):
    """`protocol.FleetDemand`."""

    oldest_wait_seconds = serializers.FloatField(
        allow_null=True, help_text="Of the oldest claimable task; null without one."
    )
    max_live = serializers.IntegerField(help_text="The bound of the token.")
    needs = FleetNeedSerializer(many=True, help_text="Those with tasks.")


class FleetTokenSerializer(serializers.ModelSerializer[FleetToken]):
    """One fleet's token. The server stores only its hash."""

    created_by = serializers.CharField(
        source="created_by.username",
        default=None,
        allow_null=True,
        help_text="Null if it was made on the server's command line.",
    )
    tier = serializers.ChoiceField(
        choices=ISOLATION_CHOICES,
        allow_blank=True,
        help_text="The weakest isolation in which its workers get tasks; empty for any.",
    )
    live_workers = serializers.IntegerField(source="live", default=0)

    class Meta:
        model = FleetToken
        fields: Any = (
            "id",
            "label",
            "name_prefix",
            "max_live",
            "tier",
            "created_by",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "live_workers",
        )
        read_only_fields = fields


class NewFleetTokenSerializer(FleetTokenSerializer):
    """A new fleet's token, with its secret."""

    token = serializers.CharField(help_text="It is shown only once.")
    command = serializers.CharField(help_text="What each job of the cluster runs.")

    class Meta(FleetTokenSerializer.Meta):
        fields = (*FleetTokenSerializer.Meta.fields, "token", "command")
        read_only_fields = fields


class FleetTokenRequestSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """What a new fleet's token allows."""

    label = StrictCharField(max_length=MAX_LABEL_LENGTH)  # type: ignore[assignment]
    name_prefix = StrictCharField(
        max_length=MAX_PREFIX_LENGTH,
        help_text=f"The names of its workers begin with it and a hyphen. {PREFIX_WORDS}",
    )
    max_live = StrictIntegerField(
        min_value=1,
        max_value=MAX_FLEET_WORKERS,
        help_text="How many of its workers may live at a time.",
    )
    tier = StrictChoiceField(
        required=False,
        allow_blank=True,
        choices=ISOLATION_CHOICES,
        help_text="The weakest isolation in which its workers get tasks; empty for any.",
    )
    lifetime_days = StrictIntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_DAYS,
        help_text="How long it is valid; null, or left out, until it is revoked.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of `steering.create_fleet`, as the form of the page does."""
        form = FleetTokenForm(attrs)
        if not form.is_valid():
            raise serializers.ValidationError(
                {name: list(map(str, texts)) for name, texts in form.errors.items()}
            )
        return form.scope()
