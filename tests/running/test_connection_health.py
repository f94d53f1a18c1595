"""A request after the database ended its connections gets a new one, and no request asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.clients import agent_client
from tests.postgres import DURABLE_OPTIONS, Cluster, PostgresUnavailable, private_cluster
from xeenet_site.postgresql.base import DatabaseWrapper, is_silent
from xeenet_site.settings import database_config

BEAT: dict[str, Any] = {"boot_id": "a8f5f167-f44f-4964-adbb-9cd7f7b7f2c2", "leases": []}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    try:
        with private_cluster(DURABLE_OPTIONS) as started:
            yield started
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def database(cluster: Cluster, db: None) -> Iterator[DatabaseWrapper]:
    """A connection with the product's settings, outside of Django's own."""
    config = database_config(cluster.url.replace("/xeenet?", "/postgres?"))
    defaults = {name: value for name, value in connection.settings_dict.items() if name == "TEST"}
    wrapper = DatabaseWrapper(
        {
            "AUTOCOMMIT": True,
            "ATOMIC_REQUESTS": False,
            "TIME_ZONE": None,
            "USER": "",
            "HOST": "",
            "PORT": "",
            **defaults,
            **config,
        },
        "of the cluster",
    )
    yield wrapper
    wrapper.close()


def begin_request(database: Any) -> None:
    """Do what Django does with a connection when a request begins."""
    database.close_if_unusable_or_obsolete()


def restart(cluster: Cluster, _database: Any) -> None:
    cluster.crash()
    cluster.start_again()


def terminate(cluster: Cluster, database: Any) -> None:
    with psycopg.connect(cluster.url.replace("/xeenet?", "/postgres?"), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(%s, 5000)", [database.connection.info.backend_pid]
        )


@pytest.mark.parametrize("end", [restart, terminate])
def test_a_request_after_a_restart_finds_a_new_connection(
    cluster: Cluster, database: DatabaseWrapper, end: Callable[[Cluster, Any], None]
) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT 'before'")
    assert is_silent(database.connection)
    end(cluster, database)
    assert not is_silent(database.connection)
    begin_request(database)
    with database.cursor() as cursor:
        cursor.execute("SELECT 'after'")
        assert cursor.fetchone() == ("after",)


def test_a_request_on_a_good_connection_asks_the_server_nothing(database: DatabaseWrapper) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT 'before'")
    pid = database.connection.info.backend_pid
    begin_request(database)
    database.close_if_health_check_failed()
    assert database.connection.info.backend_pid == pid
    with psycopg.connect(database.connection.info.dsn, autocommit=True) as other:
        row = other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
    assert row == ("SELECT 'before'",)


@pytest.mark.postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_after_the_connection_was_ended_is_answered() -> None:
    agent, _ = agent_client()
    assert agent.post("/api/v1/heartbeat", BEAT).status_code == 200
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        pid = connection.connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    begin_request(connection)
    assert agent.post("/api/v1/heartbeat", BEAT).status_code == 200
