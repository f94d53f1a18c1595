"""What is a request, and which requests come from the page itself."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from workers.agent.page.guard import refusal, token_of
from workers.agent.page.messages import (
    MAX_BODY_BYTES,
    BadRequest,
    Reply,
    Request,
    json_reply,
    parse_head,
)

HOST = "127.0.0.1:41234"
OWN = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json"}


def head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("latin-1")


def test_a_head_becomes_a_request() -> None:
    content = head("GET /api/state?log=7 HTTP/1.1", f"Host: {HOST}", "X-Odd:\t a: b ")
    assert parse_head(content) == Request(
        "GET", "/api/state", "log=7", {"host": HOST, "x-odd": "a: b"}
    )
    assert parse_head(head("POST /x HTTP/1.1", "Content-Length: 12")).length == 12


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("GET / HTTP/1.0",),
        ("GET  / HTTP/1.1",),
        ("GET http://127.0.0.1:41234/ HTTP/1.1",),
        ("GET /\x00 HTTP/1.1",),
        ("GET /" + "a" * 3000 + " HTTP/1.1",),
        ("get / HTTP/1.1",),
        ("GET / HTTP/1.1", "Host : a"),
        ("GET / HTTP/1.1", " folded"),
        ("GET / HTTP/1.1", "Host: a", "host: b"),
        ("GET / HTTP/1.1", "Host: a\nX: b"),
        ("POST / HTTP/1.1", "Content-Length: -1"),
        ("POST / HTTP/1.1", "Content-Length: 1, 1"),
        ("POST / HTTP/1.1", f"Content-Length: {MAX_BODY_BYTES + 1}"),
        ("POST / HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"),
    ],
)
def test_what_two_readers_could_understand_differently_is_no_request(
    lines: tuple[str, ...],
) -> None:
    with pytest.raises(BadRequest):
        parse_head(head(*lines))


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
    reply = json_reply({"text": "</script>é\ud800"}).encode(keeps_open=False).decode("ascii")
    top, _, body = reply.partition("\r\n\r\n")
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
    assert "Connection: keep-alive" in str(Reply(HTTPStatus.OK, b"").encode(keeps_open=True))
