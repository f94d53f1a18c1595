"""What worker agents call: enrolment, leases, and the files a lease names.

The paths and shapes are those of `workers.protocol`.
"""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.conf import settings
from django.http import FileResponse, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.shortcuts import get_object_or_404
from django.utils.http import parse_etags
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import lifecycle
from campaigns.answers.leases import claim_reply
from campaigns.api.openapi import ErrorSerializer, errors
from campaigns.api.permissions import IsSignedInOrWorker, IsWorker
from campaigns.api.requests import body, made_with_secret
from campaigns.clock import database_now
from campaigns.models import Dataset, Package
from campaigns.serializers.agents import (
    ClaimReplySerializer,
    ClaimRequestSerializer,
    HeartbeatReplySerializer,
    HeartbeatRequestSerializer,
    ReleaseRequestSerializer,
    SubmissionReplySerializer,
    SubmissionSerializer,
)
from campaigns.tokens.authentication import PersonalTokenAuthentication
from workers import lifecycle as worker_lifecycle
from workers.api.serializers import (
    EnrolReplySerializer,
    EnrolRequestSerializer,
    TokenReplySerializer,
    WorkerSerializer,
)
from workers.authentication import WorkerTokenAuthentication
from workers.models import Worker, WorkerState
from workers.protocol import ErrorCode, Submission, Verdict


class AgentView(APIView):
    """Base of the calls a worker makes with its token; nobody else may make them."""

    authentication_classes: Any = (WorkerTokenAuthentication,)
    permission_classes: Any = (IsWorker,)

    @property
    def worker(self) -> Worker:
        return cast(Worker, self.request.auth)


