"""What belongs to a person: who one is, personal tokens; and the log of what people did."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.filters import AuditFilter, Cursor
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
    """Who the token belongs to, and what it may."""

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
    """The caller's own tokens, the last made first; a POST by who is signed in makes one."""

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
        description="Make a token, in a session of the pages. A token itself may not: 403.",
    )
    def post(self, request: Request) -> Response:
        # Else a stolen one would live on in those made with it after its owner revoked it.
        if isinstance(request.auth, PersonalToken):
            raise PermissionDenied(
                "A token makes no further tokens: make it on the settings page (/account/) or with "
                "manage.py create_token."
            )
        user, name = person(request), body(TokenRequestSerializer, request)["name"]
        try:
            made, secret = personal_tokens.create(user, name, now=database_now(), actor=user)
        except personal_tokens.TokenRefused as error:
            raise ValidationError({"name": [str(error)]}) from error
        return made_with_secret(TokenSerializer(made).data | {"token": secret})


class TokenView(GenericAPIView[PersonalToken]):
    """One of the caller's own tokens: a DELETE revokes it."""

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
    """What people did, the last first; for operators."""

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
