"""Results, the leaderboard, and the queries for both."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.exports.rows import MEASURED
from campaigns.models import Result
from campaigns.serializers.values import ValBpbField
from campaigns.standings import board
from campaigns.standings.rows import Standing

MAX_LEADERBOARD_ROWS: Final = 500


class ResultSerializer(serializers.ModelSerializer[Result]):
    """The accepted metrics of a task."""

    task_id = serializers.IntegerField()
    task_number = serializers.IntegerField(source="task.number")
    params = serializers.DictField(source="task.params")
    seed = serializers.IntegerField(source="task.seed")
    metric = serializers.CharField(source="campaign.metric_spec.name")
    val_bpb = ValBpbField(
        metric="campaign.metric_spec.name",
        source="value",
        help_text="The same value if the campaign's metric is val_bpb.",
    )
    result_class_id = serializers.IntegerField(
        allow_null=True,
        help_text="Only results of one class may stand in one order; null if nothing was measured.",
    )
    worker = serializers.CharField(source="attempt.worker.name")
    metrics = serializers.DictField(help_text="The complete result line of the script.")

    class Meta:
        model = Result
        fields = (
            "task_id",
            "task_number",
            "params",
            "seed",
            "metric",
            "value",
            "val_bpb",
            *MEASURED,
            "implausible",
            "admitted_at",
            "result_class_id",
            "worker",
            "created_at",
            "metrics",
        )
        read_only_fields = fields


class LeaderboardQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which part of the leaderboard to return, and in which order."""

    limit = serializers.IntegerField(default=50, min_value=1, max_value=MAX_LEADERBOARD_ROWS)
    offset = serializers.IntegerField(default=0, min_value=0, max_value=10_000_000)
    state = serializers.ChoiceField(
        choices=board.STATES,
        default=str(Standing.COMPLETED),
        help_text="How the tasks ended. completed: with a measured value; only these have a rank. "
        "all: the ranked tasks, then those that ended without a rank. implausible: better than "
        "models reach on this data set, and not counted until an operator admits them. Simulated "
        "results appear only with state=simulated.",
    )
    device = serializers.CharField(
        default="",
        max_length=100,
        help_text="Only results that were measured on this device, ranked among themselves.",
    )
    evaluation = serializers.ChoiceField(
        choices=["full", "subset"],
        required=False,
        help_text="Only results that were evaluated on the whole validation split (full) or on a "
        "part of it (subset), ranked among themselves.",
    )
    sort = serializers.CharField(
        default="rank",
        max_length=250,
        help_text="The order of the rows: rank, value or the name of the metric, such as val_bpb, "
        "seed, steps, tokens, device, time, or a param, such as param.lr. A leading - sorts in "
        "descending order. The ranks stay the same.",
    )
    order = serializers.ChoiceField(
        choices=["asc", "desc"],
        required=False,
        help_text="The direction of the sort. desc is the same as a leading - in `sort`.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        order = attrs.pop("order", None)
        if order is not None:
            key = attrs["sort"].removeprefix("-")
            attrs["sort"] = key if order == "asc" else f"-{key}"
        return attrs


class ExportQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which results go into the file."""

    simulated = serializers.BooleanField(
        default=False, help_text="Also simulated results, which are marked as such."
    )


class LeaderboardRowSerializer(serializers.Serializer[Any]):
    """`rows.Row`: one task of the leaderboard."""

    rank = serializers.IntegerField(allow_null=True, help_text="Null if the task has no rank.")
    state = serializers.ChoiceField(
        source="standing", choices=[str(standing) for standing in Standing]
    )
    reason = serializers.CharField(help_text="Why the task has no rank. Empty if it has one.")
    task_id = serializers.IntegerField(source="task.pk")
    task_number = serializers.IntegerField(source="task.number")
    params = serializers.DictField(source="task.params")
    seed = serializers.IntegerField(source="task.seed")
    result = ResultSerializer(allow_null=True, help_text="Null if the task failed.")


class LeaderboardSerializer(serializers.Serializer[Any]):
    """The requested rows, and the params that differ or are the same between the tasks."""

    rows = LeaderboardRowSerializer(many=True)
    varying_params = serializers.ListField(child=serializers.CharField())
    constant_params = serializers.DictField()
