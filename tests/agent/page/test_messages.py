"""What is a request, and which requests come from the page itself."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from workers.agent.page.guard import refusal, token_of
from workers.agent.page.messages import BadRequest, Reply, Request, json_reply
from workers.agent.page.wire import MAX_BODY_BYTES, MAX_HEAD_BYTES, Wire

HOST = "127.0.0.1:41234"
OWN = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json"}


def read(*lines: str, body: bytes = b"", end: str = "\r\n\r\n") -> Request | None:
    """Return the request that these bytes are; None while more must follow."""
    wire = Wire()
    wire.receive("\r\n".join(lines).encode("latin-1") + end.encode() + body)
    return wire.next_request()


def test_bytes_become_a_request() -> None:
    assert read("GET /api/state?log=7 HTTP/1.1", f"Host: {HOST}", "X-Odd:\t a: b ") == Request(
        "GET", "/api/state", "log=7", {"host": HOST, "x-odd": "a: b"}
    )
    post = ("POST /x HTTP/1.1", f"Host: {HOST}", "Content-Length: 3")
    assert read(*post, body=b"ab") is None
    request = read(*post, body=b"abcGET")
    assert request is not None
    assert request.body == b"abc"


@pytest.mark.parametrize(
    "lines",
    [
        ("",),
        ("GET / HTTP/1.0", "Host: a"),
        ("GET / HTTP/1.1",),
        ("GET  / HTTP/1.1", "Host: a"),
        ("GET http://127.0.0.1:41234/ HTTP/1.1", "Host: a"),
        ("GET /\x00 HTTP/1.1", "Host: a"),
        ("GET /" + "a" * 3000 + " HTTP/1.1", "Host: a"),
        ("get / HTTP/1.1", "Host: a"),
        ("GET / HTTP/1.1", "Host : a"),
        ("GET / HTTP/1.1", "Host: a", " folded"),
        ("GET / HTTP/1.1", "Host: a", "host: b"),
        ("GET / HTTP/1.1", "Host: a", "X: b", "x: b"),
        ("GET / HTTP/1.1", "Host: a\nX: b"),
        ("GET / HTTP/1.1", "Host: a", " folded\nX: b"),
        ("GET / HTTP/1.1", "Host: a", "X: \xff"),
        ("GET / HTTP/1.1", "Host: a", "X: " + "b" * (MAX_HEAD_BYTES * 2)),
        ("POST / HTTP/1.1", "Host: a", "Content-Length: -1"),
        ("POST / HTTP/1.1", "Host: a", "Content-Length: 1, 1"),
        ("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 1"),
        ("POST / HTTP/1.1", "Host: a", f"Content-Length: {MAX_BODY_BYTES + 1}"),
        ("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"),
        ("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"),
    ],
)
def test_what_two_readers_could_understand_differently_is_no_request(
    lines: tuple[str, ...],
) -> None:
    with pytest.raises(BadRequest):
        read(*lines, body=b"a")


def test_lines_end_in_one_way_alone() -> None:
    wire = Wire()
    wire.receive(b"GET / HTTP/1.1\nHost: a\n\n")
    with pytest.raises(BadRequest):
        wire.next_request()


def test_a_body_is_an_object_or_refused() -> None:
    assert Request("POST", "/", body=b'{"a": 1}').json() == {"a": 1}
    for body in (b"", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(BadRequest):
            Request("POST", "/", body=body).json()


def status(method: str = "POST", path: str = "/api/stop", **headers: str | None) -> int:
    """Return the status with which the guard refuses a request of the page, 0 when it does not."""
    sent = {**OWN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    kept = {name: value for name, value in sent.items() if value is not None}
    reply = refusal(Request(method, path, headers=kept), HOST)
    return 0 if reply is None else reply.status.value


def test_only_the_page_itself_is_answered() -> None:
    assert status() == 0
    assert status(content_type="application/json; charset=utf-8") == 0
    assert status("GET", origin=None, content_type=None) == 0
    for host in (None, "localhost:41234", "127.0.0.1", "127.0.0.1:1", "evil.example:41234"):
        assert status(host=host) == HTTPStatus.MISDIRECTED_REQUEST
        assert status("GET", "/", host=host, origin=None) == HTTPStatus.MISDIRECTED_REQUEST
    for origin in ("null", f"https://{HOST}", "http://127.0.0.1:8000", "http://evil.example"):
        assert status(origin=origin) == HTTPStatus.FORBIDDEN
        assert status("GET", origin=origin) == HTTPStatus.FORBIDDEN
    assert status(origin=None) == HTTPStatus.FORBIDDEN


def test_what_another_site_can_send_is_refused() -> None:
    for site in ("cross-site", "same-site"):
        assert status("GET", origin=None, sec_fetch_site=site) == HTTPStatus.FORBIDDEN
    assert status("GET", sec_fetch_site="same-origin") == 0
    # The bodies that a form can send without asking first.
    for kind in (None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert status(content_type=kind) == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    for method in ("OPTIONS", "PUT", "DELETE", "HEAD", "TRACE"):
        assert status(method) == HTTPStatus.METHOD_NOT_ALLOWED


def test_a_token_comes_in_its_header_alone() -> None:
    assert token_of(Request("GET", "/", headers={"authorization": "Bearer abc"})) == "abc"
    for header in ("abc", "bearer abc", "Basic abc", ""):
        assert token_of(Request("GET", "/", headers={"authorization": header})) == ""
    assert token_of(Request("GET", "/", "token=abc", {"cookie": "token=abc"})) == ""


def test_every_reply_forbids_what_the_page_does_not_need() -> None:
    reply = json_reply({"text": "</script>é\ud800"})
    top, _, body = Wire().encode(reply, keeps_open=False).decode("ascii").partition("\r\n\r\n")
    assert body == '{"text": "</script>\\u00e9\\ud800"}'
    for line in (
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "Connection: close",
    ):
        assert line in top
    (policy,) = [line for line in top.split("\r\n") if line.startswith("Content-Security-Policy")]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "access-control" not in top.lower()
    assert "set-cookie" not in top.lower()


def test_a_connection_ends_when_either_side_wants_that() -> None:
    for lines, goes_on in (((), True), (("Connection: close",), False)):
        wire = Wire()
        lines = ("GET / HTTP/1.1", "Host: a", *lines, "", "GET /2 HTTP/1.1", "Host: a", "", "")
        wire.receive("\r\n".join(lines).encode())
        assert wire.next_request() is not None
        reply = wire.encode(Reply(HTTPStatus.OK, b"{}"))
        assert (b"Connection: close" not in reply) is goes_on
        assert wire.may_go_on() is goes_on
        if goes_on:
            following = wire.next_request()
            assert following is not None
            assert following.path == "/2"
            assert b"Connection: close" in wire.encode(Reply(HTTPStatus.OK, b""), keeps_open=False)
            assert not wire.may_go_on()
    wire = Wire()
    wire.receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.next_request() is not None
    assert wire.encode(json_reply({})).endswith(b"\r\n\r\n")  # a head alone
