"""Middleware that says in headers how long an answer took inside Django, with how many queries."""

import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponseBase

SERVER_MS_HEADER = "X-Bench-Server-Ms"
QUERIES_HEADER = "X-Bench-Queries"


def stopwatch(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Wrap a request; the counting costs one function call per query."""

    def measured(request: HttpRequest) -> HttpResponseBase:
        queries = 0

        def count(execute: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal queries
            queries += 1
            return execute(*arguments)

        began = time.perf_counter()
        with connection.execute_wrapper(count):
            response = get_response(request)
        response[SERVER_MS_HEADER] = f"{1000 * (time.perf_counter() - began):.3f}"
        response[QUERIES_HEADER] = str(queries)
        return response

    return measured
