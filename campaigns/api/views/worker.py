"""What people call for one worker: what it is, how fast it is, and everything it ran."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db.models import Count, Q, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.filters import Cursor, WorkerAttemptFilter
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.serializers import AttemptOfCampaignSerializer
from campaigns.api.views.workers import FleetWorkerSerializer
from campaigns.clock import database_now
from campaigns.models import Attempt, AttemptOutcome
from workers import fleet
from workers.models import Worker, WorkerSession

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


class WorkerView(GenericAPIView[Worker]):
    """One worker: its machine, its speed, and when it was here."""

    queryset = Worker.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_worker",
        tags=["workers"],
        responses={200: WorkerDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        worker = get_object_or_404(Worker, pk=pk)
        ended_well = [AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED]
        counts = worker.attempts.aggregate(
            attempts=Count("pk"),
            completed=Count("pk", filter=Q(outcome__in=ended_well)),
            failed=Count("pk", filter=Q(outcome__in=[AttemptOutcome.FAILED, AttemptOutcome.LOST])),
        )
        details = {
            "task_ids": list(worker.leased_tasks.values_list("pk", flat=True)),
            "speeds": fleet.speeds(worker, limit=SPEEDS),
            "sessions": worker.sessions.all()[:SESSIONS],
        }
        context = {"now": database_now()}
        about = FleetWorkerSerializer(worker, context=context).data
        return Response(about | WorkerHistorySerializer(counts | details).data)


class WorkerAttemptsView(ListAPIView[Attempt]):
    """Everything a worker ran, the last begun first."""

    queryset = Attempt.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = AttemptOfCampaignSerializer
    filterset_class = WorkerAttemptFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[Attempt]:
        worker = get_object_or_404(Worker, pk=self.kwargs["pk"])
        return Attempt.objects.brief().filter(worker=worker).select_related("task", "worker")

    @extend_schema(
        operation_id="list_worker_attempts",
        tags=["workers"],
        responses={200: AttemptOfCampaignSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
