"""What researchers call for analysis: how much each parameter matters."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.analysis.importance import MIN_RESULTS, RESAMPLES, SHUFFLES
from campaigns.api.openapi import errors
from campaigns.api.parsers import AlwaysJSON
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.clock import database_now
from campaigns.models import Campaign
from campaigns.panels import Subject, importance_of


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
        query = ImportanceQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        subject = Subject(self.get_object(), database_now(), device=query.validated_data["device"])
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
