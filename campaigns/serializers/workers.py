"""Workers, their speed and their sessions."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from workers.api.serializers import WorkerSerializer
from workers.models import Worker, WorkerSession

# How many of a worker's latest speeds and sessions an answer holds.
SPEEDS: Final = 500
SESSIONS: Final = 20


class SpeedSerializer(serializers.Serializer[Any]):
    """How fast one measured attempt trained."""

    started_at = serializers.DateTimeField()
    task_id = serializers.IntegerField()
    tokens_per_second = serializers.FloatField()
    steps_per_second = serializers.FloatField()
    gflops = serializers.FloatField(help_text="Estimated; compares models of different sizes.")


class SessionSerializer(serializers.ModelSerializer[WorkerSession]):
    """One start of an agent, from its first call to its last."""

    class Meta:
        model = WorkerSession
        fields = ("boot_id", "started_at", "last_seen_at", "ended_at")
        read_only_fields = fields


class WorkerHistorySerializer(serializers.Serializer[Any]):
    """What a worker holds, what became of its attempts, its speeds and sessions."""

    task_ids = serializers.ListField(
        child=serializers.IntegerField(), help_text="The tasks it holds now."
    )
    attempts = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Attempts that failed or were lost.")
    speeds = SpeedSerializer(many=True, help_text=f"The latest {SPEEDS}, the oldest first.")
    sessions = SessionSerializer(many=True, help_text=f"The latest {SESSIONS}.")


class FleetWorkerSerializer(WorkerSerializer):
    """One worker of the fleet, as people see it."""

    is_online = serializers.SerializerMethodField(help_text="Heard of within the lease time.")
    is_person = serializers.SerializerMethodField(
        help_text="No agent, but what a person's own program asks and tells under."
    )

    class Meta(WorkerSerializer.Meta):
        fields: Any = (
            "id",
            "name",
            "state",
            "is_online",
            "is_person",
            "paused_until",
            "pause_reason",
            "simulates",
            "isolation",
            "accepts_uploaded_scripts",
            "agent_version",
            "hardware",
            "enrolled_at",
            "last_seen_at",
        )
        read_only_fields = fields

    def get_is_online(self, worker: Worker) -> bool:
        return worker.is_online(self.context["now"])

    def get_is_person(self, worker: Worker) -> bool:
        return worker.is_program


class WorkerDetailSerializer(FleetWorkerSerializer, WorkerHistorySerializer):
    """One worker with its history."""

    class Meta(FleetWorkerSerializer.Meta):
        fields: Any = (
            *FleetWorkerSerializer.Meta.fields,
            "task_ids",
            "attempts",
            "completed",
            "failed",
            "speeds",
            "sessions",
        )
        read_only_fields = fields
