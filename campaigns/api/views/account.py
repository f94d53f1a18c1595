"""The caller's account and personal tokens, and the audit log."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.filters import AuditFilter
from campaigns.api.openapi import errors
from campaigns.api.requests import body, made_with_secret, person
from campaigns.clock import database_now
from campaigns.models import PersonalToken
from campaigns.serializers.account import (
    AccountSerializer,
    AuditEntrySerializer,
    NewTokenSerializer,
    TokenRequestSerializer,
    TokenSerializer,
)
from campaigns.tokens import personal_tokens
from workers import audit
from workers.models import AuditEntry
from xeenet_site.web import roles


class AccountView(GenericAPIView[Any]):
    """Return the caller's account and role, and what the role allows."""

    permission_classes: Any = (IsAuthenticated,)
    serializer_class = AccountSerializer

    @extend_schema(
        operation_id="get_account", tags=["account"], responses={200: AccountSerializer, **errors()}
    )
    def get(self, request: Request) -> Response:
        user = person(request)
        answer = {
            "username": user.get_username(),
            "role": roles.role_of(user),
            "may_create": roles.may_create(user),
            "may_operate": roles.may_operate(user),
        }
        return Response(AccountSerializer(answer).data)


class TokensView(ListAPIView[PersonalToken]):
    """List the caller's own tokens, the newest first. POST makes a token, in a session only."""

    queryset = PersonalToken.objects.none()
    permission_classes: Any = (IsAuthenticated,)
    serializer_class = TokenSerializer
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[PersonalToken]:
        return PersonalToken.objects.filter(user=person(self.request))

    @extend_schema(
        operation_id="list_tokens",
        tags=["account"],
        responses={200: TokenSerializer(many=True), **errors(404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_token",
        tags=["account"],
        request=TokenRequestSerializer,
        responses={201: NewTokenSerializer, **errors(400, 403)},
        description="Make a token. Only a session of the pages may do this: a request with a "
        "token gets 403.",
    )
    def post(self, request: Request) -> Response:
        # Otherwise whoever stole a token could make others with it, and keep access after its owner
        # has revoked the stolen one.
        if isinstance(request.auth, PersonalToken):
            raise PermissionDenied(
                "A token cannot make further tokens. Make one on the settings page (/account/) or "
                "with manage.py create_token."
            )
        user, name = person(request), body(TokenRequestSerializer, request)["name"]
        try:
            token, secret = personal_tokens.create(user, name, now=database_now(), actor=user)
        except personal_tokens.TokenRefused as error:
            raise ValidationError({"name": [str(error)]}) from error
        return made_with_secret(TokenSerializer(token).data | {"token": secret})


class TokenView(GenericAPIView[PersonalToken]):
    """Revoke one of the caller's own tokens, from the next request on."""

    queryset = PersonalToken.objects.none()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="revoke_token", tags=["account"], responses={204: None, **errors(404)}
    )
    def delete(self, request: Request, pk: int) -> Response:
        user = person(request)
        token = get_object_or_404(PersonalToken, pk=pk, user=user)
        personal_tokens.revoke(token, actor=user, now=database_now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class AuditView(ListAPIView[AuditEntry]):
    """List what people did, the latest first. Only for operators."""

    queryset = AuditEntry.objects.none()
    permission_classes: Any = (IsAuthenticated,)
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[AuditEntry]:
        return audit.readable_by(person(self.request))

    @extend_schema(
        operation_id="list_audit_entries",
        tags=["account"],
        responses={200: AuditEntrySerializer(many=True), **errors(400, 403, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
