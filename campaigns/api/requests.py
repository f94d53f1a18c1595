"""Helpers of the views: validated bodies and queries, the caller, answers with 201."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer


def body(
    serializer_class: type[BaseSerializer[Any]], request: Request, *, partial: bool = False
) -> Any:
    """Return the validated body. A `partial` body has only the fields that were sent.

    Raises ValidationError.
    """
    serializer = serializer_class(data=request.data, partial=partial)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def query(serializer_class: type[BaseSerializer[Any]], request: Request) -> Any:
    """Return the validated query of the address. Raises ValidationError."""
    serializer = serializer_class(data=request.query_params)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def person(request: Request) -> User:
    """Return the caller of a view whose permissions let only people in."""
    return cast(User, request.user)


def made(data: Any, *, at: str) -> Response:
    """Answer 201 with the new object, and its address `at` in the Location header."""
    return Response(data, status=status.HTTP_201_CREATED, headers={"Location": at})


def made_with_secret(data: Any) -> Response:
    """Answer 201 with a secret that is shown only once, so no cache on the way may store it."""
    return Response(data, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})
