"""What people call for one run: its learning curve, the bundle that repeats it, one more seed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.api.filters import Cursor, ProgressFilter
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import made, person
from campaigns.api.serializers import TaskDetailSerializer
from campaigns.api.views.tasks import TaskVerbView, task_detail
from campaigns.clock import database_now
from campaigns.exports.bundles import bundle_name, task_bundle
from campaigns.models import ProgressPoint, Task


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


class TaskProgressView(ListAPIView[ProgressPoint]):
    """The progress points of a task's attempts, as they came in."""

    queryset = ProgressPoint.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = ProgressPointSerializer
    filterset_class = ProgressFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("id",)

    def get_queryset(self) -> QuerySet[ProgressPoint]:
        task = get_object_or_404(Task, pk=self.kwargs["pk"])
        return ProgressPoint.objects.filter(attempt__task=task).select_related("attempt")

    @extend_schema(
        operation_id="list_progress",
        tags=["tasks"],
        responses={200: ProgressPointSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class TaskBundleView(GenericAPIView[Task]):
    """Script, configs and commands that repeat the task's run on any machine, as one zip file."""

    queryset = Task.objects.select_related("campaign__dataset", "campaign__package", "result")
    # As scripts are everywhere: for people who are signed in.
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="download_bundle",
        tags=["tasks"],
        responses={(200, "application/zip"): OpenApiTypes.BINARY, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        task = self.get_object()
        server_url = request.build_absolute_uri("/").rstrip("/")
        return HttpResponse(
            task_bundle(task, getattr(task, "result", None), server_url=server_url),
            content_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{bundle_name(task)}.zip"'},
        )


class RunAgainView(TaskVerbView):
    """Add a task with the same params and a new seed: how much of the value was luck?"""

    @extend_schema(
        operation_id="run_again",
        tags=["tasks"],
        request=None,
        responses={201: TaskDetailSerializer, **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        task = self.get_object()
        added = steering.enqueue(person(request), task.campaign, task.params, now=database_now())
        return made(task_detail(added.pk), at=reverse("api-task", args=[added.pk]))
