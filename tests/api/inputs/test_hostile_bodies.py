"""Hostile bodies for every endpoint with a body: refused, never a 5xx, nothing stored."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from drf_spectacular.generators import SchemaGenerator

from campaigns.models import (
    Attempt,
    Campaign,
    Note,
    Package,
    PersonalToken,
    ProgressPoint,
    Race,
    Result,
    Task,
    Webhook,
)
from tests.api.inputs.endpoints import ENDPOINTS, Endpoint, heartbeat
from tests.hostile import HOSTILE_BODIES
from workers.models import Calibration, EnrolmentToken, Worker

pytestmark = pytest.mark.django_db
STORED: tuple[type[Model], ...] = (
    Attempt,
    Calibration,
    Campaign,
    EnrolmentToken,
    Note,
    Package,
    PersonalToken,
    ProgressPoint,
    Race,
    Result,
    Task,
    Webhook,
    Worker,
)
# Every authenticated request updates these fields, also when its body is refused.
PRESENCE_FIELDS = {"last_seen_at", "last_used_at"}
# Each of these replaces each value of a valid body.
HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    "1.5",
    -1.5,
    1e308,
    2**63 - 1,
    [None],
    {"": None},
    "x" * 20_000,
    "\u202e<script>{{ 1 }}{% x %}'; DROP TABLE--\x1b[31m",
)

# Content types that a careless client sends, each with a body of its type.
WRONG_TYPES: dict[str, bytes] = {
    "text/plain": b'{"name": "n"}',
    "application/x-www-form-urlencoded": b"name=n",
    "multipart/form-data; boundary=b": b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\nn',
    "application/xml": b"<n/>",
    "application/json; charset=utf-16": '{"name": "n"}'.encode("utf-16"),
}
MAX_CPU_SECONDS = 0.1


def stored() -> list[Any]:
    """Every row that a body could create or change."""
    rows: list[Any] = []
    for model in STORED:
        fields = [f.name for f in model._meta.fields if f.name not in PRESENCE_FIELDS]
        rows.append(list(model._default_manager.order_by("pk").values(*fields)))
    return rows


@pytest.fixture(autouse=True)
def _without_a_log_and_a_limit(settings: Any) -> Iterator[None]:
    """Do not log: a line for each of thousands of refusals costs as much as the refusals."""
    settings.XEENET = {**settings.XEENET, "CALIBRATIONS_PER_MINUTE": 0}
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_operation_that_takes_a_body_is_among_the_endpoints() -> None:
    document = SchemaGenerator().get_schema(request=None, public=True)
    taken = {
        (method, _without_numbers(path))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }

    tested = set()
    for endpoint in ENDPOINTS:
        _, method, url, _ = endpoint()
        tested.add((method, _without_numbers(url)))
    assert tested == taken


def _without_numbers(path: str) -> str:
    return re.sub(r"/({\w+}|[0-9a-f-]{36,64}|\d+)(?=/|$)", "/*", path)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_hostile_body_is_refused_and_nothing_is_stored(endpoint: Endpoint) -> None:
    client, method, url, _ = endpoint()
    before = stored()

    for name, (body, _) in HOSTILE_BODIES.items():
        answer = client.generic(method.upper(), url, body, content_type="application/json")

        assert answer.status_code in {400, 413}, name
        assert answer.json()["code"] in {"invalid", "payload_too_large"}, name
    for content_type, body in WRONG_TYPES.items():
        answer = client.generic(method.upper(), url, body, content_type=content_type)

        assert answer.status_code in {400, 415}, content_type
    assert stored() == before


def test_no_hostile_body_costs_much_of_the_processor() -> None:
    client, method, url, _ = heartbeat()
    for name, (body, _) in HOSTILE_BODIES.items():
        # The fastest of three, because on a loaded machine even CPU time grows.
        spent = []
        for _ in range(3):
            started_at = time.thread_time()
            client.generic(method.upper(), url, body, content_type="application/json")
            spent.append(time.thread_time() - started_at)
        assert min(spent) < MAX_CPU_SECONDS, f"{name}: {spent}"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_value_anywhere_in_a_good_body_makes_the_server_fail(endpoint: Endpoint) -> None:
    client, method, url, good = endpoint()

    for path in paths(good):
        for value in HOSTILE_VALUES:
            body = json.loads(json.dumps(good))
            replace(body, path, value)
            # Roll back each time, so that an accepted body does not change the next answer.
            savepoint = transaction.savepoint()
            answer = getattr(client, method)(url, body)
            transaction.savepoint_rollback(savepoint)

            changed = f"{'.'.join(map(str, path))} = {str(value)[:30]!r}"
            assert answer.status_code < 500, changed
            if answer.status_code >= 400:
                assert answer.json()["message"], changed


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a body, at every depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    all_paths = []
    for key, inner in items:
        all_paths.append((*above, key))
        if isinstance(inner, dict | list):
            all_paths.extend(paths(inner, (*above, key)))
    return all_paths


def replace(body: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        body = body[key]
    body[path[-1]] = value
