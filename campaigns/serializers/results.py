"""Results, and the query of the files with all of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.exports.rows import MEASURED
from campaigns.models import Result
from campaigns.serializers.values import CALLED, ValBpbField


class ResultSerializer(serializers.ModelSerializer[Result]):
    """The accepted metrics of a task."""

    task = serializers.CharField(source="task.name", help_text=CALLED)
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
            "task",
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


class ExportQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which results go into the file."""

    simulated = serializers.BooleanField(
        default=False, help_text="Also simulated results, which are marked as such."
    )
