"""Endpoints of training scripts: upload, read, approve, decline, withdraw, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body, person
from campaigns.clock import database_now
from campaigns.models import Package
from campaigns.scripts import steering as script_steering
from campaigns.serializers.scripts import (
    DeclineSerializer,
    ScriptDetailSerializer,
    ScriptSerializer,
    UploadSerializer,
)


class ScriptFilter(filters.FilterSet):
    """Filter scripts by approval, experiment and a part of their name."""

    approved = filters.BooleanFilter(field_name="approved_at", lookup_expr="isnull", exclude=True)
    declined = filters.BooleanFilter(field_name="declined_at", lookup_expr="isnull", exclude=True)
    experiment = filters.CharFilter()
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="A part of the name."
    )

    class Meta:
        model = Package
        fields: ClassVar = ["approved", "declined", "experiment", "search"]


class ScriptsView(ListAPIView[Package]):
    """List the uploaded scripts, newest first. POST uploads a script."""

    queryset = Package.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = ScriptSerializer
    filterset_class = ScriptFilter
    pagination_class = Cursor
    cursor_ordering = ("-created_at", "sha256")

    def get_queryset(self) -> QuerySet[Package]:
        return script_steering.uploaded()

    @extend_schema(
        operation_id="list_scripts",
        tags=["scripts"],
        responses={200: ScriptSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="upload_script",
        tags=["scripts"],
        request=UploadSerializer,
        responses={
            200: ScriptSerializer,
            201: ScriptSerializer,
            **errors(400, 403, 413),
        },
        description="Upload a script, which an operator has to read and approve. The same text "
        "again gets 200.",
    )
    def post(self, request: Request) -> Response:
        data = body(UploadSerializer, request)
        package, is_new = script_steering.upload(
            person(request),
            name=data["name"],
            experiment=data["experiment"],
            source=data["source"].encode(),
            now=database_now(),
        )
        http_status = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(ScriptSerializer(package).data, status=http_status)


class ScriptView(GenericAPIView[Package]):
    """Return a script with its text by its hash, whether uploaded or pinned by a campaign."""

    queryset = Package.objects.select_related(*script_steering.JUDGES)
    permission_classes: Any = (IsSignedInOrMayRead,)

    @extend_schema(
        operation_id="get_script",
        tags=["scripts"],
        responses={200: ScriptDetailSerializer, **errors(404)},
    )
    def get(self, request: Request, sha256: str) -> Response:
        package = get_object_or_404(self.get_queryset(), pk=sha256)
        return Response(ScriptDetailSerializer(package).data)

    @extend_schema(
        operation_id="delete_script",
        tags=["scripts"],
        responses={204: None, **errors(403, 404, 409)},
        description="Delete an uploaded script that no campaign uses. Only for its uploader and "
        "operators.",
    )
    def delete(self, request: Request, sha256: str) -> Response:
        package = get_object_or_404(Package, pk=sha256)
        script_steering.delete(person(request), package, now=database_now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class ScriptVerbView(GenericAPIView[Package]):
    """Base of the verbs with which operators judge a script."""

    queryset = Package.objects.all()
    permission_classes: Any = (IsAuthenticated,)

    def change(self, verb: Callable[..., None], sha256: str, **arguments: Any) -> Response:
        package = get_object_or_404(self.get_queryset(), pk=sha256)
        verb(person(self.request), package, now=database_now(), **arguments)
        return Response(ScriptSerializer(package).data)


_CHANGED: dict[int, Any] = {200: ScriptSerializer, **errors(403, 404, 409)}


class ApproveScriptView(ScriptVerbView):
    """Approve a script: workers may get exactly these bytes."""

    @extend_schema(
        operation_id="approve_script", tags=["scripts"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, sha256: str) -> Response:
        return self.change(script_steering.approve, sha256)


class DeclineScriptView(ScriptVerbView):
    """Decline a script with a reason. It may still be approved later."""

    @extend_schema(
        operation_id="decline_script",
        tags=["scripts"],
        request=DeclineSerializer,
        responses=_CHANGED | errors(400),
    )
    def post(self, request: Request, sha256: str) -> Response:
        reason = body(DeclineSerializer, request)["reason"]
        return self.change(script_steering.decline, sha256, reason=reason)


class WithdrawScriptView(ScriptVerbView):
    """Withdraw the approval: no worker gets the script from now on; running tasks may finish."""

    @extend_schema(
        operation_id="withdraw_script", tags=["scripts"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, sha256: str) -> Response:
        return self.change(script_steering.withdraw, sha256)
