"""The table: what each caller is answered, measured, written, read and compared."""

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
# Nobody, where XEENET_ANONYMOUS_READ is off.
CLOSED: Final = "nobody, closed"
COLUMNS: Final = (CLOSED, *ROLES)
# Behind the door: the answer may still refuse the body (400) or the state (409).
IN: Final = "in"
LOGIN: Final = "login"
NO_SUCH_METHOD: Final = "405"
_REFUSALS: Final = {401, 403, 404, 405}

Row = dict[str, str]
Table = dict[tuple[str, str], Row]


def measure(area: str, world: World) -> Table:
    """Ask every route of the area as everybody. What one caller changes is undone for the next."""
    found: Table = {}
    with _silence():
        for route in routes(area):
            for method in route.methods:
                row = _row(route, method, world)
                # That nobody may send this method is no news; that somebody may gives it a row.
                if set(row.values()) != {NO_SUCH_METHOD}:
                    found[method, route.path] = row
    return found


def differences(expected: Table, found: Table) -> list[str]:
    """Return a sentence for each cell, row or route that is not as the table says."""
    told = [f"no row for {' '.join(key)}: {found[key]}" for key in found if key not in expected]
    told += [f"a row without a route: {' '.join(key)}" for key in expected if key not in found]
    for key in expected.keys() & found.keys():
        for column in COLUMNS:
            table, server = expected[key][column], found[key][column]
            if table != server:
                told.append(
                    f"{' '.join(key)} as {column}: the table says {table}, the server {server}"
                )
    return sorted(told)


def read() -> dict[str, Table]:
    """Return the checked-in table, by area."""
    tables: dict[str, Table] = {}
    with PATH.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            key = line.pop("method"), line.pop("route")
            tables.setdefault(line.pop("area"), {})[key] = line
    return tables


def write(tables: dict[str, Table]) -> None:
    """Replace the checked-in table."""
    with PATH.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["area", "method", "route", *COLUMNS])
        for area, table in tables.items():
            for (method, path), row in table.items():
                writer.writerow([area, method, path, *(row[column] for column in COLUMNS)])


def ask(client: Any, method: str, path: str, world: World) -> str:
    """Return what this client is answered: "in", "login" or the status that refuses it."""
    sent: dict[str, Any] = {"data": world.body(path)} if method != "GET" else {}
    if path.startswith(API) and not isinstance(client, APIClient) and method != "GET":
        sent["content_type"] = "application/json"  # a page's script, which sends no form
    cookies = dict(client.cookies)
    with transaction.atomic():
        answer = getattr(client, method.lower())(world.address(path), **sent)
        if answer.streaming:
            list(answer.streaming_content)  # read to its end, the file is closed
        transaction.set_rollback(True)
    # Who signed out is back in the database, so also in the browser.
    client.cookies.clear()
    client.cookies.update(cookies)
    # To a GET 409 says "not you, now"; a POST gets it for the state that it met.
    if answer.status_code in _REFUSALS or (method, answer.status_code) == ("GET", 409):
        return str(answer.status_code)
    assert answer.status_code < 500, f"{method} {path}: {answer.status_code}"
    redirected = answer.headers.get("Location", "")
    return LOGIN if redirected.startswith(("/login/", "/admin/login/")) else IN


def _row(route: Route, method: str, world: World) -> Row:
    clients = world.over_the_api if route.area == "api" else world.in_the_browser
    for cache in caches.all(initialized_only=True):
        cache.clear()  # a route's callers must not be throttled for those of another
    with override_settings(XEENET=settings.XEENET | {"ANONYMOUS_READ": False}):
        row = {CLOSED: ask(clients["nobody"], method, route.path, world)}
    for role in ROLES:
        row[role] = ask(clients[role], method, route.path, world)
    return row


@contextmanager
def _silence() -> Iterator[None]:
    """Leave out the log: each of some thousand refusals would write a line, or a traceback."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
