"""Endpoints of the fleet: the list of workers, one worker, and the verbs of operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import Count, Q, QuerySet
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.filters import WorkerAttemptFilter
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import person
from campaigns.clock import database_now
from campaigns.models import Attempt, AttemptOutcome
from campaigns.serializers.tasks import AttemptOfCampaignSerializer
from campaigns.serializers.workers import (
    SESSIONS,
    SPEEDS,
    FleetWorkerSerializer,
    WorkerDetailSerializer,
    WorkerHistorySerializer,
)
from workers import fleet, steering
from workers.models import Worker, WorkerState


class WorkerFilter(filters.FilterSet):
    """Filter workers by state and a part of their name."""

    state = filters.ChoiceFilter(
        choices=WorkerState.choices,
        help_text="Without it the retired workers of fleets are left out.",
    )
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="A part of the name."
    )

    class Meta:
        model = Worker
        fields: ClassVar = ["state", "search"]

    def filter_queryset(self, queryset: QuerySet[Worker]) -> QuerySet[Worker]:
        matches: QuerySet[Worker] = super().filter_queryset(queryset)
        if self.form.cleaned_data["state"]:
            return matches
        return matches.exclude(state=WorkerState.RETIRED)


class WorkersView(ListAPIView[Worker]):
    """List the workers, by name."""

    queryset = Worker.objects.order_by("name")
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = FleetWorkerSerializer
    filterset_class = WorkerFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("name",)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": database_now()}

    @extend_schema(
        operation_id="list_workers",
        tags=["workers"],
        responses={200: FleetWorkerSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class WorkerVerbView(GenericAPIView[Worker]):
    """Base of the verbs that an operator may use on a worker."""

    queryset = Worker.objects.all()
    permission_classes: Any = (IsAuthenticated,)

    def change(self, verb: Callable[..., None]) -> Response:
        worker, now = self.get_object(), database_now()
        verb(person(self.request), worker, now=now)
        worker.refresh_from_db()
        return Response(FleetWorkerSerializer(worker, context={"now": now}).data)


CHANGED: dict[int, Any] = {200: FleetWorkerSerializer, **errors(403, 404, 409)}


class DrainWorkerView(WorkerVerbView):
    """Drain a worker: it finishes its tasks and claims no new ones."""

    @extend_schema(operation_id="drain_worker", tags=["workers"], request=None, responses=CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.drain)


class ResumeWorkerView(WorkerVerbView):
    """Resume a worker: it may claim tasks again."""

    @extend_schema(operation_id="resume_worker", tags=["workers"], request=None, responses=CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.resume)


class DisableWorkerView(WorkerVerbView):
    """Disable a worker: it is shut out from its next request on."""

    @extend_schema(operation_id="disable_worker", tags=["workers"], request=None, responses=CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.disable)


class WorkerView(GenericAPIView[Worker]):
    """Return one worker: its machine, its speed, and its sessions."""

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
        tasks = list(worker.leased_tasks.only("campaign_id", "number"))
        details = {
            "tasks": [str(task.name) for task in tasks],
            "task_ids": [task.pk for task in tasks],
            "calibration": worker.calibrations.select_related("admitted_by").first(),
            "speeds": fleet.speeds(worker, limit=SPEEDS),
            "sessions": worker.sessions.all()[:SESSIONS],
        }
        context = {"now": database_now()}
        about = FleetWorkerSerializer(worker, context=context).data
        return Response(about | WorkerHistorySerializer(counts | details).data)


class WorkerAttemptsView(ListAPIView[Attempt]):
    """List all attempts of a worker, the latest first."""

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
