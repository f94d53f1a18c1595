"""The base of the calls that agents make most: authentication is in the statement.

A worker's usual call is one statement of `campaigns.lifecycle.statements`, which looks the token up
itself. Whatever it does not take goes the way of all other views, and with it every refusal: the
caller is authenticated and counted, then the verb decides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar

from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from campaigns.api import throttling
from campaigns.api.bases import APIView
from workers.api.plain_bodies import validated
from workers.authentication import worker_token_hash
from workers.models import Worker


class Taken(Protocol):
    """What a statement returns that took a call."""

    @property
    def worker(self) -> Worker: ...


T = TypeVar("T", bound=Taken)


class LeanView(APIView):
    """A view with one handler, which begins with `take`."""

    # The shape of the body.
    shape: ClassVar[type[serializers.Serializer[Any]]]

    # Of the worker that the call names, until it is authenticated in the ordinary way.
    _token_hash: str | None = None
    _is_counted = False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self._token_hash = self._usual_caller(request)
        if self._token_hash is None:
            super().initial(request, *args, **kwargs)
            return
        negotiated = self.perform_content_negotiation(request)
        request.accepted_renderer, request.accepted_media_type = negotiated
        # Before the database: a program that runs wild costs it nothing.
        wait = throttling.wait_of_known(request, throttling.of_worker(self._token_hash))
        self._is_counted = wait is not None
        if wait:
            self.throttled(request, wait)

    def _usual_caller(self, request: Request) -> str | None:
        """Return the hash of the worker's token, if a statement may take this call."""
        if request.META.get("QUERY_STRING") or not hasattr(self, str(request.method).lower()):
            return None
        return worker_token_hash(request)

    def take(self, statement: Callable[[str, Any], T | None]) -> T | None:
        """Return what the statement made of the body; None when the ordinary way has to go on.

        The caller is authenticated and counted in either case. Raises what the ordinary way raises
        for the caller, then for the body.
        """
        if self._token_hash is None:
            return None
        try:
            data = self.body
        except APIException:
            self._authenticate()
            raise
        taken = statement(self._token_hash, data)
        if taken is None:
            self._authenticate()
            return None
        # For the log line.
        self.request.auth = taken.worker
        if not self._is_counted:
            throttling.count_first(self.request, throttling.of_worker(self._token_hash))
        return taken

    @cached_property
    def body(self) -> Any:
        """The checked body. Raises ParseError and ValidationError."""
        return validated(self.shape, self.request.data)

    def _authenticate(self) -> None:
        super().initial(self.request, *self.args, **self.kwargs)

    def check_throttles(self, request: Request) -> None:
        if not self._is_counted:
            super().check_throttles(request)
