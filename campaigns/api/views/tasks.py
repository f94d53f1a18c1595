"""Endpoints of tasks: the list, one task, its verbs, its progress, a campaign's attempts.

The address of one task has its campaign and its number there, or, as in older programs, its id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import F, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.answers.task import task_detail
from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.filters import AttemptFilter, ProgressFilter, SortedList, TaskFilter
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body, made, person
from campaigns.clock import database_now
from campaigns.exports.bundles import bundle_name, task_bundle
from campaigns.models import Attempt, Campaign, ProgressPoint, Task
from campaigns.serializers.tasks import (
    AttemptOfCampaignSerializer,
    PointSerializer,
    ProgressPointSerializer,
    TaskDetailSerializer,
    TaskSerializer,
)
from xeenet_site.web.pages import server_url


class TasksView(SortedList, ListAPIView[Task]):
    """List the tasks of a campaign, by default by number. POST adds a task with your own params."""

    queryset = Task.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = TaskSerializer
    filterset_class = TaskFilter
    pagination_class = Cursor
    column_sorts: ClassVar = {"number": "number"}
    default_sort: ClassVar = "number"
    last_order: ClassVar = "number"

    def get_queryset(self) -> QuerySet[Task]:
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        return campaign.tasks.select_related("arm", "worker", "result").defer("arm__params")

    @extend_schema(
        operation_id="list_tasks",
        tags=["tasks"],
        responses={200: TaskSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="enqueue_task",
        tags=["tasks"],
        request=PointSerializer,
        responses={201: TaskDetailSerializer, **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign = get_object_or_404(Campaign, pk=pk)
        point = body(PointSerializer, request)
        task = steering.enqueue(person(request), campaign, now=database_now(), **point)
        return made(task_detail(pk=task.pk), at=reverse("api-task", args=task.name))


class TaskView(GenericAPIView[Task]):
    """Return one task with its config, its attempts and its result."""

    queryset = Task.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_task",
        tags=["tasks"],
        responses={200: TaskDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, **address: int) -> Response:
        return Response(task_detail(**address))


class TaskVerbView(GenericAPIView[Task]):
    """Base of the verbs that the owner of a campaign, or an operator, may use on a task."""

    queryset = Task.objects.select_related("campaign")
    permission_classes: Any = (IsAuthenticated,)

    def change(self, verb: Callable[..., None]) -> Response:
        task = get_object_or_404(self.get_queryset(), **self.kwargs)
        verb(person(self.request), task, now=database_now())
        return Response(task_detail(pk=task.pk))


_CHANGED: dict[int, Any] = {200: TaskDetailSerializer, **errors(403, 404, 409)}


class RetryTaskView(TaskVerbView):
    """Retry a failed task once more. A completed campaign becomes active again."""

    @extend_schema(operation_id="retry_task", tags=["tasks"], request=None, responses=_CHANGED)
    def post(self, request: Request, **address: int) -> Response:
        return self.change(steering.retry_task)


class CancelTaskView(TaskVerbView):
    """Cancel a pending or running task."""

    @extend_schema(operation_id="cancel_task", tags=["tasks"], request=None, responses=_CHANGED)
    def post(self, request: Request, **address: int) -> Response:
        return self.change(steering.cancel_task)


class AdmitTaskView(TaskVerbView):
    """Rank an implausible result after all. For operators."""

    @extend_schema(operation_id="admit_task", tags=["tasks"], request=None, responses=_CHANGED)
    def post(self, request: Request, **address: int) -> Response:
        return self.change(steering.admit)


class AttemptsView(ListAPIView[Attempt]):
    """List all attempts at the tasks of a campaign, the latest first."""

    queryset = Attempt.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = AttemptOfCampaignSerializer
    filterset_class = AttemptFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[Attempt]:
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        attempts = Attempt.objects.brief().filter(task__campaign=campaign)
        return attempts.select_related("task", "worker")

    @extend_schema(
        operation_id="list_attempts",
        tags=["tasks"],
        responses={200: AttemptOfCampaignSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class TaskProgressView(ListAPIView[ProgressPoint]):
    """List the progress points of a task's attempts, in the order of arrival."""

    queryset = ProgressPoint.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = ProgressPointSerializer
    filterset_class = ProgressFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("id",)

    def get_queryset(self) -> QuerySet[ProgressPoint]:
        task = get_object_or_404(Task, **self.kwargs)
        points = ProgressPoint.objects.filter(attempt__task=task).select_related("attempt")
        return points.annotate(metric=F("attempt__task__campaign__metric"))

    @extend_schema(
        operation_id="list_progress",
        tags=["tasks"],
        responses={200: ProgressPointSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class TaskBundleView(GenericAPIView[Task]):
    """Return a zip file with the script, configs and commands that repeat the run elsewhere."""

    queryset = Task.objects.select_related("campaign__dataset", "campaign__package", "result")
    # The bundle holds the script, and scripts are only for people who are signed in.
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="download_bundle",
        tags=["tasks"],
        responses={(200, "application/zip"): OpenApiTypes.BINARY, **errors(404)},
    )
    def get(self, request: Request, **address: int) -> HttpResponse:
        task = get_object_or_404(self.get_queryset(), **address)
        return HttpResponse(
            task_bundle(task, getattr(task, "result", None), server_url=server_url(request)),
            content_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{bundle_name(task)}.zip"'},
        )


class RunAgainView(TaskVerbView):
    """Add a task with the same params and a new seed, to see how much the value varies."""

    @extend_schema(
        operation_id="run_again",
        tags=["tasks"],
        request=None,
        responses={201: TaskDetailSerializer, **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, **address: int) -> Response:
        task = get_object_or_404(self.get_queryset(), **address)
        (added,) = steering.run_again(person(request), task.arm, 1, now=database_now())
        return made(task_detail(pk=added.pk), at=reverse("api-task", args=added.name))
