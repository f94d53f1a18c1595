"""Endpoints of races: start one, list them, read their decisions, and plan one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.answers import race as answers
from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead, MayRead
from campaigns.api.requests import body, made, person
from campaigns.clock import database_now
from campaigns.models import Campaign, Decision, Race
from campaigns.serializers.races import (
    DecisionDetailSerializer,
    DecisionSerializer,
    DifferencesSerializer,
    PlanQuestionSerializer,
    PlanSerializer,
    RaceSerializer,
    StartRaceSerializer,
)


class StartRaceView(GenericAPIView[Campaign]):
    """Let arms race on seeds that none of them has run. A completed campaign becomes active again.

    After each look the server decides which arms go on; `GET campaigns/{id}/decisions` says why.
    """

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="start_race",
        tags=["races"],
        request=StartRaceSerializer,
        responses={201: RaceSerializer, **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign, options = self.get_object(), body(StartRaceSerializer, request)
        race = steering.start_race(person(request), campaign, now=database_now(), **options)
        return made(answers.race_detail(race.pk), at=reverse("api-race", args=[race.pk]))


class RacesView(ListAPIView[Race]):
    """List the races of a campaign, the newest first."""

    queryset = Race.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = RaceSerializer
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-number",)

    def get_queryset(self) -> QuerySet[Race]:
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        return answers.races().filter(campaign=campaign)

    @extend_schema(
        operation_id="list_races",
        tags=["races"],
        responses={200: RaceSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class RaceView(GenericAPIView[Race]):
    """Return one race."""

    queryset = Race.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_race", tags=["races"], responses={200: RaceSerializer, **errors(404)}
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(answers.race_detail(pk))


class DifferencesView(GenericAPIView[Campaign]):
    """Return every paired difference of a race, by its number in the campaign.

    What a look has decided on is as the look saw it; later runs are as they are now.
    """

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_differences",
        tags=["races"],
        responses={200: DifferencesSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int, race: int) -> Response:
        return Response(answers.differences_of(self.get_object(), race))


class DecisionsView(ListAPIView[Decision]):
    """List the decisions of a campaign's races, the newest first, without what they saw."""

    queryset = Decision.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = DecisionSerializer
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[Decision]:
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        return answers.decisions().filter(race__campaign=campaign)

    @extend_schema(
        operation_id="list_decisions",
        tags=["races"],
        responses={200: DecisionSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class DecisionView(GenericAPIView[Decision]):
    """Return one decision with everything that its look saw, so that anyone can compute it again.

    `saw.runs` has an arm, a seed index and a value each: smaller is better, "infeasible" for a run
    that its params made fail, null for one that says nothing about them.
    """

    queryset = Decision.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_decision",
        tags=["races"],
        responses={200: DecisionDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(answers.decision_detail(pk))


class PlanView(GenericAPIView[Campaign]):
    """Plan a race: the seeds, runs and hours that it takes to find a difference. Stores nothing.

    Who sees the campaign may plan.
    """

    queryset = Campaign.objects.select_related("package").defer("package__source")
    permission_classes: Any = (MayRead,)

    @extend_schema(
        operation_id="plan_race",
        tags=["races"],
        request=PlanQuestionSerializer,
        responses={200: PlanSerializer, **errors(400, 404)},
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign, question = self.get_object(), body(PlanQuestionSerializer, request)
        return Response(answers.plan_data(campaign, **question, now=database_now()))
