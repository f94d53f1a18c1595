"""Endpoints of campaigns and their verbs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.answers.campaign import campaign_detail, campaigns_with_best
from campaigns.answers.leases import claim_reply
from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.filters import CampaignFilter, SortedList
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body, made, person
from campaigns.clock import database_now
from campaigns.models import Campaign
from campaigns.serializers.agents import ClaimReplySerializer
from campaigns.serializers.campaigns import (
    AddTasksSerializer,
    CampaignDetailSerializer,
    CampaignSerializer,
    CampaignSpecSerializer,
    RaceOptionsSerializer,
    RaiseAttemptsSerializer,
    ReasonSerializer,
)
from campaigns.serializers.shares import SetShareSerializer
from campaigns.serializers.tasks import AskSerializer


class CampaignsView(SortedList, ListAPIView[Campaign]):
    """List campaigns, by default the newest first. POST creates a campaign as a draft."""

    queryset = Campaign.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = CampaignSerializer
    filterset_class = CampaignFilter
    pagination_class = Cursor
    column_sorts: ClassVar = {"created": "id"}
    default_sort: ClassVar = "-created"
    last_order: ClassVar = "-id"

    def get_queryset(self) -> QuerySet[Campaign]:
        return campaigns_with_best()

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
        spec = body(CampaignSpecSerializer, request)
        campaign = steering.create_campaign(person(request), spec, now=database_now())
        return made(campaign_detail(campaign.pk), at=reverse("api-campaign", args=[campaign.pk]))


class CampaignView(GenericAPIView[Campaign]):
    """Return one campaign with its search space, its best value and its progress."""

    queryset = Campaign.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_campaign",
        tags=["campaigns"],
        responses={200: CampaignDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(campaign_detail(pk))


class VerbView(GenericAPIView[Campaign]):
    """Base of the verbs that the owner of a campaign, or an operator, may use."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsAuthenticated,)

    def change(self, verb: Callable[..., None], **arguments: Any) -> Response:
        campaign = self.get_object()
        verb(person(self.request), campaign, now=database_now(), **arguments)
        return Response(campaign_detail(campaign.pk))

    def reason(self) -> str:
        reason: str = body(ReasonSerializer, self.request).get("reason", "")
        return reason


_CHANGED: dict[int, Any] = {200: CampaignDetailSerializer, **errors(400, 403, 404, 409)}


class LaunchView(VerbView):
    """Launch a draft: make its tasks and hand them out."""

    @extend_schema(
        operation_id="launch_campaign", tags=["campaigns"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.launch)


class PauseView(VerbView):
    """Pause a campaign: no new task is handed out; running tasks may finish."""

    @extend_schema(
        operation_id="pause_campaign",
        tags=["campaigns"],
        request=ReasonSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.pause, reason=self.reason())


class ResumeView(VerbView):
    """Resume a paused campaign: tasks are handed out again."""

    @extend_schema(
        operation_id="resume_campaign", tags=["campaigns"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.resume)


class CancelView(VerbView):
    """Cancel a campaign: pending tasks are cancelled, running tasks stopped. Results stay."""

    @extend_schema(
        operation_id="cancel_campaign",
        tags=["campaigns"],
        request=ReasonSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.cancel, reason=self.reason())


class AddTasksView(VerbView):
    """Sample more tasks. A completed campaign becomes active again."""

    @extend_schema(
        operation_id="add_tasks",
        tags=["campaigns"],
        request=AddTasksSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.add_tasks, **body(AddTasksSerializer, request))


class RaiseAttemptsView(VerbView):
    """Let each task fail or be lost more often. Failed tasks stay failed until they are retried."""

    @extend_schema(
        operation_id="raise_attempts",
        tags=["campaigns"],
        request=RaiseAttemptsSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign = self.get_object()
        limits = {
            "max_failed_attempts": campaign.max_failed_attempts,
            "max_lost_attempts": campaign.max_lost_attempts,
        }
        limits |= body(RaiseAttemptsSerializer, request)
        return self.change(steering.raise_attempts, **limits)


class FinishView(VerbView):
    """Say that no outside program will ask again: tasks and race end as usual, then it completes.

    Without this it completes an hour after the last ask. A later ask makes it active again.
    """

    @extend_schema(
        operation_id="finish_campaign", tags=["ask and tell"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.finish)


class RaceOptionsView(VerbView):
    """Choose whether a race begins by itself, and the smallest difference that races look for."""

    @extend_schema(
        operation_id="set_race_options",
        tags=["races"],
        request=RaceOptionsSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.set_race_options, **body(RaceOptionsSerializer, request))


class ShareView(VerbView):
    """Set a campaign's place in its owner's order, or, for operators, its weight beside others."""

    @extend_schema(
        operation_id="set_share",
        tags=["campaigns"],
        request=SetShareSerializer,
        responses=_CHANGED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.set_share, chosen=body(SetShareSerializer, request))


class AskView(VerbView):
    """Lease tasks to your own program: an outside optimiser, a notebook, an agent of another kind.

    Train, renew the leases with `POST heartbeat`, and submit with `PUT leases/{lease_id}/result`,
    all with the same personal token. Without a heartbeat a lease ends after `lease_seconds`, and
    somebody else gets the task. After `deadline_seconds` it ends in any case.
    """

    @extend_schema(
        operation_id="ask",
        tags=["ask and tell"],
        request=AskSerializer,
        responses={200: ClaimReplySerializer, **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign, now = self.get_object(), database_now()
        arguments = {"claim_id": uuid.uuid4()} | body(AskSerializer, request)
        claim = steering.ask(person(request), campaign, now=now, **arguments)
        return Response(claim_reply(claim, arguments["count"], now))
