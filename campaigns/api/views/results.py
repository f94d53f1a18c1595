"""Endpoints of results: the list, and the files with all results."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.filters import ResultFilter
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.exports import rows as export_rows
from campaigns.models import Campaign, Result
from campaigns.serializers.results import ExportQuerySerializer, ResultSerializer


class ResultsView(ListAPIView[Result]):
    """List the results of a campaign, the latest first. Simulated ones only with simulated=true."""

    queryset = Result.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = ResultSerializer
    filterset_class = ResultFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[Result]:
        campaign = get_object_or_404(Campaign, pk=self.kwargs["pk"])
        return campaign.results.select_related("task", "attempt__worker")

    @extend_schema(
        operation_id="list_results",
        tags=["results"],
        responses={200: ResultSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ExportView(GenericAPIView[Campaign]):
    """Base of the files with all results of a campaign, streamed from the database."""

    queryset = Campaign.objects.all()
    permission_classes: Any = (IsSignedInOrMayRead,)
    query_serializer: Any = ExportQuerySerializer

    def file(
        self, writer: export_rows.Writer, content_type: str, suffix: str
    ) -> StreamingHttpResponse:
        selection = query(self.query_serializer, self.request)
        campaign = self.get_object()
        name = f"campaign-{campaign.pk}-results.{suffix}"
        return StreamingHttpResponse(
            writer(campaign, **selection),
            content_type=f"{content_type}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


class ResultsCSVView(ExportView):
    """Return all results as CSV, by task number, with a column for each param."""

    @extend_schema(
        operation_id="export_results_csv",
        tags=["results"],
        parameters=[ExportQuerySerializer],
        responses={(200, "text/csv"): OpenApiTypes.STR, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        return self.file(export_rows.csv_lines, "text/csv", "csv")


class ResultsJSONLinesView(ExportView):
    """Return all results as JSON lines, by task number, with the params as an object."""

    @extend_schema(
        operation_id="export_results_jsonl",
        tags=["results"],
        parameters=[ExportQuerySerializer],
        responses={(200, "application/jsonl"): OpenApiTypes.STR, **errors(400, 404)},
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        return self.file(export_rows.json_lines, "application/jsonl", "jsonl")
