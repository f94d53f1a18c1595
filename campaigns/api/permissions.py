"""Permissions of the API's views."""

from __future__ import annotations

from django.conf import settings
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from workers.fleet_token import FleetToken
from workers.models import Worker


class IsWorker(BasePermission):
    """Allow workers with their token, and nobody else."""

    message = "Only a worker with its token may do this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Worker)


class IsFleet(BasePermission):
    """Allow who has a fleet's token, and nobody else."""

    message = "Only a fleet's token (xf_…) opens this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, FleetToken)


class IsSignedInOrMayRead(BasePermission):
    """Allow people who are signed in; reading also everybody, if XEENET_ANONYMOUS_READ is set."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.user.is_authenticated:
            return True
        return request.method in SAFE_METHODS and _is_anonymous_reader(request)


class MayRead(BasePermission):
    """Allow who may read, with every method: for a view whose POST changes nothing."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_authenticated or _is_anonymous_reader(request)


def _is_anonymous_reader(request: Request) -> bool:
    # A request with credentials that match no account gets a 401, not the anonymous answer.
    is_anonymous = "Authorization" not in request.headers
    return is_anonymous and settings.XEENET["ANONYMOUS_READ"]


class IsSignedInOrWorker(BasePermission):
    """Allow people who are signed in, and workers with their token."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_authenticated or isinstance(request.auth, Worker)
