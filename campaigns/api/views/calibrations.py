"""Endpoints of speeds: what agents measured of their machines, how people read it, and admit it."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.openapi import errors
from campaigns.api.parsers import StrictJSONParser
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body
from campaigns.api.views.agents import AgentView
from campaigns.api.views.workers import CHANGED, WorkerVerbView
from campaigns.clock import database_now
from campaigns.fleet import calibrations
from campaigns.serializers.calibrations import (
    CalibrationReplySerializer,
    CalibrationReportSerializer,
    CalibrationSerializer,
)
from workers import lifecycle as worker_lifecycle
from workers import steering
from workers.calibration import MAX_CALIBRATION_BYTES, CalibrationReport
from workers.models import Calibration, Worker


class CalibrationParser(StrictJSONParser):
    """Reads no more than a calibration needs."""

    max_bytes = MAX_CALIBRATION_BYTES


class CalibrationView(AgentView):
    """Store the speed that the calling worker measured. The same body again is stored once."""

    parser_classes: Any = (CalibrationParser,)

    @extend_schema(
        operation_id="calibrate",
        tags=["agents"],
        request=CalibrationReportSerializer,
        responses={200: CalibrationReplySerializer, **errors(400, 403, 413)},
    )
    def post(self, request: Request) -> Response:
        data, now = body(CalibrationReportSerializer, request), database_now()
        worker_lifecycle.see(self.worker, now=now)
        message = calibrations.take(self.worker, cast(CalibrationReport, data), now=now)
        return Response({"message": message})


class WorkerCalibrationsView(ListAPIView[Calibration]):
    """List what a worker measured of its speed, the latest first."""

    queryset = Calibration.objects.none()
    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = CalibrationSerializer
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[Calibration]:
        worker = get_object_or_404(Worker, pk=self.kwargs["pk"])
        return worker.calibrations.select_related("admitted_by")

    @extend_schema(
        operation_id="list_worker_calibrations",
        tags=["workers"],
        responses={200: CalibrationSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class AdmitCalibrationView(WorkerVerbView):
    """Let a worker have work budgets although its values differ from the known ones."""

    @extend_schema(
        operation_id="admit_calibration", tags=["workers"], request=None, responses=CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(steering.admit_calibration)
