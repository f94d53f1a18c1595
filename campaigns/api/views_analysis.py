"""What researchers call for analysis: how much each parameter matters, and each panel's data."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import leaderboard
from campaigns.analysis.importance import MIN_RESULTS, RESAMPLES, SHUFFLES
from campaigns.api.openapi import errors
from campaigns.api.parsers import AlwaysJSON
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.clock import database_now
from campaigns.models import Campaign
from campaigns.panels import PANELS, Subject, importance_of, panel


class ImportanceQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Of which results."""

    device = serializers.CharField(
        default="", max_length=100, help_text="Only of what was measured on it."
    )


class ParameterImportanceSerializer(serializers.Serializer[Any]):
    """`importance.ParameterImportance`: shares of 1."""

    name = serializers.CharField()
    share = serializers.FloatField(help_text="The estimate; all shares sum to 1.")
    low = serializers.FloatField(help_text="The middle 90 % of resamples begins here.")
    high = serializers.FloatField(help_text="The middle 90 % of resamples ends here.")
    by_chance = serializers.FloatField(
        help_text="The most that shuffled results gave, on the scale of the estimate."
    )
    stands_out = serializers.BooleanField(help_text="Whether the estimate is above chance.")


class ImportanceSerializer(serializers.Serializer[Any]):
    """How much each parameter tells the best results from all."""

    method = serializers.CharField()
    results = serializers.IntegerField(help_text="Ranked results that were read.")
    used = serializers.IntegerField(help_text="Of them used; a random sample where fewer.")
    needed = serializers.IntegerField(help_text="With fewer results there are no estimates.")
    target_quantile = serializers.FloatField(help_text="The share of results that counts as best.")
    resamples = serializers.IntegerField()
    shuffles = serializers.IntegerField()
    warnings = serializers.ListField(child=serializers.CharField())
    parameters = ParameterImportanceSerializer(many=True)


class ImportanceView(GenericAPIView[Campaign]):
    """The importance of each parameter, most important first, with its uncertainty."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    filter_backends = ()

    @extend_schema(
        operation_id="get_importance",
        tags=["results"],
        parameters=[ImportanceQuerySerializer],
        responses={200: ImportanceSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        device = query(ImportanceQuerySerializer, request)["device"]
        subject = Subject(self.get_object(), database_now(), device=device)
        found = importance_of(subject)
        reply = {
            "method": "PED-ANOVA",
            "results": found.results,
            "used": found.used,
            "needed": MIN_RESULTS,
            "target_quantile": found.target_quantile,
            "resamples": RESAMPLES,
            "shuffles": SHUFFLES,
            "warnings": found.warnings,
            "parameters": found.parameters,
        }
        return Response(ImportanceSerializer(reply).data)


class PanelEntrySerializer(serializers.Serializer[Any]):
    """One panel of the analysis, and where its data is."""

    key = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()


class AnalysisSerializer(serializers.Serializer[Any]):
    """The panels, and what they can be asked about."""

    panels = PanelEntrySerializer(many=True)
    devices = serializers.ListField(child=serializers.CharField())
    parameters = serializers.ListField(child=serializers.CharField())


class AnalysisView(GenericAPIView[Campaign]):
    """Which panels a campaign's analysis has."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    filter_backends = ()

    @extend_schema(
        operation_id="list_panels",
        tags=["results"],
        responses={200: AnalysisSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        campaign = self.get_object()
        panels = [
            {
                "key": key,
                "name": kind.name,
                "url": request.build_absolute_uri(reverse("api-panel", args=[pk, key])),
            }
            for key, kind in PANELS.items()
        ]
        answer = {
            "panels": panels,
            "devices": _devices(campaign),
            "parameters": _parameters(campaign),
        }
        return Response(AnalysisSerializer(answer).data)


class PanelQuerySerializer(ImportanceQuerySerializer):
    """Of which results, and about which parameters."""

    x = serializers.CharField(
        default="", max_length=200, help_text="Of slice and contour: the parameter to show."
    )
    y = serializers.CharField(
        default="", max_length=200, help_text="Of contour: the second parameter."
    )


class ChoiceSerializer(serializers.Serializer[Any]):
    """What else the panel can show."""

    name = serializers.CharField(help_text="Of the query: x or y.")
    label = serializers.CharField()  # type: ignore[assignment]
    options = serializers.ListField(child=serializers.CharField())
    chosen = serializers.CharField()


class PanelSerializer(serializers.Serializer[Any]):
    """A finding with the data that its charts draw."""

    key = serializers.CharField()
    title = serializers.CharField(help_text="What was found.")
    empty = serializers.CharField(
        allow_blank=True, help_text="Why there is nothing to draw yet, and what to do."
    )
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(
        child=serializers.ListField(child=serializers.JSONField(allow_null=True))
    )
    notes = serializers.ListField(child=serializers.CharField())
    warnings = serializers.ListField(child=serializers.CharField())
    choices = ChoiceSerializer(many=True)


class PanelView(GenericAPIView[Campaign]):
    """The data of one panel of the analysis, computed once per revision of the campaign."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    content_negotiation_class = AlwaysJSON
    filter_backends = ()

    @extend_schema(
        operation_id="get_panel",
        tags=["results"],
        parameters=[PanelQuerySerializer],
        responses={200: PanelSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int, key: str) -> Response:
        campaign = self.get_object()
        asked = query(PanelQuerySerializer, request)
        _must_be_one_of("device", asked["device"], _devices(campaign))
        for name in ("x", "y"):
            _must_be_one_of(name, asked[name], _parameters(campaign))
        found = panel(key, Subject(campaign, database_now(), **asked))
        answer = {
            "key": key,
            "title": found.title,
            "empty": found.empty,
            "columns": found.heads,
            "rows": found.rows,
            "notes": found.notes,
            "warnings": found.warnings,
            "choices": found.selects,
        }
        return Response(PanelSerializer(answer).data)


def _devices(campaign: Campaign) -> list[str]:
    """Return the kinds of device that brought ranked results, by name."""
    return sorted({kind.device for kind in leaderboard.kinds(campaign) if kind.is_ranked})


def _parameters(campaign: Campaign) -> list[str]:
    return [str(one["name"]) for one in campaign.search_space["parameters"]]


def _must_be_one_of(name: str, asked: str, known: list[str]) -> None:
    if asked and asked not in known:
        raise ValidationError({name: [f"Must be one of: {', '.join(known) or 'none yet'}."]})
