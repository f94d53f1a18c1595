"""What a request passes before Django reads it: bounds on its head."""

from __future__ import annotations

import io
import json
import time
from typing import Any, Final

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from xeenet_site import front_door
from xeenet_site.wsgi import application

SECONDS: Final = 0.3
# Heads on which Python's and Django's own readers take quadratic time.
SLOW: Final = {
    "quoted cookie": ("HTTP_COOKIE", 'a="', '\\"', '"'),
    "octal cookie": ("HTTP_COOKIE", 'a="', "\\1", '"'),
    "content type": ("CONTENT_TYPE", 'a;"', ";", ""),
    "parameters of the content type": ("CONTENT_TYPE", "text/html", ";", ""),
    "accept": ("HTTP_ACCEPT", "", "*/*,", "a/a"),
    "language": ("HTTP_ACCEPT_LANGUAGE", "", "a-", ","),
    "request id": ("HTTP_X_REQUEST_ID", "", "a", "/"),
    "addresses": ("HTTP_X_FORWARDED_FOR", "", "1,", ""),
    "host": ("HTTP_HOST", "", "a.", ":"),
    "referer": ("HTTP_REFERER", "http://", "a.", ""),
    "token": ("HTTP_AUTHORIZATION", "Bearer ", "x ", ""),
    "etag": ("HTTP_IF_NONE_MATCH", '"', '",', ""),
    "range": ("HTTP_RANGE", "bytes=", "0-1,", ""),
}


def ask(path: str, *, query: str = "", **head: str) -> tuple[str, dict[str, str], bytes]:
    """The answer of the application that the web server runs: status, headers, body."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        **head,
    }
    answer: list[Any] = []
    # As in Django's own test client: the test's transaction needs its connection.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        body: Any = application(
            environ, lambda status, headers, *_: answer.extend((status, dict(headers)))
        )
        content = b"".join(body)
        if hasattr(body, "close"):
            body.close()
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)
    return answer[0], answer[1], content


def seconds_for(path: str, **head: str) -> tuple[float, str]:
    started = time.process_time()
    status, _, _ = ask(path, **head)
    return time.process_time() - started, status


def text(head: str, pump: str, end: str, size: int) -> str:
    return head + pump * ((size - len(head) - len(end)) // len(pump)) + end


@pytest.mark.django_db
@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("path", ["/login/", "/api/schema/", "/api/v1/workers/me"])
def test_a_head_that_takes_long_to_read_is_refused_before_anything_reads_it(
    kind: str, path: str
) -> None:
    key, start, pump, end = SLOW[kind]
    started = time.process_time()
    status, headers, body = ask(path, **{key: text(start, pump, end, 40_000)})
    assert time.process_time() - started < SECONDS
    assert status == "431 Request Header Fields Too Large"
    assert len(headers["X-Request-ID"]) == 32
    assert b"longer than" in body
    if path.startswith("/api/v1"):
        assert json.loads(body)["code"] == "invalid"


@pytest.mark.django_db
@pytest.mark.parametrize("kind", SLOW)
def test_the_largest_heads_that_pass_cost_little(kind: str) -> None:
    key, start, pump, end = SLOW[kind]
    most = front_door.MOST_CHARACTERS.get(key, front_door.MAX_HEADER_CHARACTERS)
    if key == "HTTP_COOKIE":
        pump = "a" * (most // front_door.MAX_COOKIE_BACKSLASHES) + pump
    # Only the view of the OpenAPI document reads what the caller accepts.
    path = "/api/schema/" if key == "HTTP_ACCEPT" else "/login/"
    usual, _ = min(seconds_for(path) for _ in range(2))
    seconds, status = min(
        seconds_for(path, **{key: text(start, pump, end, most)}) for _ in range(2)
    )
    assert seconds < 2 * usual + SECONDS
    assert not status.startswith(("431", "500"))


@pytest.mark.django_db
def test_many_backslashes_in_cookies_are_refused() -> None:
    status, _, body = ask("/login/", HTTP_COOKIE='a="' + "\\1" * 400 + '"')
    assert status.startswith("431")
    assert b"backslashes" in body


@pytest.mark.parametrize(("path", "query"), [("/" + "a." * 30_000, ""), ("/login/", "a=" * 30_000)])
def test_an_address_beyond_the_bounds_is_refused(path: str, query: str) -> None:
    started = time.process_time()
    status, _, body = ask(path, query=query)
    assert time.process_time() - started < SECONDS
    assert status == "414 URI Too Long"
    assert b"longer than" in body


@pytest.mark.django_db
def test_what_browsers_and_agents_send_passes() -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    status, _, _ = ask(
        "/login/",
        query="next=/campaigns/",
        HTTP_ACCEPT=accept,
        HTTP_COOKIE="sessionid=" + "x" * 32 + "; theirs=" + "y" * 4000,
        CONTENT_TYPE="multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        HTTP_USER_AGENT="Mozilla/5.0 " * 20,
    )
    assert status == "200 OK"
