"""What researchers call for tasks: the list, one task, its verbs, a campaign's attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.analysis import seeds_of_point
from campaigns.api.filters import AttemptFilter, Cursor, SortedList, TaskFilter
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body, made, person
from campaigns.api.serializers import (
    AttemptOfCampaignSerializer,
    TaskDetailSerializer,
    TaskSerializer,
)
from campaigns.api.serializers_requests import PointSerializer
from campaigns.clock import database_now
from campaigns.models import Attempt, Campaign, Task


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


def task_detail(pk: int) -> dict[str, Any]:
    """Return a task as answers show it. Raises Http404."""
    tasks = Task.objects.select_related("campaign__dataset", "worker", "result__attempt__worker")
    task: Any = get_object_or_404(tasks.prefetch_related("attempts__worker"), pk=pk)
    task.replicates = seeds_of_point.of_points([task])[task.pk]
    data: dict[str, Any] = TaskDetailSerializer(task).data
    return data
