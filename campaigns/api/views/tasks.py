"""What researchers call for tasks: the list, one task, its verbs, a campaign's attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.answers.task import task_detail
from campaigns.api.filters import AttemptFilter, Cursor, ProgressFilter, SortedList, TaskFilter
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


class TasksView(SortedList, ListAPIView[Task]):
    """The tasks of a campaign, by number unless asked otherwise; a POST adds one of your own."""

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
        return campaign.tasks.select_related("worker", "result")

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
        return made(task_detail(task.pk), at=reverse("api-task", args=[task.pk]))


class TaskView(GenericAPIView[Task]):
    """One task: its config, every attempt at it, and its result."""

    queryset = Task.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_task",
        tags=["tasks"],
        responses={200: TaskDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(task_detail(pk))


class TaskVerbView(GenericAPIView[Task]):
    """Base of what the owner of a campaign (or an operator) does with one task."""

    queryset = Task.objects.select_related("campaign")
    permission_classes: Any = (IsAuthenticated,)

    def change(self, verb: Callable[..., None]) -> Response:
        task = self.get_object()
        verb(person(self.request), task, now=database_now())
        return Response(task_detail(task.pk))


_CHANGED: dict[int, Any] = {200: TaskDetailSerializer, **errors(403, 404, 409)}


class RetryTaskView(TaskVerbView):
    """Give a failed task one more try; a completed campaign runs again."""

    @extend_schema(operation_id="retry_task", tags=["tasks"], request=None, responses=_CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.retry_task)


class CancelTaskView(TaskVerbView):
    """End a task that waits or runs."""

    @extend_schema(operation_id="cancel_task", tags=["tasks"], request=None, responses=_CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.cancel_task)


class AttemptsView(ListAPIView[Attempt]):
    """Every try at every task of a campaign, the last begun first."""

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
