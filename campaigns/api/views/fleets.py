"""Endpoints for schedulers: how many workers a fleet should have."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import APIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsFleet
from campaigns.clock import database_now
from campaigns.fleet.demand import demand
from campaigns.serializers.fleets import FleetDemandSerializer
from campaigns.tokens.authentication import FleetTokenAuthentication
from workers.fleet_token import FleetToken


class FleetDemandView(APIView):
    """Return how many workers the fleet of the token should have, and why."""

    authentication_classes: Any = (FleetTokenAuthentication,)
    permission_classes: Any = (IsFleet,)

    @extend_schema(
        operation_id="get_fleet_demand",
        tags=["fleets"],
        responses={200: FleetDemandSerializer, **errors()},
    )
    def get(self, request: Request) -> Response:
        token = cast(FleetToken, request.auth)
        return Response(demand(token, now=database_now()))
