"""Endpoints for worker agents: enrolment, leases, and the files that a lease names.

Their paths and shapes are defined in `workers.protocol`.
"""

from __future__ import annotations

from typing import Any, cast

from django.http import FileResponse, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.shortcuts import get_object_or_404
from django.utils.http import parse_etags
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import lifecycle
from campaigns.api.bases import APIView
from campaigns.api.openapi import ErrorSerializer, errors
from campaigns.api.permissions import IsSignedInOrWorker, IsWorker
from campaigns.api.requests import body, made_with_secret
from campaigns.clock import database_now
from campaigns.models import Dataset, Package
from campaigns.tokens.authentication import PersonalTokenAuthentication
from workers import fleets
from workers import lifecycle as worker_lifecycle
from workers.api.serializers import (
    EnrolReplySerializer,
    EnrolRequestSerializer,
    LeaveReplySerializer,
    MeSerializer,
    TokenReplySerializer,
)
from workers.authentication import WorkerTokenAuthentication
from workers.models import Worker


class AgentView(APIView):
    """Base of the endpoints for workers with their token; nobody else may call them."""

    authentication_classes: Any = (WorkerTokenAuthentication,)
    permission_classes: Any = (IsWorker,)

    @property
    def worker(self) -> Worker:
        return cast(Worker, self.request.auth)


class EnrolView(APIView):
    """Register a worker with an invitation, which is valid once, or with a fleet's token."""

    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)

    @extend_schema(
        operation_id="enrol_worker",
        tags=["agents"],
        auth=[],
        request=EnrolRequestSerializer,
        responses={201: EnrolReplySerializer, **dict.fromkeys((400, 403, 409), ErrorSerializer)},
    )
    def post(self, request: Request) -> Response:
        data, now = body(EnrolRequestSerializer, request), database_now()
        secret, about = data["enrolment_token"], {"hardware": data.get("hardware")}
        about["agent_version"] = data.get("agent_version", "")
        if machine_key := data.get("machine_key"):
            worker, token = fleets.enrol(secret, machine_key=machine_key, now=now, **about)
        else:
            name = data.get("name", "")
            worker, token = worker_lifecycle.enrol(secret, now=now, name=name, **about)
        reply = {"worker_id": worker.pk, "name": worker.name, "token": token}
        return made_with_secret(reply | ({"ephemeral": True} if machine_key else {}))


class MeView(AgentView):
    """Return what the server knows about the calling worker."""

    @extend_schema(operation_id="me", tags=["agents"], responses={200: MeSerializer, **errors(403)})
    def get(self, request: Request) -> Response:
        worker_lifecycle.see(self.worker, now=database_now())
        return Response(MeSerializer(self.worker).data)


class TokenView(AgentView):
    """Replace the calling worker's own token.

    Use it regularly, and whenever somebody else may know the token.
    """

    @extend_schema(
        operation_id="rotate_own_token",
        tags=["agents"],
        request=None,
        responses={200: TokenReplySerializer, **errors(403, 409)},
        description=(
            "Replace the token of this request, regularly or when somebody else may know it. The "
            "new token is shown only once; the old one is invalid from the next request on."
        ),
    )
    def post(self, request: Request) -> Response:
        secret = worker_lifecycle.rotate_token(self.worker)
        # No cache on the way may store the secret.
        return Response({"token": secret}, headers={"Cache-Control": "no-store"})


class LeaveView(AgentView):
    """End the calling worker: its tasks go back, and its token opens nothing any more."""

    @extend_schema(
        operation_id="leave",
        tags=["agents"],
        request=None,
        responses={200: LeaveReplySerializer, **errors(403, 409)},
        description=(
            "End the worker of this request: the tasks that it holds are pending again, which "
            "costs them no try, and its token is invalid from now on, also after an operator "
            "resumes the worker. What it has measured stays. A repeated call answers 401."
        ),
    )
    def post(self, request: Request) -> Response:
        released = lifecycle.leave(self.worker, now=database_now())
        message = f"The worker {self.worker} has left. Its results stay."
        return Response({"released": released, "message": message})


class DownloadView(APIView):
    """Base of downloads by hash, for people and for workers whose tasks need the file.

    The bytes of a hash never change, so the hash serves as the ETag.
    """

    authentication_classes: Any = (
        WorkerTokenAuthentication,
        PersonalTokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Any = (IsSignedInOrWorker,)

    def check_need(self, request: Request, what: str, **of_campaign: str) -> None:
        """Raise LeaseLost if the caller is a worker that holds no task that needs the file.

        `what` names the file for people. `of_campaign` are the fields and values of the campaigns
        that need it.
        """
        if isinstance(request.auth, Worker):
            wanted = {f"campaign__{name}": value for name, value in of_campaign.items()}
            if not request.auth.leased_tasks.filter(**wanted).exists():
                # Most likely the lease ran out before the worker sent this request.
                raise lifecycle.LeaseLost(f"This worker holds no task that needs this {what}.")

    def unchanged(self, request: Request, sha256: str) -> HttpResponse | None:
        """Return 304 if the caller has these bytes already, otherwise None."""
        etags = parse_etags(request.headers.get("If-None-Match", ""))
        if f'"{sha256}"' not in etags:
            return None
        return HttpResponseNotModified(headers=_file_headers(sha256))


def _file_headers(sha256: str) -> dict[str, str]:
    # no-cache: the bytes never change, but the caller's right to them may, so caches must ask again
    # each time.
    return {"ETag": f'"{sha256}"', "Cache-Control": "private, no-cache"}


class PackageView(DownloadView):
    """Return the source of a training script by its hash.

    A worker gets only scripts of tasks that it holds; uploaded scripts only while they are
    approved.
    """

    @extend_schema(
        operation_id="download_package",
        tags=["agents"],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            304: OpenApiResponse(description="The copy with this ETag is the same."),
            **errors(403, 404, 409),
        },
    )
    def get(self, request: Request, sha256: str) -> HttpResponse:
        self.check_need(request, "script", package=sha256)
        package = get_object_or_404(Package, pk=sha256)
        if isinstance(request.auth, Worker) and not package.may_run:
            raise PermissionDenied(f"The approval of the script {package} was withdrawn.")
        return self.unchanged(request, sha256) or HttpResponse(
            bytes(package.source),
            content_type="application/octet-stream",
            headers=_file_headers(sha256),
        )


class DatasetView(DownloadView):
    """Return the bytes of a data set by its hash, if the server has them.

    A worker gets only data sets of tasks that it holds.
    """

    @extend_schema(
        operation_id="download_dataset",
        tags=["agents"],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            304: OpenApiResponse(description="The copy with this ETag is the same."),
            **errors(403, 404, 409),
        },
    )
    def get(self, request: Request, sha256: str) -> HttpResponseBase:
        self.check_need(request, "data set", dataset=sha256)
        dataset = get_object_or_404(Dataset, pk=sha256)
        if not dataset.file or not dataset.file.storage.exists(str(dataset.file.name)):
            raise NotFound(
                f"This server does not store the data set {dataset}; fetch it elsewhere."
            )
        return self.unchanged(request, sha256) or FileResponse(
            dataset.file.open("rb"),
            content_type="application/octet-stream",
            headers=_file_headers(sha256),
        )
