"""Endpoints of what values are worth: classes, their noise, and what was not counted."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.answers.classes import classes_data, noise_data
from campaigns.answers.honesty import honesty_data
from campaigns.api.bases import GenericAPIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.models import Campaign, ResultClass
from campaigns.serializers.classes import ClassOfCampaignSerializer, NoiseSerializer
from campaigns.serializers.honesty import HonestySerializer


class ClassesView(GenericAPIView[Campaign]):
    """Return the classes of a campaign's results, that with most results first.

    Only results of one class may stand in one order.
    """

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_classes",
        tags=["results"],
        responses={200: ClassOfCampaignSerializer(many=True), **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(classes_data(self.get_object()))


class NoiseView(GenericAPIView[ResultClass]):
    """Return the noise floor of a class: how much its results vary between seeds.

    It comes from arms that ran on several seeds, in all campaigns that share the class.
    """

    queryset = ResultClass.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_noise",
        tags=["results"],
        responses={200: NoiseSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(noise_data(pk))


class HonestyView(GenericAPIView[Campaign]):
    """Return how far a campaign's values can be believed, and what was not counted and why.

    Every run that ended counts or has one reason why not. Of a large running campaign the counts
    may lack the newest 0.2 %.
    """

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_honesty",
        tags=["results"],
        responses={200: HonestySerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(honesty_data(self.get_object()))
