"""What a request says, in a serializer's shape; and the answer with what it made."""

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
    """Return what was sent, of a partial body only the fields that are in it.

    Raises ValidationError.
    """
    serializer = serializer_class(data=request.data, partial=partial)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def query(serializer_class: type[BaseSerializer[Any]], request: Request) -> Any:
    """Return what the address asks for. Raises ValidationError."""
    serializer = serializer_class(data=request.query_params)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def person(request: Request) -> User:
    """Return who calls; the view's permissions have seen to it that it is a person."""
    return cast(User, request.user)


def made(data: Any, *, at: str) -> Response:
    """Answer 201 with what was made, and where it is."""
    return Response(data, status=status.HTTP_201_CREATED, headers={"Location": at})


def made_with_secret(data: Any) -> Response:
    """Answer 201 with a secret that is shown this once: no cache on the way may keep it."""
    return Response(data, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})
