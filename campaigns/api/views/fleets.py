"""Fleets: how many workers one should have, for schedulers; their tokens, for operators."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import APIView, GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsFleet
from campaigns.api.requests import body, made_with_secret, person
from campaigns.clock import database_now
from campaigns.fleet.demand import demand
from campaigns.serializers.fleets import (
    FleetDemandSerializer,
    FleetTokenRequestSerializer,
    FleetTokenSerializer,
    NewFleetTokenSerializer,
)
from campaigns.tokens.authentication import FleetTokenAuthentication
from workers import steering
from workers.fleet_token import FleetToken
from workers.joining.lines import starts_of_fleet
from xeenet_site.web import addresses
from xeenet_site.web.pages import server_url


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


class FleetsView(ListAPIView[FleetToken]):
    """List the tokens of fleets, the newest first. POST makes a token. Only for operators."""

    queryset = FleetToken.objects.none()
    permission_classes: Any = (IsAuthenticated,)
    serializer_class = FleetTokenSerializer
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[FleetToken]:
        return steering.fleets(person(self.request))

    @extend_schema(
        operation_id="list_fleets",
        tags=["fleets"],
        responses={200: FleetTokenSerializer(many=True), **errors(400, 403, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_fleet",
        tags=["fleets"],
        request=FleetTokenRequestSerializer,
        responses={201: NewFleetTokenSerializer, **errors(400, 403)},
    )
    def post(self, request: Request) -> Response:
        scope = body(FleetTokenRequestSerializer, request)
        token, secret = steering.create_fleet(person(request), now=database_now(), **scope)
        url = addresses.reach(request).url or server_url(request)
        _, command = starts_of_fleet(url, secret)[0]
        secrets = {"token": secret, "command": command}
        return made_with_secret(FleetTokenSerializer(token).data | secrets)


class RevokeFleetView(GenericAPIView[FleetToken]):
    """Revoke a fleet's token: nobody joins with it, and its workers claim no more. Operators."""

    queryset = FleetToken.objects.none()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="revoke_fleet",
        tags=["fleets"],
        request=None,
        responses={200: FleetTokenSerializer, **errors(403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        actor = person(request)
        token = get_object_or_404(steering.fleets(actor), pk=pk)
        steering.revoke_fleet(actor, token, now=database_now())
        return Response(FleetTokenSerializer(token).data)
