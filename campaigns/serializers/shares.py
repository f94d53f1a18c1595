"""The share of the workers that a campaign has beside others."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.models.share import MAX_PLACE, MAX_WEIGHT, MIN_WEIGHT
from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import StrictFloatField, StrictIntegerField


class ShareSerializer(serializers.Serializer[Any]):
    """`answers.shares.share_data`."""

    weight = serializers.FloatField(
        help_text="Of two campaigns that wait, the one with twice the weight gets twice the time."
    )
    place = serializers.IntegerField(
        allow_null=True,
        help_text="In the order of its owner's campaigns: 1 takes the turns of all before 2, and "
        "those without a place come last.",
    )
    account_seconds = serializers.FloatField(
        help_text="Seconds of budget handed out, by the weight: the smallest goes first."
    )
    turn = serializers.IntegerField(
        allow_null=True,
        help_text="Its place in the order of turns. Null while nothing of it waits, and while its "
        "turns go to another one that its owner put first.",
    )
    turns = serializers.IntegerField(
        allow_null=True, help_text="How many campaigns wait. Null while nothing of it does."
    )
    share = serializers.FloatField(
        allow_null=True,
        help_text="What it gets, from 0 to 1, of the time of workers that may run all that waits.",
    )
    sentence = serializers.CharField()


class SetShareSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A campaign's share. An absent field stays as it is."""

    weight = StrictFloatField(
        required=False, min_value=MIN_WEIGHT, max_value=MAX_WEIGHT, help_text="For operators."
    )
    place = StrictIntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_PLACE,
        help_text="For its owner and operators; null for none.",
    )
