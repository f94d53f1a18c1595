"""The journal: changes of state of campaigns, tasks and attempts."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers

from campaigns.models import StateChange
from campaigns.serializers.values import CALLED


class StateChangeSerializer(serializers.ModelSerializer[StateChange]):
    """One change of state of a campaign, a task or an attempt."""

    task = serializers.CharField(
        source="task.name", default=None, allow_null=True, help_text=CALLED
    )
    attempt = serializers.IntegerField(
        source="attempt.number",
        allow_null=True,
        default=None,
        help_text="The attempt's number, from 1.",
    )
    worker = serializers.CharField(
        source="attempt.worker.name",
        allow_null=True,
        default=None,
        help_text="The worker of the attempt.",
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
