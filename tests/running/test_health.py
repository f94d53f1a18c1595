"""Liveness and readiness checks, with and without a working database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client


def failing(*_: Any) -> Any:
    raise OperationalError('connection to server at "10.0.0.5", user "xeenet" failed')


@pytest.fixture
def database_away(db: None) -> Iterator[None]:
    with connection.execute_wrapper(failing):
        yield


def test_a_process_that_answers_is_alive_without_asking_the_database() -> None:
    # Without the django_db marker, pytest-django raises when a test uses the database.
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_a_server_with_its_tables_is_ready() -> None:
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["migrations"]) == (200, "ok")


def test_a_server_without_its_database_is_not_ready_and_says_no_more(
    database_away: None,
) -> None:
    answer = Client().get("/readyz")
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert answer.json()["database"] == "does not answer"
    assert "10.0.0.5" not in answer.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.once
def test_a_server_whose_tables_are_out_of_date_is_not_ready() -> None:
    call_command("migrate", "xeenet_site", "zero", verbosity=0)
    try:
        answer = Client().get("/readyz")
    finally:
        call_command("migrate", "xeenet_site", verbosity=0)
    assert answer.status_code == 503
    assert answer.json()["migrations"] == "1 missing: run manage.py migrate"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_only_reads(path: str) -> None:
    assert Client().post(path).status_code == 405
