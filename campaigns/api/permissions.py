"""Who may do what over the API."""

from __future__ import annotations

from django.conf import settings
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from workers.models import Worker


class IsWorker(BasePermission):
    """Only a worker with its token."""

    message = "Only a worker with its token may do this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Worker)


class IsSignedInOrMayRead(BasePermission):
    """People who are signed in; for reading also others, where XEENET_ANONYMOUS_READ allows it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.user.is_authenticated:
            return True
        # With a header that named nobody here: better a 401 than the answer for strangers.
        anonymous = "Authorization" not in request.headers
        return request.method in SAFE_METHODS and anonymous and settings.XEENET["ANONYMOUS_READ"]


class IsSignedInOrWorker(BasePermission):
    """Anybody this server knows: people and workers."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_authenticated or isinstance(request.auth, Worker)
