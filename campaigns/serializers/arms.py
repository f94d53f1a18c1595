"""The board of arms."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.standings.arms import ArmStanding

MAX_BOARD_ROWS: Final = 1_000


class ArmRowSerializer(serializers.Serializer[Any]):
    """One arm: `standings.arms.ArmRow`."""

    rank = serializers.IntegerField(
        allow_null=True, help_text="Only of the last race: champion, tie group, proven behind."
    )
    standing = serializers.ChoiceField(choices=[str(standing) for standing in ArmStanding])
    arm = serializers.IntegerField(help_text="The number of the arm in its campaign.")
    params = serializers.DictField()
    value = serializers.FloatField(
        allow_null=True,
        help_text="Of an arm that raced the median over its race seeds, else that of its first "
        "run, which proves nothing.",
    )
    half_width = serializers.FloatField(
        allow_null=True, help_text="How far the value may be off; null while the noise is unknown."
    )
    seeds = serializers.IntegerField(help_text="Race seeds with a value.")
    at_least = serializers.BooleanField(
        help_text="The race stopped early, so the value still favours the arm."
    )
    bad_seeds = serializers.CharField(allow_blank=True)
    first_task = serializers.IntegerField(allow_null=True, help_text="The id of its first task.")


class ArmsSerializer(serializers.Serializer[Any]):
    """What may be claimed of the arms, and a part of their board."""

    metric = serializers.CharField()
    unit = serializers.CharField()
    direction = serializers.CharField()
    verdict = serializers.CharField()
    count = serializers.IntegerField()
    rows = ArmRowSerializer(many=True)


class ArmsQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which part of the board to return."""

    limit = serializers.IntegerField(default=50, min_value=1, max_value=MAX_BOARD_ROWS)
    offset = serializers.IntegerField(default=0, min_value=0, max_value=10_000_000)
