"""Bearer-token authentication: shared parsing of the header, and the tokens of workers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from workers.models import Worker, WorkerState
from workers.tokens import FLEET_PREFIX, PERSONAL_PREFIX, WORKER_PREFIX, hash_token


class NoTokenArrived(AuthenticationFailed):
    """The Authorization header carries no token: a proxy may have put something else there."""


class BearerAuthentication(BaseAuthentication):
    """Reads ``Authorization: Bearer <token>``; a subclass accepts the tokens with its `prefix`."""

    prefix: ClassVar[str]

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return (user, auth); None without a header, or for a token of another subclass.

        Raises AuthenticationFailed for a malformed header and for an unknown token.
        """
        header = get_authorization_header(request).split()
        if not header:
            return None
        if len(header) != 2 or header[0].lower() != b"bearer":
            raise NoTokenArrived("The Authorization header must read: Bearer <token>.")
        token = header[1].decode("latin-1")
        if token.startswith(self.prefix):
            return self.look_up(hash_token(token))
        if token.startswith((WORKER_PREFIX, PERSONAL_PREFIX, FLEET_PREFIX)):
            return None
        raise AuthenticationFailed("This is not a token of this server.")

    def look_up(self, token_hash: str) -> tuple[Any, Any]:
        """Return (user, auth) for the token with this hash. Raises AuthenticationFailed."""
        raise NotImplementedError

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def worker_token_hash(request: Request | HttpRequest) -> str | None:
    """Return the hash of the worker token in the Authorization header; None without one."""
    kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind == "Bearer" and token.startswith(WORKER_PREFIX) and token.isascii():
        # Other spaces in it are for `BearerAuthentication` to judge.
        return None if len(token.split()) > 1 else hash_token(token)
    return None


class WorkerTokenAuthentication(BearerAuthentication):
    """A worker's token: the request's `auth` is the Worker, its user stays anonymous."""

    prefix = WORKER_PREFIX

    def look_up(self, token_hash: str) -> tuple[AnonymousUser, Worker]:
        worker = Worker.objects.filter(token_hash=token_hash).first()
        if worker is None:
            raise AuthenticationFailed(
                "This worker token is unknown; it may have been replaced. Enrol the worker again."
            )
        if worker.state == WorkerState.DISABLED:
            raise PermissionDenied(
                f"The worker {worker} is disabled. Ask the operator of this server to resume it."
            )
        return AnonymousUser(), worker
