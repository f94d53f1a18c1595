"""What researchers get: campaigns, tasks with their attempts, results, the leaderboard."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.api.serializers_agent import DatasetReferenceSerializer
from campaigns.exports.rows import MEASURED
from campaigns.models import Attempt, Campaign, FailureClass, PackageOrigin, Result, Task
from campaigns.standings import board
from workers.models import ISOLATION_CHOICES

MAX_LEADERBOARD_ROWS: Final = 500


def _failure_class() -> serializers.ChoiceField:
    """A model's own field, read-only, would keep from the document that it may be empty."""
    return serializers.ChoiceField(
        choices=FailureClass.choices,
        allow_blank=True,
        read_only=True,
        help_text="Empty where nothing failed.",
    )


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    """One campaign of a list."""

    owner = serializers.CharField(source="owner.username", default=None, allow_null=True)
    code_sha256 = serializers.CharField(source="package_id")
    script_origin = serializers.ChoiceField(source="package.origin", choices=PackageOrigin.choices)
    script_may_run = serializers.BooleanField(
        source="package.may_run",
        help_text="False while an uploaded script waits for an operator: no task is handed out.",
    )
    required_isolation = serializers.ChoiceField(choices=ISOLATION_CHOICES)
    dataset = DatasetReferenceSerializer()
    best_val_bpb = serializers.FloatField(
        source="best",
        allow_null=True,
        help_text="The best measured value; null while there is none.",
    )

    class Meta:
        model = Campaign
        fields: Any = (
            "id",
            "name",
            "description",
            "owner",
            "state",
            "state_reason",
            "experiment",
            "code_sha256",
            "script_origin",
            "script_may_run",
            "required_isolation",
            "dataset",
            "sampler",
            "base_seed",
            "task_count",
            "time_budget_seconds",
            "allow_simulated",
            "max_failed_attempts",
            "max_lost_attempts",
            "best_val_bpb",
            "created_at",
            "launched_at",
            "finished_at",
        )
        read_only_fields = fields


class ProgressSerializer(serializers.Serializer[Any]):
    """`progress.CampaignProgress`."""

    pending = serializers.IntegerField()
    leased = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    fraction = serializers.FloatField()
    simulated = serializers.IntegerField()
    diverged = serializers.IntegerField()
    compute_seconds = serializers.FloatField()
    tasks_per_hour = serializers.FloatField(allow_null=True)
    eta_seconds = serializers.FloatField(allow_null=True)
    failure_classes = serializers.DictField(child=serializers.IntegerField())


class CampaignDetailSerializer(CampaignSerializer):
    """One campaign with its search space and how far it is."""

    search_space = serializers.DictField()
    progress = ProgressSerializer()

    class Meta(CampaignSerializer.Meta):
        fields = (*CampaignSerializer.Meta.fields, "search_space", "progress")
        read_only_fields = fields


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


class TaskSerializer(serializers.ModelSerializer[Task]):
    """One task of a list."""

    campaign_id = serializers.IntegerField()
    params = serializers.DictField()
    worker = serializers.CharField(source="worker.name", default=None, allow_null=True)
    val_bpb = serializers.FloatField(source="result.val_bpb", default=None, allow_null=True)
    failure_class = _failure_class()

    class Meta:
        model = Task
        fields: Any = (
            "id",
            "campaign_id",
            "number",
            "params",
            "seed",
            "origin",
            "state",
            "failure_class",
            "failed_attempts",
            "lost_attempts",
            "worker",
            "val_bpb",
            "created_at",
            "finished_at",
        )
        read_only_fields = fields


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One worker's try at a task."""

    worker = serializers.CharField(source="worker.name")
    failure_class = _failure_class()

    class Meta:
        model = Attempt
        fields: Any = (
            "number",
            "worker",
            "outcome",
            "failure_class",
            "message",
            "exit_code",
            "started_at",
            "ended_at",
            "wall_time_seconds",
            "stderr_tail",
        )
        read_only_fields = fields


class AttemptOfCampaignSerializer(AttemptSerializer):
    """One attempt of a campaign's list; its stderr is with the task."""

    task_id = serializers.IntegerField()
    task_number = serializers.IntegerField(source="task.number")

    class Meta(AttemptSerializer.Meta):
        fields = (
            "task_id",
            "task_number",
            *(name for name in AttemptSerializer.Meta.fields if name != "stderr_tail"),
        )
        read_only_fields = fields


class SpreadSerializer(serializers.Serializer[Any]):
    """`spread.Spread`: what one point of the search space reached with its seeds."""

    mean = serializers.FloatField(allow_null=True)
    deviation = serializers.FloatField(
        allow_null=True, help_text="Sample standard deviation; null with fewer than two values."
    )
    values = serializers.ListField(child=serializers.FloatField())


class TaskDetailSerializer(TaskSerializer):
    """One task with its config, its attempts and its result."""

    config = serializers.DictField(help_text="What the script reads.")
    attempts = AttemptSerializer(many=True)
    result = ResultSerializer(default=None, allow_null=True)
    replicates = SpreadSerializer(help_text="The measured values of these params, all seeds.")

    class Meta(TaskSerializer.Meta):
        fields = (*TaskSerializer.Meta.fields, "config", "attempts", "result", "replicates")
        read_only_fields = fields


class LeaderboardQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which part of the leaderboard."""

    limit = serializers.IntegerField(default=50, min_value=1, max_value=MAX_LEADERBOARD_ROWS)
    offset = serializers.IntegerField(default=0, min_value=0, max_value=10_000_000)
    state = serializers.ChoiceField(
        choices=board.STATES,
        default=str(board.Standing.COMPLETED),
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
    """`board.Entry`."""

    rank = serializers.IntegerField(allow_null=True, help_text="null for what has no rank.")
    state = serializers.ChoiceField(source="standing", choices=[str(one) for one in board.Standing])
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
