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

from campaigns.analysis import estimates
from campaigns.analysis.importance import MIN_RESULTS, RESAMPLES, SHUFFLES, Importance
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.clock import database_now
from campaigns.models import Campaign
from campaigns.panels import PANELS, Subject, panel
from campaigns.standings import leaderboard

# What a pending answer tells: a job needs a few seconds.
ASK_AGAIN_SECONDS = "5"


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
    status = serializers.ChoiceField(
        choices=["current", "behind", "pending"],
        help_text="A background job computes it. pending: not yet, ask again; behind: newer "
        "results came in since, and it is being computed anew.",
    )
    computed_at = serializers.DateTimeField(
        allow_null=True, help_text="null while nothing had to be computed."
    )


class ImportanceView(GenericAPIView[Campaign]):
    """The importance of each parameter, most important first, with its uncertainty."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_importance",
        tags=["results"],
        parameters=[ImportanceQuerySerializer],
        responses={200: ImportanceSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        device = query(ImportanceQuerySerializer, request)["device"]
        campaign = self.get_object()
        known = estimates.estimate(campaign, device)
        if known.is_behind:
            estimates.ask(campaign, device)
        found = known.importance or Importance([], known.total, 0, 0.0)
        status = "pending" if known.is_pending else "behind" if known.is_behind else "current"
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
            "status": status,
            "computed_at": known.computed_at,
        }
        headers = {"Retry-After": ASK_AGAIN_SECONDS} if known.is_pending else None
        return Response(ImportanceSerializer(reply).data, headers=headers)


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

    @extend_schema(
        operation_id="get_panel",
        tags=["results"],
        parameters=[PanelQuerySerializer],
        responses={200: PanelSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int, key: str) -> Response:
        return Response(panel_data(self.get_object(), key, **query(PanelQuerySerializer, request)))


def panel_data(
    campaign: Campaign, key: str, *, device: str = "", x: str = "", y: str = ""
) -> dict[str, Any]:
    """Return the data of a panel (a key of PANELS) as JSON data. Raises ValidationError."""
    check_subject(campaign, device=device, x=x, y=y)
    found = panel(key, Subject(campaign, database_now(), device=device, x=x, y=y))
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
    data: dict[str, Any] = PanelSerializer(answer).data
    return data


def check_subject(campaign: Campaign, *, device: str, x: str, y: str) -> None:
    """Raise ValidationError unless the campaign has such a device and such parameters; "" fits."""
    _must_be_one_of("device", device, _devices(campaign))
    for name, asked in (("x", x), ("y", y)):
        _must_be_one_of(name, asked, _parameters(campaign))


def _devices(campaign: Campaign) -> list[str]:
    """Return the kinds of device that brought ranked results, by name."""
    return sorted({kind.device for kind in leaderboard.kinds(campaign) if kind.is_ranked})


def _parameters(campaign: Campaign) -> list[str]:
    return [str(one["name"]) for one in campaign.search_space["parameters"]]


def _must_be_one_of(name: str, asked: str, known: list[str]) -> None:
    if asked and asked not in known:
        raise ValidationError({name: [f"Must be one of: {', '.join(known) or 'none yet'}."]})
