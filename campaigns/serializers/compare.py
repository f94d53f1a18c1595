"""Two to five tasks or campaigns side by side."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.analysis import comparison
from campaigns.charts.compare import CAMPAIGN_AXES, TASK_AXES
from campaigns.serializers.tasks import SpreadSerializer
from workers.api.fields import MAX_BIGINT

FEWEST: Final = 2


class NumbersField(serializers.CharField):
    """Numbers with commas between them, each once."""

    def to_internal_value(self, data: Any) -> list[int]:  # type: ignore[override]
        words = [word.strip() for word in super().to_internal_value(data).split(",")]
        if not all(word.isascii() and word.isdecimal() and len(word) < 20 for word in words):
            raise serializers.ValidationError("Must be numbers with commas between them.")
        numbers = list(dict.fromkeys(map(int, words)))
        if not FEWEST <= len(numbers) <= comparison.MOST or max(numbers) > MAX_BIGINT:
            raise serializers.ValidationError(
                f"Must be {FEWEST} to {comparison.MOST} different numbers."
            )
        return numbers


class CompareQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """What to put side by side: tasks or campaigns."""

    tasks = NumbersField(required=False, help_text="Numbers of 2 to 5 tasks, such as 7,12.")
    campaigns = NumbersField(required=False, help_text="Numbers of 2 to 5 campaigns.")
    x = serializers.ChoiceField(
        choices=[(axis, axis) for axis in (*TASK_AXES, *CAMPAIGN_AXES)],
        required=False,
        help_text="What the curves go over: of tasks seconds, steps or tokens; of campaigns "
        "results or hours.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("tasks" in attrs) == ("campaigns" in attrs):
            raise serializers.ValidationError("Ask for tasks=… or for campaigns=…, not for both.")
        axes = list(TASK_AXES if "tasks" in attrs else CAMPAIGN_AXES)
        if attrs.setdefault("x", axes[0]) not in axes:
            raise serializers.ValidationError({"x": [f"Must be one of {', '.join(axes)}."]})
        return attrs


class ColumnSerializer(serializers.Serializer[Any]):
    """One of the tasks or campaigns."""

    letter = serializers.CharField()
    id = serializers.IntegerField()
    name = serializers.CharField()
    state = serializers.CharField()
    val_bpb = serializers.FloatField(
        allow_null=True, help_text="The measured value; of a campaign the best one."
    )
    behind = serializers.FloatField(
        allow_null=True, help_text="How far it is behind the best column; null without a value."
    )
    spread = SpreadSerializer(
        allow_null=True, help_text="All seeds of these params; of a campaign, of its best task."
    )
    task_id = serializers.IntegerField(allow_null=True, help_text="The task, or the best one.")
    measured = serializers.IntegerField(help_text="Measured results behind the value.")


class ComparedParamSerializer(serializers.Serializer[Any]):
    """A param of the tasks, or of the campaigns' best tasks; null where there is none."""

    name = serializers.CharField()
    differs = serializers.BooleanField()
    values = serializers.ListField(child=serializers.JSONField(allow_null=True))


class ComparedRowSerializer(serializers.Serializer[Any]):
    """A condition, or the domain of a param, in words; "" where there is none."""

    name = serializers.CharField()
    differs = serializers.BooleanField()
    values = serializers.ListField(source="cells", child=serializers.CharField(allow_blank=True))


class CurveSerializer(serializers.Serializer[Any]):
    """val_bpb over the axis asked for; `end` is the result, beyond the progress points."""

    letter = serializers.CharField()
    x = serializers.ListField(child=serializers.FloatField())
    y = serializers.ListField(child=serializers.FloatField())
    end = serializers.ListField(child=serializers.FloatField(), allow_null=True)


class ComparisonSerializer(serializers.Serializer[Any]):
    """Two to five columns side by side."""

    columns = ColumnSerializer(many=True)
    verdict = serializers.CharField(
        allow_blank=True, help_text="Who is ahead, and whether chance may explain it."
    )
    warnings = serializers.ListField(child=serializers.CharField())
    params = ComparedParamSerializer(many=True)
    spaces = ComparedRowSerializer(many=True, help_text="From where campaigns draw each param.")
    conditions = ComparedRowSerializer(many=True)
    x = serializers.CharField()
    curves = CurveSerializer(many=True)
