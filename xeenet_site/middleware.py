"""What holds for every answer: a request id, a log line, the figures, the security headers."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.functional import LazyObject

from workers.models import Worker
from workers.protocol import ErrorCode
from xeenet_site import logs, metrics
from xeenet_site.web.client_address import client_address

REQUEST_ID_HEADER: Final = "X-Request-ID"
# What a proxy in front may have chosen; anything else is replaced, so that no line is forged.
_GOOD_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST_LEASES_NAMED: Final = 64
# Asked every few seconds by machines, and of no interest when well.
_QUIET_ROUTES: Final = frozenset({"healthz", "readyz", "metrics"})

GetResponse = Callable[[HttpRequest], HttpResponseBase]
log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(logs.REQUESTS)


class RequestMiddleware:
    """Give each request an id, count it, time it, and write one line about it.

    Outermost, so that also what other middleware answers is seen. Query strings and bodies stay
    out of the line: they may hold what nobody but the sender should know.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _GOOD_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        # Threads are used again: what the last request left must not stand in our lines.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        response.headers[REQUEST_ID_HEADER] = request_id
        metrics.count_request(request, response.status_code, seconds)
        _write_line(request, response, seconds)
        return response


def _write_line(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    status = response.status_code
    fields: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "status": status,
        "seconds": round(seconds, 4),
        "address": client_address(request),
        **_caller(request),
    }
    if leases := _leases(request, response):
        fields["leases"] = leases
    match = request.resolver_match
    quiet = status < 400 and match is not None and match.url_name in _QUIET_ROUTES
    write = log.error if status >= 500 else log.debug if quiet else log.info
    write("request", **fields)


def _caller(request: HttpRequest) -> dict[str, str]:
    """Return who called, as far as the view has asked; looking it up here would cost a query."""
    auth = getattr(request, "auth", None)
    if isinstance(auth, Worker):
        return {"worker": auth.name}
    user: Any = getattr(request, "_cached_user", None) or request.__dict__.get("user")
    if user is None or isinstance(user, LazyObject) or not user.is_authenticated:
        return {}
    return {"user": user.get_username()}


def _leases(request: HttpRequest, response: HttpResponseBase) -> list[str]:
    """Return the ids of the leases that the request was about: in its path, or in the answer."""
    match = request.resolver_match
    if match is not None and "lease_id" in match.kwargs:
        return [str(match.kwargs["lease_id"])]
    data = getattr(response, "data", None)
    listed = data.get("leases") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        return []
    named = [one for one in listed if isinstance(one, dict) and "lease_id" in one]
    return [str(one["lease_id"]) for one in named[:_MOST_LEASES_NAMED]]


class LengthRequiredMiddleware:
    """Refuse a body that comes in chunks: without its length Django takes it for an empty one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        in_chunks = "Transfer-Encoding" in request.headers
        if in_chunks and not request.META.get("CONTENT_LENGTH"):
            message = "Send the body whole, with a Content-Length; chunks are not read here."
            return JsonResponse({"code": ErrorCode.INVALID, "message": message}, status=411)
        return self.get_response(request)


class SecurityHeadersMiddleware:
    """Set the Content-Security-Policy and its companions on every answer, static files included.

    The policy is settings.SECURE_CSP, written as Django 6.0 wants it: with Django 6 its own
    middleware takes over. `SECURE_CSP_BY_PATH` names the paths that need another one.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.policy = csp_text(settings.SECURE_CSP)
        by_path = settings.SECURE_CSP_BY_PATH.items()
        self.by_path = [(re.compile(path), csp_text(policy)) for path, policy in by_path]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        policy = next(
            (text for path, text in self.by_path if path.match(request.path)),
            self.policy,
        )
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response


def csp_text(directives: dict[str, list[str]]) -> str:
    """Return a policy as its header's value."""
    return "; ".join(" ".join([name, *sources]) for name, sources in directives.items())
