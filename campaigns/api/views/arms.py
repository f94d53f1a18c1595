"""The endpoint of a campaign's arms."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.answers.arms import board_of, check_baseline, check_class
from campaigns.api.bases import GenericAPIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.exports import leaderboard
from campaigns.models import Campaign
from campaigns.serializers.arms import ArmsQuerySerializer, ArmsSerializer, ClassQuerySerializer


class ArmsView(GenericAPIView[Campaign]):
    """Return the board of a campaign's arms, and in one sentence what may be claimed of them.

    What raced comes first, as its race left it, then the others by the value of their first run.
    """

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    query_serializer: Any = ArmsQuerySerializer

    @extend_schema(
        operation_id="get_arms",
        tags=["results"],
        parameters=[ArmsQuerySerializer],
        responses={200: ArmsSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return self.board(request)

    def board(self, request: Request) -> Response:
        """Return the board that the query selects."""
        selection = query(self.query_serializer, request)
        return Response(board_of(self.get_object(), **selection))


class LeaderboardView(ArmsView):
    """Return the leaderboard of a campaign, which is the board of its arms.

    Only arms of the last race have a rank. `list_results` has the single runs.
    """

    @extend_schema(
        operation_id="get_leaderboard",
        tags=["results"],
        parameters=[ArmsQuerySerializer],
        responses={200: ArmsSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return self.board(request)


class LeaderboardCSVView(GenericAPIView[Campaign]):
    """Return the whole leaderboard as CSV, with a column for each param."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    query_serializer: Any = ClassQuerySerializer

    @extend_schema(
        operation_id="export_leaderboard_csv",
        tags=["results"],
        parameters=[ClassQuerySerializer],
        responses={(200, "text/csv"): OpenApiTypes.STR, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        selection = query(self.query_serializer, request)
        campaign = self.get_object()
        check_class(campaign, selection["result_class"])
        check_baseline(campaign, selection["baseline"])
        name = f"campaign-{campaign.pk}-leaderboard.csv"
        return StreamingHttpResponse(
            leaderboard.csv_lines(campaign, **selection),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
