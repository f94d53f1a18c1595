"""What researchers call: campaigns and their verbs, tasks, results, the leaderboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import OuterRef, QuerySet, Subquery
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import leaderboard, steering
from campaigns.api.filters import CampaignFilter, Pages, ResultFilter, TaskFilter
from campaigns.api.openapi import errors
from campaigns.api.parsers import AlwaysJSON
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.serializers import (
    CampaignDetailSerializer,
    CampaignSerializer,
    CampaignSpecSerializer,
    LeaderboardQuerySerializer,
    LeaderboardSerializer,
    ReasonSerializer,
    ResultSerializer,
    TaskDetailSerializer,
    TaskSerializer,
)
from campaigns.clock import database_now
from campaigns.models import Campaign, Result, Task


class CampaignsView(ListAPIView[Campaign]):
    """The campaigns, newest first; a POST describes a new one."""

    queryset = Campaign.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    serializer_class = CampaignSerializer
    filterset_class = CampaignFilter
    pagination_class = Pages

    def get_queryset(self) -> QuerySet[Campaign]:
        return _campaigns()

    @extend_schema(
        operation_id="list_campaigns",
        tags=["campaigns"],
        responses={200: CampaignSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_campaign",
        tags=["campaigns"],
        request=CampaignSpecSerializer,
        responses={201: CampaignDetailSerializer, **errors(400, 403)},
    )
    def post(self, request: Request) -> Response:
        serializer = CampaignSpecSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        campaign = steering.create_campaign(
            cast(User, request.user), serializer.validated_data, now=database_now()
        )
        location = {"Location": reverse("api-campaign", args=[campaign.pk])}
        return Response(_detail(campaign.pk), status=status.HTTP_201_CREATED, headers=location)


class CampaignView(GenericAPIView[Campaign]):
    """One campaign: its description, its best value and how far it is."""

    queryset = Campaign.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    filter_backends = ()

    @extend_schema(
        operation_id="get_campaign",
        tags=["campaigns"],
        responses={200: CampaignDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(_detail(pk))


class _VerbView(GenericAPIView[Campaign]):
    """Base of what the owner of a campaign (or staff) does with it."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsAuthenticated,)
    content_negotiation_class = AlwaysJSON
    filter_backends = ()

    def change(self, verb: Callable[..., None], **arguments: Any) -> Response:
        campaign = self.get_object()
        verb(cast(User, self.request.user), campaign, now=database_now(), **arguments)
        return Response(_detail(campaign.pk))

    def reason(self) -> str:
        serializer = ReasonSerializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        reason: str = serializer.validated_data.get("reason", "")
        return reason


_CHANGED: dict[int, Any] = {200: CampaignDetailSerializer, **errors(400, 403, 404, 409)}


class LaunchView(_VerbView):
    """Make the tasks of a draft and hand them out."""

    @extend_schema(
        operation_id="launch_campaign", tags=["campaigns"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.launch)


class PauseView(_VerbView):
    """Hand out nothing new; what runs may finish."""

    @extend_schema(
        operation_id="pause_campaign",
        tags=["campaigns"],
        request=ReasonSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.pause, reason=self.reason())


class ResumeView(_VerbView):
    """Hand out tasks again."""

    @extend_schema(
        operation_id="resume_campaign", tags=["campaigns"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.resume)


class CancelView(_VerbView):
    """End it: open tasks are cancelled, running ones stopped; results stay."""

    @extend_schema(
        operation_id="cancel_campaign",
        tags=["campaigns"],
        request=ReasonSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.cancel, reason=self.reason())


class TasksView(ListAPIView[Task]):
    """The tasks of a campaign, by number."""

    queryset = Task.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    serializer_class = TaskSerializer
    filterset_class = TaskFilter
    pagination_class = Pages

    def get_queryset(self) -> QuerySet[Task]:
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        return campaign.tasks.select_related("worker", "result").order_by("number")

    @extend_schema(
        operation_id="list_tasks",
        tags=["tasks"],
        responses={200: TaskSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ResultsView(ListAPIView[Result]):
    """The results of a campaign, newest first; simulated ones only on request."""

    queryset = Result.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    serializer_class = ResultSerializer
    filterset_class = ResultFilter
    pagination_class = Pages

    def get_queryset(self) -> QuerySet[Result]:
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        return campaign.results.select_related("task", "attempt__worker")

    @extend_schema(
        operation_id="list_results",
        tags=["results"],
        responses={200: ResultSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class LeaderboardView(GenericAPIView[Campaign]):
    """The measured results of a campaign, best first."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    filter_backends = ()

    @extend_schema(
        operation_id="get_leaderboard",
        tags=["results"],
        parameters=[LeaderboardQuerySerializer],
        responses={200: LeaderboardSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        query = LeaderboardQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        campaign = self.get_object()
        varying, constant = leaderboard.varying_params(campaign)
        reply = {
            "rows": leaderboard.rank(campaign, **query.validated_data),
            "varying_params": varying,
            "constant_params": constant,
        }
        return Response(LeaderboardSerializer(reply).data)


class TaskView(GenericAPIView[Task]):
    """One task: its config, every attempt at it, and its result."""

    queryset = Task.objects.select_related(
        "campaign__dataset", "worker", "result__attempt__worker"
    ).prefetch_related("attempts__worker")
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    filter_backends = ()

    @extend_schema(
        operation_id="get_task",
        tags=["tasks"],
        responses={200: TaskDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(TaskDetailSerializer(self.get_object()).data)


def _campaigns() -> QuerySet[Campaign]:
    """Campaigns as the serializers want them: in one query, with the best value of each."""
    ranked = Result.objects.ranked().filter(campaign=OuterRef("pk")).values("val_bpb")
    return Campaign.objects.select_related("owner", "dataset").annotate(
        best_val_bpb=Subquery(ranked[:1])
    )


def _detail(pk: int) -> dict[str, Any]:
    """Return a campaign as answers show it. Raises Http404."""
    campaign: Any = get_object_or_404(_campaigns(), pk=pk)
    campaign.progress = leaderboard.progress(campaign, now=database_now())
    data: dict[str, Any] = CampaignDetailSerializer(campaign).data
    return data
