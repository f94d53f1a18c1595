"""The endpoint that compares two to five tasks or campaigns."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.answers.comparison import comparison_data
from campaigns.api.bases import GenericAPIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import query
from campaigns.serializers.compare import CompareQuerySerializer, ComparisonSerializer


class CompareView(GenericAPIView[Any]):
    """Compare two to five tasks or campaigns: differing params, values with spread, curves."""

    permission_classes: Any = (IsSignedInOrMayRead,)
    query_serializer: Any = CompareQuerySerializer
    serializer_class = ComparisonSerializer

    @extend_schema(
        operation_id="compare",
        tags=["results"],
        parameters=[CompareQuerySerializer],
        responses={200: ComparisonSerializer, **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        return Response(comparison_data(query(self.query_serializer, request)))
