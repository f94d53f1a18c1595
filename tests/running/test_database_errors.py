"""Answers to database errors, by API and pages: a clear message and when to retry.

On PostgreSQL, the errors are real ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.test import Client
from rest_framework.test import APIClient

from campaigns.api.views import campaigns
from campaigns.exports import rows as export_rows
from campaigns.models import Campaign
from tests import factories
from tests.clients import agent_client
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from xeenet_site.databases import with_limits

HIDDEN = 'connection to server at "10.0.0.5", user "xeenet" failed'


def failing_with(error: Exception) -> Callable[..., Any]:
    def wrapper(*_: Any, **__: Any) -> Any:
        raise error

    return wrapper


@pytest.fixture
def client() -> Client:
    # Answer errors as a real server does; by default the test client raises them.
    return Client(raise_request_exception=False)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
@pytest.mark.parametrize("path", ["/", "/campaigns/", "/workers/", "/login/", "/admin/"])
def test_a_page_without_its_database_says_so_and_when_to_come_again(
    client: Client, path: str, kind: type[Exception]
) -> None:
    client.force_login(factories.user())
    with connection.execute_wrapper(failing_with(kind(HIDDEN))):
        answer = client.get(path)
    assert answer.status_code == 503
    assert 2 <= int(answer["Retry-After"]) <= 4
    assert "The database is not available; try again in a moment." in answer.text
    assert "10.0.0.5" not in answer.text


@pytest.mark.django_db
def test_a_database_that_fails_at_the_token_is_told_in_json() -> None:
    api, _ = agent_client()
    with connection.execute_wrapper(failing_with(OperationalError(HIDDEN))):
        answer = api.post("/api/v1/heartbeat", {"boot_id": "x", "leases": []})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert 2 <= int(answer.headers["Retry-After"]) <= 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (IntegrityError("duplicate key 10.0.0.5"), 409, "at the same moment"),
        (DataError("value out of range 10.0.0.5"), 400, "does not fit"),
    ],
)
def test_other_errors_of_the_database_are_the_requests_and_stand_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    words: str,
) -> None:
    monkeypatch.setattr(campaigns, "campaigns_with_best", failing_with(error))
    answer = APIClient().get("/api/v1/campaigns")
    assert answer.status_code == status
    assert words in answer.json()["message"]
    assert "10.0.0.5" not in answer.text
    assert str(error) in caplog.text
    with connection.execute_wrapper(failing_with(error)):
        page = client.get("/campaigns/")
    assert page.status_code == status
    assert words in page.text


@pytest.mark.django_db
def test_an_agent_that_lost_a_race_is_asked_to_try_again_and_keeps_its_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, _ = agent_client()
    monkeypatch.setattr(worker_lifecycle, "see", failing_with(IntegrityError("duplicate key")))
    assert api.get("/api/v1/workers/me").status_code == 503


@pytest.mark.django_db
def test_a_bug_stays_a_500_in_json_over_the_api_and_a_page_elsewhere(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr(campaigns, "campaigns_with_best", failing_with(KeyError("x")))
    answer = client.get("/api/v1/campaigns")
    assert (answer.status_code, answer.json()["code"]) == (500, "server_error")
    monkeypatch.setattr("campaigns.views.overview.page_or_fragment", failing_with(KeyError("x")))
    page = client.get("/")
    assert page.status_code == 500
    assert "The server made a mistake" in page.text


@pytest.mark.django_db
def test_a_form_beyond_the_limit_is_too_large(
    monkeypatch: pytest.MonkeyPatch, client: Client, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = client.post("/login/", {"username": "x" * 2000, "password": "x"})
    assert answer.status_code == 413
    assert "send less at once" in answer.text


# --- PostgreSQL's own -----------------------------------------------------------------------------


@pytest.fixture
def second_connection(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A second connection to the same database."""
    parameters = connection.get_connection_params()
    keep = ("dbname", "user", "password", "host", "port")
    with psycopg.connect(**{k: v for k, v in parameters.items() if k in keep}) as second:
        yield second
        second.rollback()


@pytest.fixture
def limited(transactional_db: None) -> Iterator[None]:
    """Limit statements, locks and idle transactions to 0.2 s on this connection."""
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    connection.close()
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SET {name} = '200ms'")
    yield
    connection.close()


def answer_with_query(monkeypatch: pytest.MonkeyPatch, do: Callable[[], Any]) -> Any:
    """Return the API's answer while its query is replaced by `do`."""
    monkeypatch.setattr(campaigns, "campaigns_with_best", do)
    return APIClient().get("/api/v1/campaigns")


def sql(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


@pytest.mark.postgresql_only
def test_a_statement_that_takes_too_long_is_stopped(
    monkeypatch: pytest.MonkeyPatch, limited: None
) -> None:
    answer = answer_with_query(monkeypatch, lambda: sql("SELECT pg_sleep(30)"))
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert "took the database too long" in answer.json()["message"]


@pytest.mark.postgresql_only
def test_a_lock_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, second_connection: psycopg.Connection[Any], limited: None
) -> None:
    campaign = factories.campaign()
    second_connection.execute("SELECT 1 FROM campaigns_campaign FOR UPDATE")
    sql("SET statement_timeout = 0")

    def change() -> None:
        Campaign.objects.filter(pk=campaign.pk).update(name="x")

    answer = answer_with_query(monkeypatch, change)
    assert answer.status_code == 503
    assert "Others are changing the same thing" in answer.json()["message"]
    second_connection.rollback()
    change()


