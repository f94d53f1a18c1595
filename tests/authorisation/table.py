"""The table of answers by route and caller: measuring, reading, writing and comparing it."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.cache import caches
from django.db import transaction
from django.test import override_settings
from rest_framework.test import APIClient

from tests.authorisation.routes import API, Route, routes
from tests.authorisation.world import ROLES, World

PATH: Final = Path(__file__).with_name("table.csv")
# The column for anonymous callers with XEENET_ANONYMOUS_READ off.
CLOSED: Final = "nobody, closed"
COLUMNS: Final = (CLOSED, *ROLES)
# Access granted. The answer may still refuse the body (400) or the state (409).
IN: Final = "in"
LOGIN: Final = "login"
NO_SUCH_METHOD: Final = "405"
_REFUSALS: Final = {401, 403, 404, 405}

Row = dict[str, str]
Table = dict[tuple[str, str], Row]


def measure(area: str, world: World) -> Table:
    """Request every route of the area as every caller; undo each caller's changes for the next."""
    table: Table = {}
    with _silence():
        for route in routes(area):
            for method in route.methods:
                row = _row(route, method, world)
                # Leave out methods that the route refuses to everybody.
                if set(row.values()) != {NO_SUCH_METHOD}:
                    table[method, route.path] = row
    return table


def differences(expected: Table, measured: Table) -> list[str]:
    """Return a sentence for each missing row, superfluous row and differing cell."""
    missing = measured.keys() - expected.keys()
    lines = [f"no row for {' '.join(key)}: {measured[key]}" for key in missing]
    superfluous = expected.keys() - measured.keys()
    lines += [f"a row without a route: {' '.join(key)}" for key in superfluous]
    for key in expected.keys() & measured.keys():
        for column in COLUMNS:
            table, server = expected[key][column], measured[key][column]
            if table != server:
                lines.append(
                    f"{' '.join(key)} as {column}: the table says {table}, the server {server}"
                )
    return sorted(lines)


def read() -> dict[str, Table]:
    """Return the stored tables by area."""
    tables: dict[str, Table] = {}
    with PATH.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            key = line.pop("method"), line.pop("route")
            tables.setdefault(line.pop("area"), {})[key] = line
    return tables


def write(tables: dict[str, Table]) -> None:
    """Replace the stored tables."""
    with PATH.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["area", "method", "route", *COLUMNS])
        for area, table in tables.items():
            for (method, path), row in table.items():
                writer.writerow([area, method, path, *(row[column] for column in COLUMNS)])


def ask(client: Any, method: str, path: str, world: World) -> str:
    """Send one request and undo its changes; return "in", "login" or the refusing status."""
    sent: dict[str, Any] = {"data": world.body(path)} if method != "GET" else {}
    if path.startswith(API) and not isinstance(client, APIClient) and method != "GET":
        sent["content_type"] = "application/json"  # as a page's script would send it
    cookies = dict(client.cookies)
    with transaction.atomic():
        answer = getattr(client, method.lower())(world.address(path), **sent)
        if answer.streaming:
            list(answer.streaming_content)  # reading it to its end closes the file
        transaction.set_rollback(True)
    # A sign-out was rolled back in the database; restore the browser's cookies as well.
    client.cookies.clear()
    client.cookies.update(cookies)
    # For a GET, 409 means that this caller may not have it now; for a POST, that the state forbids
    # the change.
    if answer.status_code in _REFUSALS or (method, answer.status_code) == ("GET", 409):
        return str(answer.status_code)
    assert answer.status_code < 500, f"{method} {path}: {answer.status_code}"
    redirected = answer.headers.get("Location", "")
    return LOGIN if redirected.startswith(("/login/", "/admin/login/")) else IN


def _row(route: Route, method: str, world: World) -> Row:
    clients = world.over_the_api if route.area == "api" else world.in_the_browser
    for cache in caches.all(initialized_only=True):
        cache.clear()  # requests to earlier routes must not throttle those to this one
    with override_settings(XEENET=settings.XEENET | {"ANONYMOUS_READ": False}):
        row = {CLOSED: ask(clients["nobody"], method, route.path, world)}
    for role in ROLES:
        row[role] = ask(clients[role], method, route.path, world)
    return row


@contextmanager
def _silence() -> Iterator[None]:
    """Switch off logging: thousands of refusals would each write a line or a traceback."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
