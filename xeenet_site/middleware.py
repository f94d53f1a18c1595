"""Middleware for every response: request id, log line, request metrics, security headers."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.middleware.gzip import GZipMiddleware
from django.utils.functional import LazyObject

from workers.models import Worker
from workers.protocol import ErrorCode
from xeenet_site import logs, metrics
from xeenet_site.security import csp_text
from xeenet_site.web.client_address import client_address

REQUEST_ID_HEADER: Final = "X-Request-ID"
# Accept an id set by a proxy in front if it looks like this; replace any other, so that nobody
# can forge log lines through the header.
_GOOD_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST_LEASES_NAMED: Final = 64
# Machines request these every few seconds; log them at debug level unless they fail.
_QUIET_ROUTES: Final = frozenset({"healthz", "readyz", "metrics"})

GetResponse = Callable[[HttpRequest], HttpResponseBase]
log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(logs.REQUESTS)


class RequestMiddleware:
    """Give each request an id, count it, time it, and log one line about it.

    It is the outermost middleware, so it also sees what other middleware answers. The log line
    leaves out query strings and bodies: they may contain secrets.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _GOOD_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        # Threads are reused: clear what the previous request has bound for its log lines.
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
    """Return the caller if the view has loaded it already; loading it here would cost a query."""
    auth = getattr(request, "auth", None)
    if isinstance(auth, Worker):
        return {"worker": auth.name}
    user: Any = getattr(request, "_cached_user", None) or request.__dict__.get("user")
    if user is None or isinstance(user, LazyObject) or not user.is_authenticated:
        return {}
    return {"user": user.get_username()}


def _leases(request: HttpRequest, response: HttpResponseBase) -> list[str]:
    """Return the ids of the leases that the request is about, from its path or its response."""
    match = request.resolver_match
    if match is not None and "lease_id" in match.kwargs:
        return [str(match.kwargs["lease_id"])]
    data = getattr(response, "data", None)
    listed = data.get("leases", data.get("results")) if isinstance(data, dict) else None
    if not isinstance(listed, list):
        return []
    leases = [lease for lease in listed if isinstance(lease, dict) and "lease_id" in lease]
    return [str(lease["lease_id"]) for lease in leases[:_MOST_LEASES_NAMED]]


class CompressPagesMiddleware(GZipMiddleware):
    """Compress pages and their fragments for browsers that accept it, and nothing else.

    Agents and programs get the API's answers and files as they are. Against attacks that guess a
    secret from compressed sizes (BREACH), Django masks CSRF tokens anew in each response and varies
    its length. Other secrets are drawn anew in the answer to a POST and appear in no other. Cookies
    are SameSite=Lax, so another site cannot let a browser load pages as someone, unseen.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)


class LengthRequiredMiddleware:
    """Refuse a chunked body with 411: without a Content-Length, Django would read it as empty."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        in_chunks = "Transfer-Encoding" in request.headers
        if in_chunks and not request.META.get("CONTENT_LENGTH"):
            message = "Send the body whole, with a Content-Length; chunks are not read here."
            return JsonResponse({"code": ErrorCode.INVALID, "message": message}, status=411)
        return self.get_response(request)


class SecurityHeadersMiddleware:
    """Set Content-Security-Policy and related headers on every response, static files included.

    The policy is settings.SECURE_CSP, in the format of Django 6.0, whose own middleware can then
    replace this one. `SECURE_CSP_BY_PATH` has the policies of paths that need a different one.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.policy = csp_text(settings.SECURE_CSP)
        by_path = settings.SECURE_CSP_BY_PATH.items()
        self.by_path = [(re.compile(path), csp_text(policy)) for path, policy in by_path]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        policy = next(
            (text for path, text in self.by_path if path.match(request.path_info)),
            self.policy,
        )
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response
