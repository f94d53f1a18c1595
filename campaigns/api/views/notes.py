"""Endpoints of one arm: its further runs; and of the notes on arms and tasks."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.answers.notes import note_data
from campaigns.api.bases import GenericAPIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body, person
from campaigns.clock import database_now
from campaigns.models import Arm, Note, Task
from campaigns.serializers.notes import (
    NoteSerializer,
    RunArmAgainSerializer,
    WriteNoteSerializer,
)
from campaigns.serializers.tasks import TaskSerializer

_WRITTEN: dict[int, Any] = {200: NoteSerializer, **errors(400, 403, 404, 409)}
_READ: dict[int, Any] = {200: NoteSerializer, **errors(404)}


class RunArmAgainView(GenericAPIView[Arm]):
    """Run an arm on its next seeds, to see how much its value varies: all of them or none.

    A completed campaign becomes active again.
    """

    queryset = Arm.objects.none()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="run_arm_again",
        tags=["tasks"],
        request=RunArmAgainSerializer,
        responses={201: TaskSerializer(many=True), **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, pk: int, number: int) -> Response:
        arms = Arm.objects.select_related("campaign")
        arm = get_object_or_404(arms, campaign=pk, number=number)
        options = body(RunArmAgainSerializer, request)
        tasks = steering.run_again(person(request), arm, now=database_now(), **options)
        return Response(TaskSerializer(tasks, many=True).data, status=status.HTTP_201_CREATED)


class _NoteView(GenericAPIView[Note]):
    """Base of the notes: who may read reads them, who may change the campaign writes them."""

    queryset = Note.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    subjects: QuerySet[Any] = Task.objects.none()

    def subject(self) -> Any:
        """Return the arm or task of the address. Raises Http404."""
        place = {"campaign": self.kwargs["pk"], "number": self.kwargs["number"]}
        return get_object_or_404(self.subjects.select_related("campaign", "note"), **place)

    def write(self, request: Request) -> Response:
        """Store the text of the body."""
        subject, fields = self.subject(), body(WriteNoteSerializer, request)
        steering.write_note(person(request), subject, now=database_now(), **fields)
        return Response(note_data(self.subject()))


class ArmNoteView(_NoteView):
    """Return the note on an arm. PUT replaces it, for who may change the campaign."""

    subjects = Arm.objects.all()

    @extend_schema(operation_id="get_arm_note", tags=["notes"], responses=_READ)
    def get(self, request: Request, pk: int, number: int) -> Response:
        return Response(note_data(self.subject()))

    @extend_schema(
        operation_id="write_arm_note",
        tags=["notes"],
        request=WriteNoteSerializer,
        responses=_WRITTEN,
    )
    def put(self, request: Request, pk: int, number: int) -> Response:
        return self.write(request)


class TaskNoteView(_NoteView):
    """Return the note on a task. PUT replaces it, for who may change the campaign."""

    subjects = Task.objects.all()

    @extend_schema(operation_id="get_task_note", tags=["notes"], responses=_READ)
    def get(self, request: Request, pk: int, number: int) -> Response:
        return Response(note_data(self.subject()))

    @extend_schema(
        operation_id="write_task_note",
        tags=["notes"],
        request=WriteNoteSerializer,
        responses=_WRITTEN,
    )
    def put(self, request: Request, pk: int, number: int) -> Response:
        return self.write(request)
