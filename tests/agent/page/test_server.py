"""The page's server under attack: by programs on this machine, and by pages in its browser."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.agent.page.bench import Answer, PageBench, ask, connect, raw
from workers.agent.page import server as server_module
from workers.agent.page.messages import Reply
from workers.agent.page.server import MAX_CONNECTIONS, LoopbackServer
from workers.agent.page.wire import MAX_BODY_BYTES, MAX_HEAD_BYTES


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBench]:
    bench = PageBench(tmp_path_factory.mktemp("page") / "state")
    yield bench
    bench.service.stop()


@pytest.fixture(scope="module")
def signed_in(bench: PageBench) -> tuple[str, str]:
    return bench.sign_in()


def get(signed_in: tuple[str, str], path: str = "/api/state", **headers: Any) -> Answer:
    host, token = signed_in
    return ask(host, "GET", path, **{"Authorization": f"Bearer {token}", **headers})


def test_it_listens_on_loopback_alone(bench: PageBench, signed_in: tuple[str, str]) -> None:
    host, _ = signed_in
    assert host.startswith("127.0.0.1:")
    server = bench.service._server
    assert server is not None
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.socket.family == socket.AF_INET


def test_a_ticket_is_exchanged_once(bench: PageBench) -> None:
    host, ticket = bench.open()
    first = ask(host, "POST", "/api/session", {"ticket": ticket})
    assert first.status == HTTPStatus.OK
    again = ask(host, "POST", "/api/session", {"ticket": ticket})
    assert again.status == HTTPStatus.FORBIDDEN
    assert "used already" in again.json["problem"]
    assert get((host, first.json["token"])).status == HTTPStatus.OK
    for body in ({}, {"ticket": None}, {"ticket": 7}, {"ticket": ["a"]}, {"ticket": "\ud800"}):
        assert ask(host, "POST", "/api/session", body).status == HTTPStatus.FORBIDDEN


def test_without_the_token_nothing_is_told_or_done(
    bench: PageBench, signed_in: tuple[str, str]
) -> None:
    host, token = signed_in
    for path in ("/api/state", "/api/tasks", "/api/nothing", "/nothing"):
        for value in (None, "Bearer ", "Bearer wrong", token, f"Basic {token}"):
            answer = ask(host, "GET", path, Authorization=value)
            assert answer.status == HTTPStatus.UNAUTHORIZED
            assert set(answer.json) == {"problem"}
    for path in ("pause", "resume", "drain", "stop", "rules", "rules/reset"):
        body = {"rules": {"threads": "1"}}
        assert ask(host, "POST", f"/api/{path}", body).status == HTTPStatus.UNAUTHORIZED
        cookie = ask(host, "POST", f"/api/{path}", body, Cookie=f"xeenet-worker-token={token}")
        assert cookie.status == HTTPStatus.UNAUTHORIZED
    assert bench.worker.told == []
    assert not (bench.root / "limits.json").exists()


def test_another_name_and_another_origin_get_nothing(signed_in: tuple[str, str]) -> None:
    host, token = signed_in
    sent = {"Authorization": f"Bearer {token}"}
    rebound = ask(host, "GET", "/api/state", Host="evil.example", **sent)
    assert rebound.status == HTTPStatus.MISDIRECTED_REQUEST
    for path in ("/", "/page.js"):
        assert ask(host, "GET", path, Host="evil.example").status == HTTPStatus.MISDIRECTED_REQUEST
    origin = ask(host, "POST", "/api/stop", {}, Origin="http://evil.example", **sent)
    assert origin.status == HTTPStatus.FORBIDDEN
    preflight = ask(host, "OPTIONS", "/api/stop", Access_Control_Request_Method="POST")
    assert preflight.status == HTTPStatus.METHOD_NOT_ALLOWED
    for answer in (rebound, origin, preflight):
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    "path",
    [
        "/../keys.py",
        "/assets/../keys.py",
        "/..%2fkeys.py",
        "/page.css/../../keys.py",
        "//etc/passwd",
        "/etc/passwd",
        "/page.css%00",
        "/index.html",
        "/limits.json",
    ],
)
def test_no_path_leads_to_another_file(path: str, signed_in: tuple[str, str]) -> None:
    host, _ = signed_in
    assert ask(host, "GET", path).status == HTTPStatus.UNAUTHORIZED
    assert get(signed_in, path).status == HTTPStatus.NOT_FOUND


def test_the_files_of_the_page_are_there(signed_in: tuple[str, str]) -> None:
    host, _ = signed_in
    for path in ("/", "/page.css", "/page.js", "/talk.js", "/draw.js", "/icon.svg"):
        answer = ask(host, "GET", path)
        assert answer.status == HTTPStatus.OK
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.body) > 100


def test_what_is_too_large_is_not_read(signed_in: tuple[str, str]) -> None:
    host, token = signed_in
    length = {"Content_Length": str(MAX_BODY_BYTES + 1), "Authorization": f"Bearer {token}"}
    assert (
        ask(host, "POST", "/api/rules", None, **length).status
        == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    )
    long_head = b"GET / HTTP/1.1\r\nX: " + b"a" * (MAX_HEAD_BYTES + 1)
    assert raw(host, long_head).status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    assert raw(host, b"\x16\x03\x01\x02\x00\r\n\r\n").status == HTTPStatus.BAD_REQUEST  # TLS
    assert raw(host, b"GET / HT", end=True) == Answer(0, {}, b"")


def test_two_requests_in_one_packet_get_two_answers(signed_in: tuple[str, str]) -> None:
    host, token = signed_in
    lines = f"GET /api/tasks HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    both = raw(host, f"{lines}\r\n{lines}Connection: close\r\n\r\n".encode()).body
    assert both.count(b"HTTP/1.1 200") == 1  # the other one's head was the head of the answer
    assert both.count(b'"tasks"') == 2


def test_hundreds_of_idle_connections_do_not_keep_the_owner_out(
    signed_in: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "STRANGER_SECONDS", 600.0)  # so that it is not that
    host, token = signed_in
    owner = connect(host)  # open before them, and known
    request = f"GET /api/state HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    owner.sendall(request.encode())
    assert owner.recv(20).startswith(b"HTTP/1.1 200")
    idle = [connect(host) for _ in range(200)]
    try:
        assert get(signed_in).status == HTTPStatus.OK
        while b'"log"' not in owner.recv(65536):
            pass
        owner.sendall(request.encode())
        assert owner.recv(20).startswith(b"HTTP/1.1 200")
        # All but the newest were sent away.
        gone = 0
        for connection in idle[: 200 - MAX_CONNECTIONS]:
            connection.settimeout(20)
            gone += connection.recv(1) == b""
        assert gone == 200 - MAX_CONNECTIONS
    finally:
        for connection in [owner, *idle]:
            connection.close()


def test_a_slow_sender_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STRANGER_SECONDS", 0.3)
    server = LoopbackServer(lambda _: Reply(HTTPStatus.OK, b""))
    server.start()
    try:
        with connect(server.host) as slow:
            # Each byte is in time, the whole request is not: the deadline does not move.
            assert any(_is_ended_after(slow, letter) for letter in b"GET / HTTP/1.1\r\n" * 20)
    finally:
        server.stop()


def _is_ended_after(slow: socket.socket, letter: int) -> bool:
    """Send a byte; return whether the other side has ended the connection."""
    slow.settimeout(0.02)
    try:
        slow.sendall(bytes([letter]))
        return slow.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:  # reset
        return True


def test_a_bug_costs_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_request: Any) -> Reply:
        raise ZeroDivisionError("a bug")

    server = LoopbackServer(fail)
    server.start()
    try:
        for _ in range(2):
            assert ask(server.host, "GET", "/").status == HTTPStatus.INTERNAL_SERVER_ERROR
        assert "a bug" in caplog.text
    finally:
        server.stop()


def test_nothing_is_answered_after_the_end(tmp_path: Path) -> None:
    bench = PageBench(tmp_path / "state")
    host, token = bench.sign_in()
    with connect(host) as kept:
        bench.service.stop()
        assert _is_ended_after(kept, 0)
    with pytest.raises(OSError, match="refused"):
        connect(host)
    # The next serving knows no key of the former.
    host, _ = bench.open()
    assert get((host, token)).status == HTTPStatus.UNAUTHORIZED
    bench.service.stop()
