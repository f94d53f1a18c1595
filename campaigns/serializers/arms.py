"""The board of arms."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.standings.raced import ArmStanding

MAX_BOARD_ROWS: Final = 1_000
# The largest number that the column of an arm's number holds.
MAX_ARM: Final = 2**31 - 1


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
    first_task = serializers.IntegerField(
        allow_null=True, help_text="The number of its first task in the campaign."
    )
    difference = serializers.FloatField(
        allow_null=True,
        help_text="With result_class=all: the median of its value minus that of the baseline arm, "
        "over undisturbed runs of both on one seed in one class. null for every other board, and "
        "without such a pair.",
    )
    pairs = serializers.IntegerField(
        allow_null=True, help_text="Over how many pairs of runs that is."
    )


class ClassSerializer(serializers.Serializer[Any]):
    """A class of results in a campaign: `standings.classes.CampaignClass`."""

    name = serializers.CharField(help_text="What selects it with result_class=.")
    title = serializers.CharField()
    results = serializers.IntegerField(help_text="Number of its results that count.")


class ArmsSerializer(serializers.Serializer[Any]):
    """What may be claimed of the arms, and a part of their board."""

    metric = serializers.CharField()
    unit = serializers.CharField()
    direction = serializers.CharField()
    verdict = serializers.CharField(help_text="What may be claimed, in a sentence.")
    result_class = serializers.CharField(help_text="The class of these rows, or all.")
    classes = ClassSerializer(many=True, help_text="The largest first, which is the default.")
    count = serializers.IntegerField(help_text="Number of rows in all.")
    baseline = serializers.IntegerField(
        allow_null=True, help_text="The arm to which the rows give differences, if they do."
    )
    paired = serializers.CharField(
        allow_blank=True, help_text="What the differences are, or why there are none."
    )
    rows = ArmRowSerializer(many=True)
    varying_params = serializers.ListField(child=serializers.CharField())
    constant_params = serializers.DictField()


class ClassQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Of which class of results the board is."""

    result_class = serializers.CharField(
        default="",
        max_length=120,
        help_text="Only results of this class, by its name in classes; all for every class, whose "
        "values then stand in no common order. The default is the class with most results.",
    )
    baseline = serializers.IntegerField(
        default=None,
        min_value=0,
        max_value=MAX_ARM,
        help_text="The number of the arm to which result_class=all gives differences. The default "
        "is the arm with runs in most classes.",
    )


class ArmsQuerySerializer(ClassQuerySerializer):
    """Which part of the board to return."""

    limit = serializers.IntegerField(default=50, min_value=1, max_value=MAX_BOARD_ROWS)
    offset = serializers.IntegerField(default=0, min_value=0, max_value=10_000_000)
