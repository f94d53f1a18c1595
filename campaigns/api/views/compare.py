"""What people call to put two to five tasks or campaigns side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.analysis import comparison
from campaigns.analysis.comparison import CampaignColumn, TaskColumn
from campaigns.api.filters import MAX_ID
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.api.serializers import SpreadSerializer
from campaigns.charts.compare import CAMPAIGN_AXES, TASK_AXES, campaign_series, task_series
from campaigns.models import Campaign, Task

FEWEST: Final = 2


class NumbersField(serializers.CharField):
    """Numbers with commas between them, each once."""

    def to_internal_value(self, data: Any) -> list[int]:  # type: ignore[override]
        words = [word.strip() for word in super().to_internal_value(data).split(",")]
        if not all(word.isascii() and word.isdecimal() and len(word) < 20 for word in words):
            raise serializers.ValidationError("Must be numbers with commas between them.")
        numbers = list(dict.fromkeys(map(int, words)))
        if not FEWEST <= len(numbers) <= comparison.MOST or max(numbers) > MAX_ID:
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


class CompareView(GenericAPIView[Any]):
    """Two to five tasks or campaigns: params that differ, values with their spread, curves."""

    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = ComparisonSerializer

    @extend_schema(
        operation_id="compare",
        tags=["results"],
        parameters=[CompareQuerySerializer],
        responses={200: ComparisonSerializer, **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        return Response(compared(query(CompareQuerySerializer, request)))


def compared(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison as JSON data, for what `CompareQuerySerializer` let through.

    Raises NotFound.
    """
    if "tasks" in asked:
        found = _tasks(asked["tasks"], asked["x"])
    else:
        found = _campaigns(asked["campaigns"], asked["x"])
    data: dict[str, Any] = ComparisonSerializer(found).data
    return data


def _tasks(pks: Sequence[int], axis: str) -> dict[str, Any]:
    columns, _ = comparison.task_columns(pks)
    _must_exist("task", pks, [column.task.pk for column in columns])
    names = [row.name for row in comparison.task_params(columns)]
    best = _best(columns)
    told = [
        _column(one, one.task, best)
        | {"task_id": one.task.pk, "measured": int(one.best is not None)}
        for one in columns
    ]
    return _told(columns, told) | {
        "params": _params(names, [column.task for column in columns]),
        "spaces": [],
        "x": axis,
        "curves": task_series(columns, axis),
    }


def _campaigns(pks: Sequence[int], axis: str) -> dict[str, Any]:
    columns = comparison.campaign_columns(pks)
    _must_exist("campaign", pks, [column.campaign.pk for column in columns])
    names = [row.name for row in comparison.best_params(columns)]
    best = _best(columns)
    told = [
        _column(one, one.campaign, best)
        | {"task_id": one.digest.best_task, "measured": one.digest.measured}
        for one in columns
    ]
    return _told(columns, told) | {
        "params": _params(names, [column.best_task for column in columns]),
        "spaces": comparison.spaces(columns),
        "x": axis,
        "curves": campaign_series(columns, axis),
    }


def _column(
    column: TaskColumn | CampaignColumn, shown: Task | Campaign, best: float | None
) -> dict[str, Any]:
    return {
        "letter": column.letter,
        "id": shown.pk,
        "name": str(shown),
        "state": shown.state,
        "val_bpb": column.best,
        "behind": None if column.best is None or best is None else column.best - best,
        "spread": column.spread,
    }


def _told(columns: Sequence[Any], told: list[dict[str, Any]]) -> dict[str, Any]:
    conditions = comparison.conditions(columns)
    return {
        "columns": told,
        "verdict": comparison.verdict(columns),
        "warnings": comparison.warnings(conditions),
        "conditions": conditions,
    }


def _best(columns: Sequence[Any]) -> float | None:
    return min((column.best for column in columns if column.best is not None), default=None)


def _params(names: Sequence[str], tasks: Sequence[Task | None]) -> list[dict[str, Any]]:
    """Return each param with its value in every task, as it is stored."""
    rows = []
    for name in names:
        values = [task.params.get(name) if task else None for task in tasks]
        differs = any(value != values[0] for value in values)
        rows.append({"name": name, "differs": differs, "values": values})
    return rows


def _must_exist(kind: str, asked: Sequence[int], found: Sequence[int]) -> None:
    missing = [str(pk) for pk in asked if pk not in found]
    if missing:
        raise NotFound(f"There is no {kind} {' and no '.join(missing)}.")
