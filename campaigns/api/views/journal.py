"""Endpoints of the journal: every change of state of a campaign, its tasks and their attempts."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.models import ActorKind, Campaign, ChangeSubject, StateChange, Task
from campaigns.serializers.journal import StateChangeSerializer


class JournalFilter(filters.FilterSet):
    """Filter changes of state by kind of subject, kind of actor, and the state reached."""

    subject = filters.ChoiceFilter(choices=ChangeSubject.choices)
    actor_kind = filters.ChoiceFilter(choices=ActorKind.choices)
    to_state = filters.CharFilter(
        help_text="A state of campaigns or tasks, or an outcome of attempts."
    )

    class Meta:
        model = StateChange
        fields: ClassVar = ["subject", "actor_kind", "to_state"]


class JournalView(ListAPIView[StateChange]):
    """Base of the lists of changes of state."""

    queryset = StateChange.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = StateChangeSerializer
    filterset_class = JournalFilter
    pagination_class = Cursor

    def lines(self, **conditions: Any) -> QuerySet[StateChange]:
        return StateChange.objects.filter(**conditions).select_related("attempt__worker", "task")


class TaskJournalView(JournalView):
    """List the changes of state of a task and its attempts, the first change first."""

    # Ids are in the order of time: changes of one task never overlap, because its row is locked.
    cursor_ordering: ClassVar = ("id",)

    def get_queryset(self) -> QuerySet[StateChange]:
        return self.lines(task=get_object_or_404(Task, **self.kwargs))

    @extend_schema(
        operation_id="list_task_journal",
        tags=["tasks"],
        responses={200: StateChangeSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class CampaignJournalView(JournalView):
    """List the changes of state of a campaign, its tasks and their attempts, the newest first."""

    # Ids, not instants: cancelling a campaign writes a line of the same instant for each open task,
    # and a cursor needs a unique order.
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[StateChange]:
        return self.lines(campaign=get_object_or_404(Campaign, pk=self.kwargs["pk"]))

    @extend_schema(
        operation_id="list_campaign_journal",
        tags=["campaigns"],
        responses={200: StateChangeSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
