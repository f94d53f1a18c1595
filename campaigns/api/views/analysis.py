"""Endpoints of the analysis: the importance of parameters, and the data of each panel."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.analysis import estimates
from campaigns.analysis.importance import MIN_RESULTS, RESAMPLES, SHUFFLES, Importance
from campaigns.answers.panel import panel_data, parameter_names, ranked_devices
from campaigns.api.bases import GenericAPIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.models import Campaign
from campaigns.panels import PANELS
from campaigns.serializers.analysis import (
    AnalysisSerializer,
    ImportanceQuerySerializer,
    ImportanceSerializer,
    PanelQuerySerializer,
    PanelSerializer,
)

# The Retry-After header of a pending answer: the job needs a few seconds.
ASK_AGAIN_SECONDS = "5"


class ImportanceView(GenericAPIView[Campaign]):
    """Return the importance of each parameter with its uncertainty, most important first."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    query_serializer: Any = ImportanceQuerySerializer

    @extend_schema(
        operation_id="get_importance",
        tags=["results"],
        parameters=[ImportanceQuerySerializer],
        responses={200: ImportanceSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        device = query(self.query_serializer, request)["device"]
        campaign = self.get_object()
        known = estimates.estimate(campaign, device)
        if known.is_behind:
            estimates.ask(campaign, device)
        importance = known.importance or Importance([], known.total, 0, 0.0)
        status = "pending" if known.is_pending else "behind" if known.is_behind else "current"
        reply = {
            "method": "PED-ANOVA",
            "results": importance.results,
            "used": importance.used,
            "needed": MIN_RESULTS,
            "target_quantile": importance.target_quantile,
            "resamples": RESAMPLES,
            "shuffles": SHUFFLES,
            "warnings": importance.warnings,
            "parameters": importance.parameters,
            "status": status,
            "computed_at": known.computed_at,
        }
        headers = {"Retry-After": ASK_AGAIN_SECONDS} if known.is_pending else None
        return Response(ImportanceSerializer(reply).data, headers=headers)


class AnalysisView(GenericAPIView[Campaign]):
    """List the panels of a campaign's analysis."""

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
            "devices": ranked_devices(campaign),
            "parameters": parameter_names(campaign),
        }
        return Response(AnalysisSerializer(answer).data)


class PanelView(GenericAPIView[Campaign]):
    """Return the data of one panel. It is computed once per revision of the campaign."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    query_serializer: Any = PanelQuerySerializer

    @extend_schema(
        operation_id="get_panel",
        tags=["results"],
        parameters=[PanelQuerySerializer],
        responses={200: PanelSerializer, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int, key: str) -> Response:
        return Response(panel_data(self.get_object(), key, **query(self.query_serializer, request)))
