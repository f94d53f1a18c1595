"""Workers, their speed and their sessions."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.serializers.calibrations import CalibrationSerializer
from campaigns.serializers.values import CALLED
from workers.api.serializers import WorkerSerializer
from workers.models import Worker, WorkerSession

# An answer holds at most this many of a worker's latest speeds and sessions.
SPEEDS: Final = 500
SESSIONS: Final = 20


class SpeedSerializer(serializers.Serializer[Any]):
    """How fast one measured attempt trained."""

    started_at = serializers.DateTimeField()
    task = serializers.CharField(help_text=CALLED)
    task_id = serializers.IntegerField()
    tokens_per_second = serializers.FloatField()
    steps_per_second = serializers.FloatField()
    gflops = serializers.FloatField(
        help_text="Estimated, so that models of different sizes can be compared."
    )


class SessionSerializer(serializers.ModelSerializer[WorkerSession]):
    """One run of an agent, from its first call to its last."""

    class Meta:
        model = WorkerSession
        fields = ("boot_id", "started_at", "last_seen_at", "ended_at")
        read_only_fields = fields


class WorkerHistorySerializer(serializers.Serializer[Any]):
    """The tasks that a worker holds, the number of its attempts, its speeds and its sessions."""

    tasks = serializers.ListField(
        child=serializers.CharField(), help_text="The tasks it holds now, by campaign and number."
    )
    task_ids = serializers.ListField(child=serializers.IntegerField())
    attempts = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Attempts that failed or were lost.")
    calibration = CalibrationSerializer(
        allow_null=True, help_text="How fast it was measured to be, the latest; null before."
    )
    speeds = SpeedSerializer(many=True, help_text=f"The latest {SPEEDS}, the oldest of them first.")
    sessions = SessionSerializer(many=True, help_text=f"The latest {SESSIONS}.")


class FleetWorkerSerializer(WorkerSerializer):
    """One worker of the fleet, for people."""

    is_online = serializers.SerializerMethodField(
        help_text="Whether it called the server within the lease time."
    )
    is_person = serializers.SerializerMethodField(
        help_text="True for a person's own programs, which ask and tell without an agent."
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
            "owner_pauses",
            "owner_pauses_until",
            "simulates",
            "isolation",
            "slots",
            "accepts_uploaded_scripts",
            "agent_version",
            "outdated",
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
            "tasks",
            "task_ids",
            "attempts",
            "completed",
            "failed",
            "calibration",
            "speeds",
            "sessions",
        )
        read_only_fields = fields
