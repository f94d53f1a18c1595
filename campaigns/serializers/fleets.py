"""Fleets: their demand for workers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.fleet.demand import ANY_DEVICE, DEVICES, MOST_COUNTED
from workers.models import ISOLATION_CHOICES


class _DemandSerializer(serializers.Serializer[dict[str, Any]]):
    claimable = serializers.IntegerField(
        help_text="Tasks that its workers could claim now. Of each need at most "
        f"{MOST_COUNTED:,} are counted, or as many as the fleet can run at a time."
    )
    leased = serializers.IntegerField(help_text="Tasks that its workers hold.")
    live_workers = serializers.IntegerField(help_text="Its workers that are not retired.")
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
