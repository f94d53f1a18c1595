"""Answers to errors that no view has caught: a clear message instead of a bare 500.

Django also calls these for errors outside views, in middleware and templates. Below /api/ the
answer is JSON in the API's error format, elsewhere a page that needs no database.
"""

from __future__ import annotations

import sys
from typing import Final

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views import defaults

from campaigns.api.errors import exception_handler

_TITLES: Final = {
    400: "A value does not fit",
    409: "Somebody else was quicker",
    413: "That is too much at once",
    503: "The database cannot do this now",
}


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error that reached Django: database errors as the API does, all others with 500."""
    error = sys.exc_info()[1]
    if isinstance(error, DatabaseError | InterfaceError):
        answer = exception_handler(error, {})
        if answer is not None:
            headers = {"Retry-After": answer["Retry-After"]} if "Retry-After" in answer else {}
            return _answer(request, answer.data, answer.status_code, headers)
    if _wants_json(request):
        body = {"code": "server_error", "message": "The server made a mistake; its log says which."}
        return JsonResponse(body, status=500)
    return defaults.server_error(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refuses to read; a form that is too large gets 413."""
    if isinstance(exception, RequestDataTooBig):
        message = "What you sent is larger than this server reads; send less at once."
        return _answer(request, {"code": "payload_too_large", "message": message}, 413, {})
    return defaults.bad_request(request, exception)


def _answer(
    request: HttpRequest, body: dict[str, str], status: int, headers: dict[str, str]
) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse(body, status=status, headers=headers)
    context = {"title": _TITLES[status], "message": body["message"]}
    page = render_to_string("error.html", context)
    return HttpResponse(page, status=status, headers=headers)


def _wants_json(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
