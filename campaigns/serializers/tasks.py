"""Tasks with their attempts, and the params that people or their programs add as tasks."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.models import MAX_SEED, Attempt, FailureClass, ProgressPoint, Task
from campaigns.serializers.known_fields import KnownFieldsSerializer
from campaigns.serializers.results import ResultSerializer
from campaigns.serializers.values import CALLED, ValBpbField
from workers.api.fields import JSONObjectField, StrictIntegerField, StrictUUIDField
from workers.protocol import MAX_LEASES_PER_CLAIM

MAX_PARAMS_BYTES: Final = 16 * 1024


def _failure_class() -> serializers.ChoiceField:
    """Return a field that says in the OpenAPI document that it may be empty.

    The field that REST framework generates for a read-only model field does not say so.
    """
    return serializers.ChoiceField(
        choices=FailureClass.choices,
        allow_blank=True,
        read_only=True,
        help_text="Empty if nothing failed.",
    )


class TaskSerializer(serializers.ModelSerializer[Task]):
    """One task of a list."""

    task = serializers.CharField(source="name", help_text=CALLED)
    campaign_id = serializers.IntegerField()
    arm = serializers.IntegerField(source="arm.number", help_text="The number of its arm.")
    params = serializers.DictField()
    worker = serializers.CharField(source="worker.name", default=None, allow_null=True)
    metric = serializers.CharField(source="campaign.metric_spec.name")
    value = serializers.FloatField(source="result.value", default=None, allow_null=True)
    val_bpb = ValBpbField(
        metric="campaign.metric_spec.name",
        source="result.value",
        default=None,
        help_text="The same value if the campaign's metric is val_bpb.",
    )
    failure_class = _failure_class()

    class Meta:
        model = Task
        fields: Any = (
            "id",
            "task",
            "campaign_id",
            "number",
            "arm",
            "params",
            "seed",
            "seed_index",
            "max_steps",
            "purpose",
            "origin",
            "state",
            "failure_class",
            "failed_attempts",
            "lost_attempts",
            "worker",
            "metric",
            "value",
            "val_bpb",
            "created_at",
            "finished_at",
        )
        read_only_fields = fields


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One attempt of a worker at a task."""

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
            "time_budget_seconds",
            "started_at",
            "ended_at",
            "wall_time_seconds",
            "stderr_tail",
        )
        read_only_fields = fields


class AttemptOfCampaignSerializer(AttemptSerializer):
    """One attempt of a list. The end of its stderr is only in the detail of its task."""

    task = serializers.CharField(source="task.name", help_text=CALLED)
    task_id = serializers.IntegerField()
    task_number = serializers.IntegerField(source="task.number")

    class Meta(AttemptSerializer.Meta):
        fields = (
            "task",
            "task_id",
            "task_number",
            *(name for name in AttemptSerializer.Meta.fields if name != "stderr_tail"),
        )
        read_only_fields = fields


class SpreadSerializer(serializers.Serializer[Any]):
    """`seeds_of_point.Spread`: the measured values of one point of the search space, all seeds."""

    mean = serializers.FloatField(allow_null=True, help_text="Null without a value.")
    deviation = serializers.FloatField(
        allow_null=True, help_text="Sample standard deviation. Null with fewer than two values."
    )
    values = serializers.ListField(child=serializers.FloatField())


class TaskDetailSerializer(TaskSerializer):
    """One task with its config, its attempts and its result."""

    config = serializers.DictField(
        source="last_config", help_text="The config file that the script of the last attempt reads."
    )
    attempts = AttemptSerializer(many=True)
    result = ResultSerializer(default=None, allow_null=True)
    replicates = SpreadSerializer(help_text="The measured values of the same params, all seeds.")

    class Meta(TaskSerializer.Meta):
        fields = (*TaskSerializer.Meta.fields, "config", "attempts", "result", "replicates")
        read_only_fields = fields


class PointSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A point of the search space, chosen by a person or by an outside optimiser."""

    params = JSONObjectField(
        max_bytes=MAX_PARAMS_BYTES, help_text="A value for each parameter of the search space."
    )
    seed = StrictIntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SEED,
        help_text="The default is the first seed of the campaign's list that the params have "
        "not had.",
    )


class AskSerializer(PointSerializer):
    """An ask for pending tasks, or for a new task with given params."""

    claim_id = StrictUUIDField(
        required=False,
        help_text="The same id again returns the same leases. The default is a new id.",
    )
    count = StrictIntegerField(default=1, min_value=1, max_value=MAX_LEASES_PER_CLAIM)
    params = JSONObjectField(
        required=False,
        max_bytes=MAX_PARAMS_BYTES,
        help_text="Make a task with these params and lease it. The default is to lease pending "
        "tasks.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "params" in attrs and attrs["count"] != 1:
            raise serializers.ValidationError(
                {"count": ["Must be 1 if params are given: they make one task."]}
            )
        if "seed" in attrs and "params" not in attrs:
            raise serializers.ValidationError(
                {"seed": ["Only allowed with params: pending tasks have seeds already."]}
            )
        return attrs


class ProgressPointSerializer(serializers.ModelSerializer[ProgressPoint]):
    """One point of a learning curve."""

    attempt = serializers.IntegerField(source="attempt.number")
    val_bpb = ValBpbField(
        metric="metric",
        source="value",
        help_text="The same value if the campaign's metric is val_bpb.",
    )

    class Meta:
        model = ProgressPoint
        fields = (
            "attempt",
            "seq",
            "elapsed_seconds",
            "step",
            "tokens",
            "train_loss",
            "value",
            "val_bpb",
        )
        read_only_fields = fields
