"""A database that is read-only or full: agents are asked to come again, and `/readyz` says why."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg.errors
import pytest
from django.db import InternalError, OperationalError, connection
from django.test import Client
from rest_framework.test import APIClient

from campaigns.api import unwritable
from campaigns.models import Attempt, Result
from tests import factories
from tests.clients import agent_client
from workers import lifecycle
from workers.models import EnrolmentToken, Worker
from workers.protocol import Outcome
from xeenet_site import databases

CHANGES: Final = ("INSERT", "UPDATE", "DELETE")
READ_ONLY: Final = "The database is read-only: nothing can be stored."
FULL: Final = "The database has no room left: nothing can be stored."

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    unwritable.forget()


@pytest.fixture
def read_only() -> Iterator[Callable[[], None]]:
    """A function after which the database takes no changes, whichever it is."""

    def begin() -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA query_only = ON")
            else:
                cursor.execute("SET default_transaction_read_only = on")

    yield begin
    connection.close()  # the next connection has neither


class Agent:
    """A worker with one lease and everything that it may send."""

    def __init__(self) -> None:
        self.api, _ = agent_client()
        self.boot = str(uuid.uuid4())
        factories.active_campaign(3)
        answer = self.claim()
        self.lease = answer.json()["leases"][0]

    def claim(self) -> Any:
        body = {"claim_id": str(uuid.uuid4()), "boot_id": self.boot, "count": 1, "simulate": False}
        return self.api.post("/api/v1/leases/claim", body)

    def heartbeat(self, first: int = 1) -> Any:
        points = [
            {"seq": number, "step": number, "elapsed_seconds": number / 10, "train_loss": 1.0}
            for number in range(first, first + 190)
        ]
        leases = [{"lease_id": self.lease["lease_id"], "progress": points}]
        return self.api.post("/api/v1/heartbeat", {"boot_id": self.boot, "leases": leases})

    def submit(self) -> Any:
        body = {
            "outcome": Outcome.FAILED,
            "failure_class": "script_error",
            "message": "it failed",
            "stderr_tail": "x" * 16_000,
            "wall_time_seconds": 1.0,
            "code_sha256": self.lease["code_sha256"],
        }
        return self.api.put(f"/api/v1/leases/{self.lease['lease_id']}/result", body)

    def release(self) -> Any:
        return self.api.post(f"/api/v1/leases/{self.lease['lease_id']}/release", {"reason": "x"})

    def enrol(self) -> Any:
        body = {"enrolment_token": "xe_" + "x" * 40, "name": "new"}
        return APIClient().post("/api/v1/workers/enrol", body)


def assert_come_again(answer: Any, message: str) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "database_unavailable"
    assert answer.json()["message"].startswith(message)
    assert 10 <= int(answer.headers["Retry-After"]) <= 20


@pytest.mark.parametrize("call", ["claim", "heartbeat", "submit", "release"])
def test_a_read_only_database_is_told_to_agents_with_when_to_come_again(
    call: str, read_only: Callable[[], None]
) -> None:
    agent = Agent()
    read_only()
    assert_come_again(getattr(agent, call)(), READ_ONLY)
    connection.close()
    assert Result.objects.count() == 0
    assert Attempt.objects.count() == 1
    assert agent.submit().status_code == 200


def test_an_invitation_is_not_used_up_by_a_read_only_database(
    read_only: Callable[[], None],
) -> None:
    _, secret = lifecycle.invite(now=factories.NOW, label="x", created_by=None)
    read_only()
    body = {"enrolment_token": secret, "name": "new"}
    answer = APIClient().post("/api/v1/workers/enrol", body)
    assert answer.status_code in {403, 503}
    connection.close()
    assert not Worker.objects.filter(name="new").exists()
    assert EnrolmentToken.objects.get().used_at is None


def test_pages_are_read_from_a_read_only_database_and_what_changes_it_says_why(
    read_only: Callable[[], None],
) -> None:
    factories.active_campaign(1)
    browser = Client(raise_request_exception=False)
    read_only()
    assert browser.get("/campaigns/").status_code == 200
    answer = browser.post("/login/", {"username": "ada", "password": "x"})
    assert answer.status_code == 503
    assert READ_ONLY in answer.text


def test_a_server_on_a_read_only_database_is_not_ready_and_says_why(
    read_only: Callable[[], None],
) -> None:
    assert Client().get("/readyz").status_code == 200
    read_only()
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "is read-only: nothing can be stored"
    connection.close()
    assert Client().get("/readyz").status_code == 200


# --- Full ----------------------------------------------------------------------------------------


@pytest.fixture
def full_sqlite() -> Iterator[Callable[[], None]]:
    """A function after which SQLite gets no further page."""

    def begin() -> None:
        with connection.cursor() as cursor:
            # Free pages of migrations and earlier tests would be filled first.
            cursor.execute("VACUUM")
            pages = cursor.execute("PRAGMA page_count").fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    yield begin
    connection.close()


@pytest.mark.sqlite_only
def test_a_full_database_is_told_to_agents_and_by_readyz(full_sqlite: Callable[[], None]) -> None:
    agent = Agent()
    full_sqlite()
    ready = Client().get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["database"] == "has no room left: nothing can be stored"
    answers = (agent.heartbeat(1 + 190 * number) for number in range(200))
    refused = [next(answer for answer in answers if answer.status_code != 200)]
    refused += [answer for answer in (agent.submit(),) if answer.status_code != 200]
    for answer in refused:
        assert_come_again(answer, FULL)
    connection.close()
    unwritable.forget()
    assert Client().get("/readyz").status_code == 200
    assert agent.submit().status_code == 200


@pytest.mark.sqlite_only
def test_a_disk_without_room_is_seen_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unwritable, "sqlite_problem", lambda: unwritable.FULL)
    assert Client().get("/readyz").json()["database"].startswith("has no room left")


@pytest.mark.sqlite_only
def test_the_disk_and_the_file_of_sqlite_tell_what_its_vague_errors_mean(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "x.sqlite3"
    file.write_text("")
    vague = (OperationalError("disk I/O error"), OperationalError("unable to open database file"))
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "NAME", str(file))
        assert [unwritable.write_problem(error) for error in vague] == ["", ""]
        patch.setattr(os, "access", lambda *_: False)
        assert {unwritable.write_problem(error) for error in vague} == {unwritable.READ_ONLY}
        patch.setattr(unwritable, "ROOM_BYTES", 2**80)
        assert {unwritable.write_problem(error) for error in vague} == {unwritable.FULL}


@pytest.mark.sqlite_only
def test_a_database_that_cannot_even_be_opened_is_not_ready_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unopened(*_: Any) -> Any:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(unwritable, "sqlite_problem", lambda: unwritable.FULL)
    with connection.execute_wrapper(unopened):
        answer = Client().get("/readyz")
    assert answer.json()["database"] == "has no room left: nothing can be stored"


@pytest.mark.sqlite_only
def test_a_database_that_others_keep_locked_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(execute: Any, sql: str, *arguments: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError("database is locked")
        return execute(sql, *arguments)

    with connection.execute_wrapper(locked):
        assert Client().get("/readyz").status_code == 200


def disk_full(execute: Any, sql: str, *arguments: Any) -> Any:
    """What PostgreSQL says to each change when the disk of its tables is full."""
    if any(change in sql for change in CHANGES):  # also inside WITH
        raise OperationalError("could not extend file") from psycopg.errors.DiskFull()
    return execute(sql, *arguments)


@pytest.mark.parametrize("call", ["claim", "heartbeat", "submit", "release"])
def test_an_error_of_class_53100_is_told_as_a_full_database(call: str) -> None:
    agent = Agent()
    with connection.execute_wrapper(disk_full):
        assert_come_again(getattr(agent, call)(), FULL)


def test_readyz_names_a_problem_that_requests_have_met_until_they_meet_it_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = Agent()
    with connection.execute_wrapper(disk_full):
        agent.claim()
    answer = Client().get("/readyz")
    assert answer.json()["database"] == "has no room left: nothing can be stored"
    monkeypatch.setattr(unwritable, "REMEMBERED_SECONDS", 0.0)
    assert Client().get("/readyz").status_code == 200


@pytest.mark.postgresql_only
def test_a_sort_that_finds_no_room_on_the_disk_is_a_full_database() -> None:
    def no_room(execute: Any, sql: str, *arguments: Any) -> Any:
        if "generate_series" in sql:
            raise OperationalError("could not write to file") from psycopg.errors.DiskFull()
        return execute(sql, *arguments)

    with connection.execute_wrapper(no_room):
        answer = Client().get("/readyz")
    assert answer.json()["database"] == "has no room left: nothing can be stored"


@pytest.mark.postgresql_only
def test_the_probe_goes_to_the_disk_and_changes_nothing() -> None:
    plans: list[Any] = []

    def explain(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if "generate_series" not in sql:
            return execute(sql, parameters, many, context)
        analysed = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
        answer = execute(analysed, parameters, many, context)
        plans.append(context["cursor"].fetchone()[0][0]["Plan"])
        return answer

    with connection.execute_wrapper(explain):
        databases.check_writes()
    assert plans[0]["Temp Written Blocks"] > 0


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OperationalError("attempt to write a readonly database"), unwritable.READ_ONLY),
        (InternalError("cannot execute INSERT in a read-only transaction"), unwritable.READ_ONLY),
        (OperationalError("database or disk is full"), unwritable.FULL),
        (OperationalError("could not extend file: No space left on device"), unwritable.FULL),
        (OperationalError("database is locked"), ""),
    ],
)
def test_problems_are_known_by_their_words(error: Exception, problem: str) -> None:
    assert unwritable.write_problem(error) == problem