class LeaseHolderView(AgentView):
    """Base of the calls for leases held: by a worker, or by a person who asked for them."""

    authentication_classes: Any = (
        WorkerTokenAuthentication,
        PersonalTokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Any = (IsSignedInOrWorker,)

    @property
    def worker(self) -> Worker:
        """The worker that calls, or the identity of the person. Raises LeaseUnknown for none."""
        if isinstance(self.request.auth, Worker):
            return self.request.auth
        identity = Worker.objects.filter(person_id=self.request.user.pk).first()
        if identity is None:
            raise lifecycle.LeaseUnknown
        if identity.state == WorkerState.DISABLED:
            raise PermissionDenied(f"{identity} is disabled. Ask the operator of this server.")
        return identity


class EnrolView(APIView):
    """Turn a single-use enrolment token into a worker."""

    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)

    @extend_schema(
        operation_id="enrol_worker",
        tags=["agents"],
        auth=[],
        request=EnrolRequestSerializer,
        responses={201: EnrolReplySerializer, 400: ErrorSerializer, 403: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        data = body(EnrolRequestSerializer, request)
        worker, token = worker_lifecycle.enrol(
            data["enrolment_token"],
            now=database_now(),
            name=data.get("name", ""),
            hardware=data.get("hardware"),
            agent_version=data.get("agent_version", ""),
        )
        return made_with_secret({"worker_id": worker.pk, "name": worker.name, "token": token})


class MeView(AgentView):
    """What the server knows of the worker that asks."""

    @extend_schema(
        operation_id="me", tags=["agents"], responses={200: WorkerSerializer, **errors(403)}
    )
    def get(self, request: Request) -> Response:
        worker_lifecycle.see(self.worker, now=database_now())
        return Response(WorkerSerializer(self.worker).data)


class TokenView(AgentView):
    """A worker changes its own token: as often as its owner likes, and once it may be known."""

    @extend_schema(
        operation_id="rotate_own_token",
        tags=["agents"],
        request=None,
        responses={200: TokenReplySerializer, **errors(403, 409)},
        description=(
            "Replace the token this is asked with. The new one is shown this once; the old one "
            "opens nothing from the next request on."
        ),
    )
    def post(self, request: Request) -> Response:
        secret = worker_lifecycle.rotate_token(self.worker)
        # No cache on the way may keep a secret.
        return Response({"token": secret}, headers={"Cache-Control": "no-store"})


class ClaimView(AgentView):
    """Lease up to `count` tasks; the same `claim_id` again returns the same leases."""

    @extend_schema(
        operation_id="claim_leases",
        tags=["agents"],
        request=ClaimRequestSerializer,
        responses={200: ClaimReplySerializer, **errors(400, 403)},
    )
    def post(self, request: Request) -> Response:
        data, now = body(ClaimRequestSerializer, request), database_now()
        worker_lifecycle.see(self.worker, now=now, boot_id=data["boot_id"])
        worker_lifecycle.describe(
            self.worker,
            hardware=data.get("hardware", {}),
            simulates=data["simulate"],
            version=data.get("agent_version", self.worker.agent_version),
            isolation=data.get("isolation", ""),
            accepts_uploaded_scripts=data.get("accepts_uploaded_scripts", False),
        )
        claim = lifecycle.claim(
            self.worker, claim_id=data["claim_id"], count=data["count"], now=now
        )
        return Response(claim_reply(claim, data["count"], now))


class HeartbeatView(LeaseHolderView):
    """Renew all leases of a worker and take their progress; say per lease what to do."""

    @extend_schema(
        operation_id="heartbeat",
        tags=["agents"],
        request=HeartbeatRequestSerializer,
        # A person who has no identity as a worker yet gets the 404.
        responses={200: HeartbeatReplySerializer, **errors(400, 403, 404)},
    )
    def post(self, request: Request) -> Response:
        data, now = body(HeartbeatRequestSerializer, request), database_now()
        worker = self.worker
        worker_lifecycle.see(worker, now=now, boot_id=data["boot_id"])
        answers = []
        for lease in data["leases"]:
            lease_id, progress = lease["lease_id"], lease.get("progress", [])
            answer, reason = lifecycle.renew(worker, lease_id, now=now, progress=progress)
            answers.append({"lease_id": str(lease_id), "answer": answer, "reason": reason})
        reply = {
            "leases": answers,
            "heartbeat_seconds": settings.XEENET["HEARTBEAT_SECONDS"],
            "worker_state": worker.state,
        }
        return Response(reply)


class ResultView(LeaseHolderView):
    """Hand in how a run ended; the same body again gets the same answer."""

    @extend_schema(
        operation_id="submit_result",
        tags=["agents"],
        request=SubmissionSerializer,
        responses={
            200: SubmissionReplySerializer,
            422: OpenApiResponse(ErrorSerializer, "The metrics contradict themselves or the task."),
            **errors(400, 403, 404, 409),
        },
    )
    def put(self, request: Request, lease_id: uuid.UUID) -> Response:
        data, now = body(SubmissionSerializer, request), database_now()
        worker = self.worker
        worker_lifecycle.see(worker, now=now)
        answer = lifecycle.submit(worker, lease_id, cast(Submission, data), now=now)
        reply: dict[str, Any] = {"verdict": answer.verdict, "message": answer.message}
        if answer.verdict == Verdict.REFUSED:
            reply["code"] = ErrorCode.METRICS_REFUSED
            return Response(reply, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
        return Response(reply)


class ReleaseView(LeaseHolderView):
    """Give a task back unrun, at no charge; again changes nothing."""

    @extend_schema(
        operation_id="release_lease",
        tags=["agents"],
        request=ReleaseRequestSerializer,
        responses={200: SubmissionReplySerializer, **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, lease_id: uuid.UUID) -> Response:
        data, now = body(ReleaseRequestSerializer, request), database_now()
        worker = self.worker
        worker_lifecycle.see(worker, now=now)
        lifecycle.release(worker, lease_id, now=now, reason=data.get("reason", ""))
        return Response({"verdict": Verdict.RELEASED, "message": "The task is pending again."})


class DownloadView(APIView):
    """Base of the files that leases name by hash: for people, and for workers that need them.

    The bytes of a hash never change, so the hash is the ETag.
    """

    authentication_classes: Any = (
        WorkerTokenAuthentication,
        PersonalTokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Any = (IsSignedInOrWorker,)

    def check_need(self, request: Request, what: str, **of_campaign: str) -> None:
        """Let a worker have only what a task needs that it holds now. Raises LeaseLost."""
        if isinstance(request.auth, Worker):
            wanted = {f"campaign__{name}": value for name, value in of_campaign.items()}
            if not request.auth.leased_tasks.filter(**wanted).exists():
                # Most likely it held one, and its lease ran out before it came to ask.
                raise lifecycle.LeaseLost(f"This worker holds no task that needs this {what}.")

    def unchanged(self, request: Request, sha256: str) -> HttpResponse | None:
        """Return 304 for who has these bytes already."""
        known = parse_etags(request.headers.get("If-None-Match", ""))
        if f'"{sha256}"' not in known:
            return None
        return HttpResponseNotModified(headers=_file_headers(sha256))


def _file_headers(sha256: str) -> dict[str, str]:
    # Asked for again each time: whether the caller may have it can change, the bytes cannot.
    return {"ETag": f'"{sha256}"', "Cache-Control": "private, no-cache"}


class PackageView(DownloadView):
    """The source of a training script, by its hash.

    A worker gets the scripts of the tasks it holds, uploaded ones only while they are approved.
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
    """The bytes of a data set, by their hash, where the server has them.

    A worker gets the data sets of the tasks it holds.
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
