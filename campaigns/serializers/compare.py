"""Two to five tasks or campaigns side by side."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.analysis import comparison
from campaigns.charts.compare import CAMPAIGN_AXES, TASK_AXES
from campaigns.models import TaskName
from campaigns.serializers.tasks import SpreadSerializer
from campaigns.serializers.values import ValBpbField
from workers.api.fields import MAX_BIGINT

FEWEST: Final = 2


class TaskNamesField(serializers.CharField):
    """Names of tasks with commas between them. Repeated names count once."""

    def to_internal_value(self, data: Any) -> list[TaskName]:  # type: ignore[override]
        try:
            names = [TaskName.parse(word) for word in super().to_internal_value(data).split(",")]
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        names = list(dict.fromkeys(names))
        if not FEWEST <= len(names) <= comparison.MOST:
            raise serializers.ValidationError(
                f"Must be {FEWEST} to {comparison.MOST} different tasks."
            )
        return names


class NumbersField(serializers.CharField):
    """Numbers with commas between them. Repeated numbers count once."""

    def to_internal_value(self, data: Any) -> list[int]:  # type: ignore[override]
        words = [word.strip() for word in super().to_internal_value(data).split(",")]
        if not all(word.isascii() and word.isdecimal() and len(word) < 20 for word in words):
            raise serializers.ValidationError("Must be numbers separated by commas.")
        numbers = list(dict.fromkeys(map(int, words)))
        if not FEWEST <= len(numbers) <= comparison.MOST or max(numbers) > MAX_BIGINT:
            raise serializers.ValidationError(
                f"Must be {FEWEST} to {comparison.MOST} different numbers."
            )
        return numbers


class CompareQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """What to compare: tasks or campaigns."""

    tasks = TaskNamesField(
        required=False,
        help_text="2 to 5 tasks, each by its campaign and its number there, such as 3/17,3/18.",
    )
    campaigns = NumbersField(required=False, help_text="Numbers of 2 to 5 campaigns.")
    x = serializers.ChoiceField(
        choices=[(axis, axis) for axis in (*TASK_AXES, *CAMPAIGN_AXES)],
        required=False,
        help_text="The x axis of the curves: seconds, steps or tokens for tasks; results or hours "
        "for campaigns.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("tasks" in attrs) == ("campaigns" in attrs):
            raise serializers.ValidationError("Give either tasks=… or campaigns=….")
        axes = list(TASK_AXES if "tasks" in attrs else CAMPAIGN_AXES)
        if attrs.setdefault("x", axes[0]) not in axes:
            raise serializers.ValidationError({"x": [f"Must be one of {', '.join(axes)}."]})
        return attrs


class ColumnSerializer(serializers.Serializer[Any]):
    """One of the compared tasks or campaigns."""

    letter = serializers.CharField()
    id = serializers.IntegerField(help_text="Of the campaign; of a task see task.")
    name = serializers.CharField()
    state = serializers.CharField()
    metric = serializers.CharField(help_text="The name of the metric that the campaign ranks by.")
    value = serializers.FloatField(
        allow_null=True,
        help_text="The measured value of the task, or that of the first arm on the campaign's "
        "board: its race value, or that of its first seed.",
    )
    val_bpb = ValBpbField(
        metric="metric", source="value", help_text="The same value if the metric is val_bpb."
    )
    behind = serializers.FloatField(
        allow_null=True,
        help_text="How far its value is from the lowest of the columns, or the highest if the "
        "metric is maximised. Null without a value, and for columns of different metrics.",
    )
    spread = SpreadSerializer(
        allow_null=True,
        help_text="Results of all seeds of the task's arm, or of the campaign's first.",
    )
    task = serializers.CharField(
        allow_null=True,
        help_text="The task, or the first task of the campaign's first arm: its campaign and its "
        "number there.",
    )
    task_id = serializers.IntegerField(allow_null=True)
    measured = serializers.IntegerField(
        help_text="Number of measured results: of the task 0 or 1, or of the whole campaign."
    )


class ComparedParamSerializer(serializers.Serializer[Any]):
    """One param of the tasks, or of the campaigns' first arms. Null where a task lacks it."""

    name = serializers.CharField()
    differs = serializers.BooleanField()
    values = serializers.ListField(child=serializers.JSONField(allow_null=True))


class ComparedRowSerializer(serializers.Serializer[Any]):
    """A condition, or the domain of a param, in words. Empty where it is unknown."""

    name = serializers.CharField()
    differs = serializers.BooleanField()
    values = serializers.ListField(source="cells", child=serializers.CharField(allow_blank=True))


class CurveSerializer(serializers.Serializer[Any]):
    """The value over the chosen axis. `end` is the result, which follows the progress points."""

    letter = serializers.CharField()
    x = serializers.ListField(child=serializers.FloatField())
    y = serializers.ListField(child=serializers.FloatField())
    end = serializers.ListField(child=serializers.FloatField(), allow_null=True)


class ComparisonSerializer(serializers.Serializer[Any]):
    """Two to five columns side by side."""

    columns = ColumnSerializer(many=True)
    verdict = serializers.CharField(
        allow_blank=True,
        help_text="Which arm is ahead on the seeds that all of them share, whether no difference "
        "is shown, or why it cannot be told. Empty with fewer than two values.",
    )
    warnings = serializers.ListField(child=serializers.CharField())
    params = ComparedParamSerializer(many=True)
    spaces = ComparedRowSerializer(
        many=True, help_text="The domain from which each campaign draws a param."
    )
    conditions = ComparedRowSerializer(many=True)
    x = serializers.CharField()
    curves = CurveSerializer(many=True)
