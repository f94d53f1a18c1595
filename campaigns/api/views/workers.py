"""What people call for the fleet: the list of workers, and what operators do with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.filters import Cursor
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import person
from campaigns.clock import database_now
from workers import steering
from workers.api.serializers import HardwareSerializer
from workers.models import ISOLATION_CHOICES, Worker, WorkerState


class FleetWorkerSerializer(serializers.ModelSerializer[Worker]):
    """One worker of the fleet."""

    is_online = serializers.SerializerMethodField(help_text="Heard of within the lease time.")
    is_person = serializers.SerializerMethodField(
        help_text="No agent, but what a person's own program asks and tells under."
    )
    state = serializers.ChoiceField(choices=WorkerState.choices)
    isolation = serializers.ChoiceField(
        choices=ISOLATION_CHOICES, allow_blank=True, help_text="Empty until its agent has said."
    )
    hardware = HardwareSerializer()

    class Meta:
        model = Worker
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


class WorkerFilter(filters.FilterSet):
    """Workers by state and a part of their name."""

    state = filters.ChoiceFilter(choices=WorkerState.choices)
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="A part of the name."
    )

    class Meta:
        model = Worker
        fields: ClassVar = ["state", "search"]


class WorkersView(ListAPIView[Worker]):
    """The fleet, by name."""

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
    """Base of what an operator does with a worker."""

    queryset = Worker.objects.all()
    permission_classes: Any = (IsAuthenticated,)

    def change(self, verb: Callable[..., None]) -> Response:
        worker, now = self.get_object(), database_now()
        verb(person(self.request), worker, now=now)
        worker.refresh_from_db()
        return Response(FleetWorkerSerializer(worker, context={"now": now}).data)


_CHANGED: dict[int, Any] = {200: FleetWorkerSerializer, **errors(403, 404, 409)}


class DrainWorkerView(WorkerVerbView):
    """Let it finish what it holds and claim nothing new."""

    @extend_schema(operation_id="drain_worker", tags=["workers"], request=None, responses=_CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.drain)


class ResumeWorkerView(WorkerVerbView):
    """Let it claim again."""

    @extend_schema(operation_id="resume_worker", tags=["workers"], request=None, responses=_CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.resume)


class DisableWorkerView(WorkerVerbView):
    """Shut it out from its next request on."""

    @extend_schema(
        operation_id="disable_worker", tags=["workers"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.disable)
