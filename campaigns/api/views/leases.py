"""Endpoints of the leases: claim, heartbeat, result, release.

Their paths and shapes are defined in `workers.protocol`.
"""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import lifecycle
from campaigns.answers.leases import claim_reply
from campaigns.api.bases import APIView
from campaigns.api.lean import LeanView
from campaigns.api.openapi import ErrorSerializer, errors
from campaigns.api.permissions import IsSignedInOrWorker, IsWorker
from campaigns.clock import database_now
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
from workers.authentication import WorkerTokenAuthentication
from workers.features import ALL_FEATURES
from workers.models import Worker, WorkerState
from workers.protocol import ErrorCode, Submission, Verdict
from workers.takeover import WorkerInUse


class LeaseHolderView(APIView):
    """Base of the endpoints for holders of leases: workers, and people who asked for tasks."""

    authentication_classes: Any = (
        WorkerTokenAuthentication,
        PersonalTokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Any = (IsSignedInOrWorker,)

    @property
    def worker(self) -> Worker:
        """The calling worker, or the worker identity under which a person's programs hold leases.

        Raises LeaseUnknown for a person without one: they have never asked for a task. Raises
        PermissionDenied for a disabled one.
        """
        if isinstance(self.request.auth, Worker):
            return self.request.auth
        identity = Worker.objects.filter(person_id=self.request.user.pk).first()
        if identity is None:
            raise lifecycle.LeaseUnknown
        if identity.state == WorkerState.DISABLED:
            raise PermissionDenied(f"{identity} is disabled. Ask the operator of this server.")
        return identity


class ClaimView(LeanView):
    """Lease up to `count` tasks. Idempotent: the same `claim_id` returns the same leases."""

    authentication_classes: Any = (WorkerTokenAuthentication,)
    permission_classes: Any = (IsWorker,)
    shape = ClaimRequestSerializer

    @property
    def worker(self) -> Worker:
        return cast(Worker, self.request.auth)

    @extend_schema(
        operation_id="claim_leases",
        tags=["agents"],
        request=ClaimRequestSerializer,
        responses={200: ClaimReplySerializer, **errors(400, 403, 409)},
    )
    def post(self, request: Request) -> Response:
        data, now = self.body, database_now()
        worker_lifecycle.see(self.worker, now=now, boot_id=data["boot_id"])
        worker_lifecycle.describe(
            self.worker,
            hardware=data.get("hardware", {}),
            simulates=data["simulate"],
            version=data.get("agent_version", self.worker.agent_version),
            isolation=data.get("isolation", ""),
            accepts_uploaded_scripts=data.get("accepts_uploaded_scripts", False),
            scripts=data.get("scripts"),
            runs_server_code=data.get("runs_server_code", False),
        )
        try:
            claim = lifecycle.claim(
                self.worker,
                claim_id=data["claim_id"],
                count=data["count"],
                slots=data.get("slots"),
                calibrates=data.get("calibrates", False),
                boot_id=data["boot_id"],
                longest_seconds=data.get("longest_seconds"),
                now=now,
            )
        except WorkerInUse as error:
            # Agents of 0.1.0, which tell no scripts, take an unknown code for a proxy's answer.
            if "scripts" in data:
                raise
            claim = lifecycle.Claim([], str(error))
        return Response(claim_reply(claim, data["count"], now))


class HeartbeatView(LeanView, LeaseHolderView):
    """Renew leases and store their progress. The answer says for each lease what to do."""

    shape = HeartbeatRequestSerializer

    @extend_schema(
        operation_id="heartbeat",
        tags=["agents"],
        request=HeartbeatRequestSerializer,
        # The 404 is for a person who has never asked for a task.
        responses={200: HeartbeatReplySerializer, **errors(400, 403, 404)},
    )
    def post(self, request: Request) -> Response:
        data, now = self.body, database_now()
        worker = self.worker
        worker_lifecycle.see(worker, now=now, boot_id=data["boot_id"])
        worker_lifecycle.note_owner_pause(worker, data.get("owner_pause"), now=now)
        answers = []
        for lease in data["leases"]:
            lease_id, progress = lease["lease_id"], lease.get("progress", [])
            answer, reason = lifecycle.renew(worker, lease_id, now=now, progress=progress)
            answers.append({"lease_id": str(lease_id), "answer": answer, "reason": reason})
        reply = {
            "leases": answers,
            "heartbeat_seconds": settings.XEENET["HEARTBEAT_SECONDS"],
            "worker_state": worker.state,
            "features": sorted(ALL_FEATURES),
        }
        return Response(reply)


class ResultView(LeanView, LeaseHolderView):
    """Submit how a run ended. Idempotent: the same body again gets the same answer."""

    shape = SubmissionSerializer

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
        data, now = self.body, database_now()
        worker = self.worker
        worker_lifecycle.see(worker, now=now)
        answer = lifecycle.submit(worker, lease_id, cast(Submission, data), now=now)
        reply: dict[str, Any] = {"verdict": answer.verdict, "message": answer.message}
        if answer.note:
            reply["note"] = answer.note
        if answer.verdict == Verdict.REFUSED:
            reply["code"] = ErrorCode.METRICS_REFUSED
            return Response(reply, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
        return Response(reply)


class ReleaseView(LeanView, LeaseHolderView):
    """Give a task back without running it. It costs the task no try. Idempotent."""

    shape = ReleaseRequestSerializer

    @extend_schema(
        operation_id="release_lease",
        tags=["agents"],
        request=ReleaseRequestSerializer,
        responses={200: SubmissionReplySerializer, **errors(400, 403, 404, 409)},
    )
    def post(self, request: Request, lease_id: uuid.UUID) -> Response:
        data, now = self.body, database_now()
        worker = self.worker
        worker_lifecycle.see(worker, now=now)
        lifecycle.release(worker, lease_id, now=now, reason=data.get("reason", ""))
        return Response({"verdict": Verdict.RELEASED, "message": "The task is pending again."})
