"""The way of the calls that agents make most, past the middleware that only pages need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import ResolverMatch, URLResolver, include, path
from django.urls.exceptions import Resolver404
from django.urls.resolvers import RegexPattern

from campaigns.api.urls import AGENT_CALLS
from workers.authentication import worker_token_hash
from workers.protocol import API_PREFIX

GetResponse = Callable[[HttpRequest], HttpResponseBase]
# Below the same prefixes as in the URL table, so that a match names the same route.
_CALLS: Final = URLResolver(
    RegexPattern(r"^/"), [path(API_PREFIX.lstrip("/"), include(AGENT_CALLS))]
)


class ShortWayMiddleware:
    """Answers calls of workers with their token itself; all others go on through the middleware.

    It stands before the middleware of pages and files. Of what that does, a worker's call needs the
    check of the Host header and two headers of the answer. It has neither session nor messages, and
    another site cannot make a browser send its token, so it needs no CSRF check. A call with any
    cookie goes the long way.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._answer = cast(GetResponse, convert_exception_to_response(_answer))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match = _match(request)
        if match is None:
            return self.get_response(request)
        request.resolver_match = match
        response = self._answer(request)
        # XFrameOptionsMiddleware and CommonMiddleware set them.
        response.headers.setdefault("X-Frame-Options", settings.X_FRAME_OPTIONS)
        if isinstance(response, HttpResponse) and "Content-Length" not in response.headers:
            response.headers["Content-Length"] = str(len(response.content))
        return response


def _match(request: HttpRequest) -> ResolverMatch | None:
    """Return the view of a call that takes the short way, None for any other request."""
    if not request.path_info.startswith(API_PREFIX) or "HTTP_COOKIE" in request.META:
        return None
    if worker_token_hash(request) is None:
        return None
    try:
        match: ResolverMatch = _CALLS.resolve(request.path_info)
        request.get_host()
    except (Resolver404, DisallowedHost):
        return None
    return match


def _answer(request: HttpRequest) -> HttpResponseBase:
    """Do what Django's handler does with a view. Raises what the view raises."""
    match = cast(ResolverMatch, request.resolver_match)
    response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
    if hasattr(response, "render"):
        response = response.render()
    return response
