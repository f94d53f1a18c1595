"""Tasks with their attempts, and the points people add."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.models import MAX_SEED, Attempt, FailureClass, ProgressPoint, Task
from campaigns.serializers.known_fields import KnownFieldsSerializer
from campaigns.serializers.results import ResultSerializer
from workers.api.fields import JSONObjectField, StrictIntegerField, StrictUUIDField
from workers.protocol import MAX_LEASES_PER_CLAIM

MAX_PARAMS_BYTES: Final = 16 * 1024


def _failure_class() -> serializers.ChoiceField:
    """A model's own field, read-only, would keep from the document that it may be empty."""
    return serializers.ChoiceField(
        choices=FailureClass.choices,
        allow_blank=True,
        read_only=True,
        help_text="Empty where nothing failed.",
    )


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
    """`seeds_of_point.Spread`: what one point of the search space reached with its seeds."""

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


class PointSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A point of the search space that a person or an outside optimiser chose."""

    params = JSONObjectField(
        max_bytes=MAX_PARAMS_BYTES, help_text="A value for each parameter of the search space."
    )
    seed = StrictIntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SEED,
        help_text="Absent, the campaign's seeds go on.",
    )


class AskSerializer(PointSerializer):
    """What is asked for: waiting tasks, or a new one with the asker's params."""

    claim_id = StrictUUIDField(
        required=False, help_text="Sent again, it brings the same leases; absent, it is made up."
    )
    count = StrictIntegerField(default=1, min_value=1, max_value=MAX_LEASES_PER_CLAIM)
    params = JSONObjectField(
        required=False,
        max_bytes=MAX_PARAMS_BYTES,
        help_text="Make a task with these params and lease it; absent, what waits is leased.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "params" in attrs and attrs["count"] != 1:
            raise serializers.ValidationError({"count": ["Given params make one task: ask for 1."]})
        if "seed" in attrs and "params" not in attrs:
            raise serializers.ValidationError({"seed": ["Waiting tasks have seeds; send params."]})
        return attrs


class ProgressPointSerializer(serializers.ModelSerializer[ProgressPoint]):
    """One point of a learning curve."""

    attempt = serializers.IntegerField(source="attempt.number")

    class Meta:
        model = ProgressPoint
        fields = (
            "attempt",
            "seq",
            "elapsed_seconds",
            "step",
            "tokens",
            "train_loss",
            "val_bpb",
        )
        read_only_fields = fields