@pytest.mark.postgresql_only
def test_a_deadlock_is_told_as_a_collision(
    monkeypatch: pytest.MonkeyPatch,
    second_connection: psycopg.Connection[Any],
    transactional_db: None,
) -> None:
    first, second = factories.worker(), factories.worker()
    second_connection.execute(
        "SET deadlock_timeout = '10s'"
    )  # so that PostgreSQL ends the server's transaction
    second_connection.execute("SELECT 1 FROM workers_worker WHERE id = %s FOR UPDATE", [second.pk])

    def lock_both() -> None:
        sql("SET deadlock_timeout = '50ms'")
        with transaction.atomic():
            Worker.objects.select_for_update().get(pk=first.pk)
            wait = threading.Thread(
                target=second_connection.execute,
                args=("SELECT 1 FROM workers_worker WHERE id = %s FOR UPDATE", [first.pk]),
            )
            wait.start()
            try:
                Worker.objects.select_for_update().get(pk=second.pk)
            finally:
                wait.join()  # the failed transaction has released its locks

    answer = answer_with_query(monkeypatch, lock_both)
    connection.close()
    assert answer.status_code == 503
    assert "Others are changing the same thing" in answer.json()["message"]


@pytest.mark.postgresql_only
def test_a_transaction_that_was_overtaken_is_told_as_a_collision(
    monkeypatch: pytest.MonkeyPatch, second_connection: psycopg.Connection[Any]
) -> None:
    worker = factories.worker()

    def overtaken() -> None:
        with transaction.atomic():
            sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            Worker.objects.get(pk=worker.pk)
            second_connection.execute("UPDATE workers_worker SET agent_version = 'x'")
            second_connection.commit()
            Worker.objects.filter(pk=worker.pk).update(agent_version="y")

    answer = answer_with_query(monkeypatch, overtaken)
    assert answer.status_code == 503
    assert "Others are changing the same thing" in answer.json()["message"]


@pytest.mark.postgresql_only
def test_a_transaction_that_was_forgotten_is_ended_and_the_next_request_is_fine(
    monkeypatch: pytest.MonkeyPatch, limited: None
) -> None:
    def forget() -> None:
        with transaction.atomic():
            sql("SELECT 1")
            threading.Event().wait(0.5)
            sql("SELECT 1")

    answer = answer_with_query(monkeypatch, forget)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    monkeypatch.undo()
    connection.close()
    assert APIClient().get("/api/v1/campaigns").status_code == 200


@pytest.mark.postgresql_only
def test_a_connection_that_the_database_ended_is_replaced(
    monkeypatch: pytest.MonkeyPatch, second_connection: psycopg.Connection[Any]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    second_connection.autocommit = False
    second_connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    second_connection.commit()
    assert APIClient().get("/api/v1/campaigns").status_code in {200, 503}
    connection.close()
    assert APIClient().get("/api/v1/campaigns").status_code == 200


@pytest.mark.postgresql_only
def test_two_who_make_the_same_thing_at_once_do_not_see_a_server_error(
    monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> None:
    factories.worker("twin")

    def same_name() -> None:
        Worker.objects.create(name="twin", token_hash="x" * 64)

    assert answer_with_query(monkeypatch, same_name).status_code == 409


@pytest.mark.postgresql_only
@pytest.mark.django_db(transaction=True)
def test_the_servers_connections_carry_the_limits() -> None:
    connection.close()  # the connection that ran the migrations has no limits
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, setting::bigint FROM pg_settings WHERE name IN "
            "('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')"
        )
        limits = dict(cursor.fetchall())
    assert limits == {
        "statement_timeout": 30_000,
        "lock_timeout": 10_000,
        "idle_in_transaction_session_timeout": 60_000,
    }


@pytest.mark.postgresql_only
@pytest.mark.django_db(transaction=True)
def test_an_export_may_take_longer_than_a_page_and_leaves_the_limit_as_it_was(
    settings: Any,
) -> None:
    settings.XEENET = settings.XEENET | {"EXPORT_STATEMENT_SECONDS": 123.0}
    connection.close()
    limits: list[tuple[str, str]] = []

    def look(execute: Any, statement: str, *arguments: Any) -> Any:
        if "campaigns_result" in statement or statement == "SELECT 1":
            with psycopg_cursor() as cursor:
                limits.append(
                    (statement[:6], cursor.execute("SHOW statement_timeout").fetchone()[0])
                )
        return execute(statement, *arguments)

    campaign = factories.completed_task().campaign
    with connection.execute_wrapper(look):
        assert len(list(export_rows.csv_lines(campaign))) == 2
        sql("SELECT 1")
    assert [limit for _, limit in limits] == ["123s", "30s"]


def psycopg_cursor() -> Any:
    assert connection.connection is not None
    return connection.connection.cursor()


def test_options_of_the_address_are_kept_beside_the_limits() -> None:
    given = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"options": "-c x=1", "a": 2}}
    config = with_limits(given, statement_seconds=1.5, lock_seconds=0, idle_seconds=2)
    assert config["OPTIONS"]["a"] == 2
    assert config["OPTIONS"]["options"] == (
        "-c statement_timeout=1500 -c lock_timeout=0 "
        "-c idle_in_transaction_session_timeout=2000 -c jit=off "
        "-c plan_cache_mode=force_generic_plan -c x=1"
    )
