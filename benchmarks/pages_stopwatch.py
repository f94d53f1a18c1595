"""Middleware that reports the cost of a response in headers: time, CPU time and queries.

CPU time is that of Django's own thread. It excludes PostgreSQL, and the waiting for a core on a
busy machine.
"""

import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponseBase

SERVER_MS_HEADER = "X-Bench-Server-Ms"
CPU_MS_HEADER = "X-Bench-Cpu-Ms"
QUERIES_HEADER = "X-Bench-Queries"


def stopwatch(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Measure each request. Counting costs one function call per query."""

    def measured(request: HttpRequest) -> HttpResponseBase:
        queries = 0

        def count(execute: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal queries
            queries += 1
            return execute(*arguments)

        began, worked = time.perf_counter(), time.thread_time()
        with connection.execute_wrapper(count):
            response = get_response(request)
        response[SERVER_MS_HEADER] = f"{1000 * (time.perf_counter() - began):.3f}"
        response[CPU_MS_HEADER] = f"{1000 * (time.thread_time() - worked):.3f}"
        response[QUERIES_HEADER] = str(queries)
        return response

    return measured
