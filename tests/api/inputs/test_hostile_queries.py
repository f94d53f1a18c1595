"""Hostile values for every query parameter of the API: never a 5xx."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.db import transaction
from drf_spectacular.generators import SchemaGenerator

from tests import factories
from tests.clients import researcher_client
from workers.protocol import API_PREFIX
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _without_a_log() -> Iterator[None]:
    """Do not log: a line for each of hundreds of refusals costs as much as the refusals."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# Each is sent as the value of every query parameter of the API.
HOSTILE_QUERIES: tuple[str, ...] = (
    "\0",
    "1e999999999",
    "9" * 5_000,
    "é\u202e'; DROP TABLE--",
    "0001-01-01T00:00:00+23:59",
)
HOSTILE_CURSORS: tuple[str, ...] = (
    "é",
    "cD14",  # its position is "x"
    "cD0lMDA=",  # … a NUL
    "bz05OTk5OTk5OTk5OTk5OTk5OTk5OTk5",  # … an offset of 22 digits
)


def test_no_query_of_the_api_makes_the_server_fail() -> None:
    client, owner = researcher_client(factories.user(role=roles.OPERATOR))
    task = factories.completed_task(3.0, owner=owner)
    race = factories.decided_race()
    numbers = {"campaigns": race.campaign_id, "tasks": task.pk, "workers": 1, "webhooks": 1}
    document = SchemaGenerator().get_schema(request=None, public=True)
    requests = 0
    for template, operations in document["paths"].items():
        names = [
            parameter["name"]
            for parameter in operations.get("get", {}).get("parameters", [])
            if parameter["in"] == "query"
        ]
        word = template.removeprefix(f"{API_PREFIX}").split("/")[0]
        path = template.replace("{id}", str(numbers.get(word, 1))).replace("{key}", "slice")
        for name in names:
            for value in HOSTILE_CURSORS if name == "cursor" else HOSTILE_QUERIES:
                # Roll back each time: after a database error every further query would fail.
                savepoint = transaction.savepoint()
                answer = client.get(path, {name: value})
                transaction.savepoint_rollback(savepoint)
                requests += 1
                assert answer.status_code < 500, f"{path}?{name}={value[:40]!r}"

    assert requests > 300
