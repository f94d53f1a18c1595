"""Endpoints of the overview, the workers of a campaign, and its log."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.http import urlencode
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import history
from campaigns.api.bases import GenericAPIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.clock import database_now, read_at
from campaigns.health import concerns, health, live_campaigns
from campaigns.models import Campaign
from campaigns.serializers.overview import (
    EVENTS,
    ContributionsSerializer,
    LogQuerySerializer,
    LogSerializer,
    OverviewSerializer,
)
from campaigns.standings import contributions
from campaigns.standings.champions import latest_champions


class OverviewView(GenericAPIView[Any]):
    """Return the state of the installation: its numbers, problems and leading results."""

    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = OverviewSerializer

    @extend_schema(
        operation_id="get_overview",
        tags=["overview"],
        responses={200: OverviewSerializer, **errors()},
    )
    def get(self, request: Request) -> Response:
        live = live_campaigns()
        now = read_at(live[0]) if live else database_now()
        figures = health(live, now=now)
        answer = {
            "figures": figures,
            "concerns": concerns(figures, live, now=now, reader=request.user),
            "forecasts": [
                {"campaign_id": pk, **vars(known)}
                for pk, known in figures.outlook.forecasts.items()
            ],
            "live_campaigns": [campaign.pk for campaign in live],
            "champions": latest_champions(),
        }
        return Response(OverviewSerializer(answer).data)


class ContributionsView(GenericAPIView[Campaign]):
    """List the workers that took a task of a campaign, and what each contributed."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="list_contributions",
        tags=["campaigns"],
        responses={200: ContributionsSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        rows = contributions.of_workers(self.get_object(), now=database_now())
        return Response(ContributionsSerializer({"results": rows}).data)


class LogView(GenericAPIView[Campaign]):
    """Return a campaign's log: acts of people and of the server, and attempts that went wrong."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    query_serializer: Any = LogQuerySerializer

    @extend_schema(
        operation_id="get_log",
        tags=["campaigns"],
        parameters=[LogQuerySerializer],
        responses={200: LogSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        before = query(self.query_serializer, request).get("before")
        events = history.events(self.get_object(), before=before, limit=EVENTS + 1)
        older = None
        if len(events) > EVENTS:
            cursor = urlencode({"before": str(events[EVENTS - 1].position)})
            older = request.build_absolute_uri(f"{reverse('api-log', args=[pk])}?{cursor}")
        return Response(LogSerializer({"next": older, "results": events[:EVENTS]}).data)
