"""Results, the leaderboard, and what may be asked of them."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.exports.rows import MEASURED
from campaigns.models import Result
from campaigns.standings import board
from campaigns.standings.rows import Standing

MAX_LEADERBOARD_ROWS: Final = 500


class ResultSerializer(serializers.ModelSerializer[Result]):
    """The accepted metrics of a task."""

    task_id = serializers.IntegerField()
    task_number = serializers.IntegerField(source="task.number")
    params = serializers.DictField(source="task.params")
    seed = serializers.IntegerField(source="task.seed")
    worker = serializers.CharField(source="attempt.worker.name")
    metrics = serializers.DictField(help_text="The script's whole result line.")

    class Meta:
        model = Result
        fields = (
            "task_id",
            "task_number",
            "params",
            "seed",
            *MEASURED,
            "worker",
            "created_at",
            "metrics",
        )
        read_only_fields = fields


class LeaderboardQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which part of the leaderboard."""

    limit = serializers.IntegerField(default=50, min_value=1, max_value=MAX_LEADERBOARD_ROWS)
    offset = serializers.IntegerField(default=0, min_value=0, max_value=10_000_000)
    state = serializers.ChoiceField(
        choices=board.STATES,
        default=str(Standing.COMPLETED),
        help_text="How the tasks ended: with a measured value (the only ones with a rank), or "
        "without one and why; all: the ranked ones, below them the others. Simulated results "
        "only by their own word.",
    )
    device = serializers.CharField(
        default="", max_length=100, help_text="Rank only what was measured on it, among itself."
    )
    evaluation = serializers.ChoiceField(
        choices=["full", "subset"],
        required=False,
        help_text="Rank only what was evaluated on the whole validation split, or on a part of it.",
    )
    sort = serializers.CharField(
        default="rank",
        max_length=250,
        help_text="Another order of the same ranks: rank, val_bpb, seed, steps, tokens, device, "
        "time, or param. and a name, such as param.lr; with - before it descending.",
    )
    order = serializers.ChoiceField(
        choices=["asc", "desc"], required=False, help_text="The same as - before sort."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        order = attrs.pop("order", None)
        if order is not None:
            key = attrs["sort"].removeprefix("-")
            attrs["sort"] = key if order == "asc" else f"-{key}"
        return attrs


class ExportQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """What goes into the file."""

    simulated = serializers.BooleanField(
        default=False, help_text="Also results that nobody measured; each says so."
    )


class LeaderboardRowSerializer(serializers.Serializer[Any]):
    """`rows.Row`."""

    rank = serializers.IntegerField(allow_null=True, help_text="null for what has no rank.")
    state = serializers.ChoiceField(source="standing", choices=[str(one) for one in Standing])
    reason = serializers.CharField(help_text="Why it has no rank; empty for what has.")
    task_id = serializers.IntegerField(source="task.pk")
    task_number = serializers.IntegerField(source="task.number")
    params = serializers.DictField(source="task.params")
    seed = serializers.IntegerField(source="task.seed")
    result = ResultSerializer(allow_null=True, help_text="null for a task that failed.")


class LeaderboardSerializer(serializers.Serializer[Any]):
    """The rows that were asked for, and which params tell them apart."""

    rows = LeaderboardRowSerializer(many=True)
    varying_params = serializers.ListField(child=serializers.CharField())
    constant_params = serializers.DictField()
