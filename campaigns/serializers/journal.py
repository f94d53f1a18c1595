"""One line of the journal."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers

from campaigns.models import StateChange


class StateChangeSerializer(serializers.ModelSerializer[StateChange]):
    """One line of the journal."""

    task = serializers.IntegerField(source="task_id", allow_null=True)
    attempt = serializers.IntegerField(
        source="attempt.number", allow_null=True, default=None, help_text="Its number, from 1."
    )
    worker = serializers.CharField(
        source="attempt.worker.name", allow_null=True, default=None, help_text="The attempt's."
    )

    class Meta:
        model = StateChange
        fields: ClassVar = [
            "id",
            "at",
            "subject",
            "task",
            "attempt",
            "worker",
            "from_state",
            "to_state",
            "actor_kind",
            "actor_name",
            "reason",
        ]
        read_only_fields = fields
