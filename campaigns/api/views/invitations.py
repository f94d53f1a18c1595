"""Endpoints for operators: invitations for machines, and new tokens for workers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.filters import InvitationFilter
from campaigns.api.openapi import errors
from campaigns.api.requests import body, made_with_secret, person
from campaigns.clock import database_now
from campaigns.serializers.invitations import (
    InvitationRequestSerializer,
    InvitationSerializer,
    NewInvitationSerializer,
    NewWorkerTokenSerializer,
)
from workers import steering
from workers.joining.lines import lines, link
from workers.models import EnrolmentToken, Worker
from xeenet_site.web import addresses
from xeenet_site.web.pages import server_url


class InvitationsView(ListAPIView[EnrolmentToken]):
    """List the invitations, the newest first. POST makes an invitation. Only for operators."""

    queryset = EnrolmentToken.objects.none()
    permission_classes: Any = (IsAuthenticated,)
    serializer_class = InvitationSerializer
    filterset_class = InvitationFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[EnrolmentToken]:
        return steering.invitations(person(self.request))

    @extend_schema(
        operation_id="list_invitations",
        tags=["workers"],
        responses={200: InvitationSerializer(many=True), **errors(400, 403, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_invitation",
        tags=["workers"],
        request=InvitationRequestSerializer,
        responses={201: NewInvitationSerializer, **errors(400, 403)},
    )
    def post(self, request: Request) -> Response:
        label = body(InvitationRequestSerializer, request)["label"]
        invitation, secret = steering.invite(person(request), now=database_now(), label=label)
        reach = addresses.reach(request)
        url = reach.url or server_url(request)
        posix = lines(url, ["--enrol", secret])[0]
        secrets = {
            "enrolment_token": secret,
            "command": posix.start,
            "install": posix.install,
            "link": link(url, secret),
            "problem": reach.problem,
        }
        return made_with_secret(InvitationSerializer(invitation).data | secrets)


class InvitationView(GenericAPIView[EnrolmentToken]):
    """Withdraw an invitation that nobody has used. Only for operators."""

    queryset = EnrolmentToken.objects.none()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="withdraw_invitation",
        tags=["workers"],
        responses={204: None, **errors(403, 404, 409)},
    )
    def delete(self, request: Request, pk: int) -> Response:
        actor = person(request)
        invitation = get_object_or_404(steering.invitations(actor), pk=pk)
        steering.withdraw(actor, invitation, now=database_now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateWorkerTokenView(GenericAPIView[Worker]):
    """Replace a worker's token; the old one is invalid from the next request on. For operators."""

    queryset = Worker.objects.all()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="rotate_worker_token",
        tags=["workers"],
        request=None,
        responses={201: NewWorkerTokenSerializer, **errors(403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        worker = self.get_object()
        secret = steering.rotate_token(person(request), worker, now=database_now())
        answer = {"worker_id": worker.pk, "name": worker.name, "token": secret}
        return made_with_secret(NewWorkerTokenSerializer(answer).data)
