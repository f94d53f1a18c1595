"""Agents' calls past the middleware of pages: the same answers, header by header."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, Final

import pytest
import time_machine
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.test import Client
from django.urls import resolve

from campaigns import lifecycle
from campaigns.api.urls import AGENT_CALLS
from campaigns.api.views.leases import HeartbeatView
from tests import factories
from tests.clients import researcher_client, signed_in_client
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from xeenet_site import short_way

pytestmark = pytest.mark.django_db

SHORT_WAY: Final = "xeenet_site.short_way.ShortWayMiddleware"
CLAIM: Final = "/api/v1/leases/claim"
BEAT: Final = "/api/v1/heartbeat"
LEASE: Final = uuid.UUID(int=5)
RESULT: Final = f"/api/v1/leases/{LEASE}/result"
RESULTS: Final = "/api/v1/leases/results"
RELEASE: Final = f"/api/v1/leases/{LEASE}/release"
EMPTY: Final = {"boot_id": str(uuid.UUID(int=1)), "leases": []}
PRODUCTION: Final = {
    "SECURE_SSL_REDIRECT": True,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
    "SECURE_HSTS_SECONDS": 31_536_000,
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
    "SECURE_HSTS_PRELOAD": True,
}
# What differs from one answer to the same request to the next.
VARYING: Final = {"X-Request-ID", "Retry-After"}

# Name -> (status, path, changes of the request).
CASES: Final[dict[str, tuple[int, str, dict[str, Any]]]] = {
    "heartbeat": (200, BEAT, {}),
    "claim": (200, CLAIM, {"data": {"claim_id": str(LEASE), "boot_id": str(LEASE), "count": 1}}),
    "invalid": (400, BEAT, {"data": {"boot_id": 5}}),
    "no JSON": (400, BEAT, {"data": b"{"}),
    "unknown parameter": (400, f"{BEAT}?a=b", {}),
    "foreign host": (400, BEAT, {"HTTP_HOST": "elsewhere.example"}),
    "unknown token": (401, BEAT, {"HTTP_AUTHORIZATION": f"Bearer xw_{'x' * 43}"}),
    "unknown token, invalid": (
        401,
        BEAT,
        {"HTTP_AUTHORIZATION": "Bearer xw_unknown", "data": b"{"},
    ),
    "no token": (401, BEAT, {"HTTP_AUTHORIZATION": ""}),
    "two tokens": (401, BEAT, {"HTTP_AUTHORIZATION": "Bearer xw_a xw_b"}),
    "another kind": (401, CLAIM, {"HTTP_AUTHORIZATION": "Bearer xp_abc"}),
    "no such lease": (404, RELEASE, {"data": {}}),
    "no such result": (
        404,
        RESULT,
        {"method": "PUT", "data": {"outcome": "completed", "metrics": {}}},
    ),
    "no such path": (404, f"{BEAT}s", {}),
    "wrong method": (405, BEAT, {"method": "GET"}),
    "options": (405, BEAT, {"method": "OPTIONS"}),
    "in chunks": (411, BEAT, {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}),
    "too large": (413, BEAT, {"data": b'{"a": "' + b"x" * 2**20 + b'"}'}),
    "wrong type": (415, BEAT, {"content_type": "text/plain"}),
    "list of results": (400, RESULTS, {"data": {"results": []}}),
    "with a cookie": (200, BEAT, {"HTTP_COOKIE": "sessionid=abc; csrftoken=short"}),
    "compressed": (200, BEAT, {"HTTP_ACCEPT_ENCODING": "gzip"}),
}


@pytest.fixture
def token() -> str:
    with time_machine.travel(factories.NOW, tick=False):
        return factories.worker_with_token("lab-1", now=factories.NOW)[1]


def answers(settings: Any, send: Callable[[Client], Any]) -> tuple[Any, Any]:
    """Return the answers by the short way and through all middleware."""
    assert SHORT_WAY in django_settings.MIDDLEWARE
    everything = settings.MIDDLEWARE
    got = [send(Client(raise_request_exception=False))]
    settings.MIDDLEWARE = [name for name in everything if name != SHORT_WAY]
    got.append(send(Client(raise_request_exception=False)))
    settings.MIDDLEWARE = everything
    short, long = (
        (
            answer.status_code,
            {name: value for name, value in answer.headers.items() if name not in VARYING},
            {name for name in answer.headers if name in VARYING},
            set(answer.cookies),  # a CSRF token is drawn anew
            answer.content,
        )
        for answer in got
    )
    return short, long


def sending(path: str, token: str, **changes: Any) -> Callable[[Client], Any]:
    data = changes.pop("data", EMPTY)
    if isinstance(data, dict):
        data = json.dumps(data | ({"simulate": False} if "claim_id" in data else {})).encode()
    request = {
        "method": "POST",
        "content_type": "application/json",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        **changes,
    }
    method = request.pop("method")
    return lambda client: client.generic(method, path, data, **request)


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_same_by_either_way(name: str, token: str, settings: Any) -> None:
    status, path, changes = CASES[name]
    settings.XEENET = settings.XEENET | {"IDLE_WAIT_SECONDS": 0.0}
    short, long = answers(settings, sending(path, token, **changes))
    assert short == long
    assert short[0] == status


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_production_redirects_to_https_and_tells_hsts_by_either_way(
    scheme: str, token: str, settings: Any
) -> None:
    for setting, value in PRODUCTION.items():
        setattr(settings, setting, value)
    send = sending(BEAT, token, HTTP_X_FORWARDED_PROTO=scheme)
    short, long = answers(settings, send)
    assert short == long
    assert short[0] == (200 if scheme == "https" else 301)
    assert ("Strict-Transport-Security" in short[1]) == (scheme == "https")


def test_a_worker_that_calls_too_often_and_a_database_that_is_gone(
    token: str, settings: Any
) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise OperationalError("gone")

    def without_database(client: Client) -> Any:
        with connection.execute_wrapper(gone):
            return sending(BEAT, token)(client)

    short, long = answers(settings, without_database)
    assert short == long
    assert (short[0], short[2]) == (503, VARYING)
    settings.XEENET = settings.XEENET | {"HEARTBEATS_PER_MINUTE": 1}
    with time_machine.travel(factories.NOW, tick=False):
        sending(BEAT, token)(Client())
        short, long = answers(settings, sending(BEAT, token))
    assert short == long
    assert (short[0], short[2]) == (429, VARYING)


def test_a_mistake_of_the_server_is_answered_by_either_way(
    token: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(HeartbeatView, "take", fail)
    short, long = answers(settings, sending(BEAT, token, HTTP_ACCEPT_ENCODING="gzip"))
    assert short == long
    assert short[0] == 500


def test_a_match_names_the_same_route_as_the_url_table() -> None:
    for path in (CLAIM, BEAT, RESULT, RESULTS, RELEASE):
        whole, short = resolve(path), short_way._CALLS.resolve(path)
        for name in ("func", "args", "kwargs", "url_name", "route", "namespaces", "view_name"):
            assert getattr(whole, name) == getattr(short, name), name
    assert len(AGENT_CALLS) == 5


def test_people_are_known_by_their_session_and_checked_for_forgery(settings: Any) -> None:
    client, person = signed_in_client()
    assert client.post(BEAT, EMPTY).status_code == 404  # no program of theirs has asked
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    answer = strict.post(BEAT, EMPTY, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    programs, _ = researcher_client(person)
    assert programs.post(BEAT, EMPTY).status_code == 404


def test_a_disabled_worker_is_out_at_once_and_told_before_its_body_is_read(token: str) -> None:
    worker = Worker.objects.get()
    assert sending(BEAT, token)(Client()).status_code == 200
    worker_lifecycle.disable(worker)
    for data in (EMPTY, b"{"):
        answer = sending(BEAT, token, data=data)(Client())
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_call_over_the_limit_does_not_reach_the_database(
    token: str, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.XEENET = settings.XEENET | {"HEARTBEATS_PER_MINUTE": 2}
    with time_machine.travel(factories.NOW, tick=False):
        statuses = [sending(BEAT, token)(Client()).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        with django_assert_num_queries(0):
            assert sending(BEAT, token)(Client()).status_code == 429


def test_tokens_that_open_nothing_are_not_counted(token: str, settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"HEARTBEATS_PER_MINUTE": 1}
    unknown = sending(BEAT, f"xw_{'y' * 43}")
    assert [unknown(Client()).status_code for _ in range(3)] == [401] * 3


def test_what_a_statement_leaves_to_the_verb_is_counted_once(token: str, settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"SUBMITS_PER_MINUTE": 3}
    worker = Worker.objects.get()
    attempt = factories.leased_task(worker, now=factories.NOW)
    lifecycle.release(worker, attempt.lease_id, now=factories.NOW)
    again = sending(f"/api/v1/leases/{attempt.lease_id}/release", token, data={})
    with time_machine.travel(factories.NOW, tick=False):
        assert [again(Client()).status_code for _ in range(4)] == [200, 200, 200, 429]
