"""The real web server refuses bodies that are too long, chunked or cut off."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.api.parsers import MAX_BODY_BYTES
from tests import factories
from tests.chaos.services import WebServer
from tests.processes import free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

CHUNK = b"x" * 65536
TWENTY_MEGABYTES = 20 * 1024 * 1024


@pytest.fixture
def web(process_environment: dict[str, str], tmp_path: Path) -> Iterator[WebServer]:
    server = WebServer("web", free_port(), process_environment, tmp_path)
    server.start()
    try:
        server.wait_until_it_answers()
        yield server
    finally:
        server.stop()


def post(
    web: WebServer, token: str, body: bytes | Iterator[bytes], *, chunked: bool
) -> tuple[int, dict[str, str]]:
    """POST a heartbeat; return the status and the body of the answer.

    The server may answer and close the connection before it has read everything.
    """
    caller = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            caller.request(
                "POST", "/api/v1/heartbeat", body, headers=headers, encode_chunked=chunked
            )
        answer = caller.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        caller.close()


def in_chunks(*chunks: bytes) -> Iterator[bytes]:
    yield from chunks


def cut_off(web: WebServer, token: str) -> bytes:
    """The answer to a request that announces 500 bytes, sends two and hangs up."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as raw:
        raw.sendall(
            b"POST /api/v1/heartbeat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
            b"\r\nAuthorization: Bearer " + token.encode() + b"\r\nContent-Length: 500\r\n\r\n{}"
        )
        raw.shutdown(socket.SHUT_WR)
        return raw.recv(4096)


def test_the_web_server_refuses_what_is_too_long_comes_in_chunks_or_is_cut_off(
    web: WebServer,
) -> None:
    _, token = factories.worker_with_token()
    good = json.dumps({"boot_id": str(uuid.uuid4()), "leases": []}).encode()
    chunks = [CHUNK] * (TWENTY_MEGABYTES // len(CHUNK))
    for body, chunked, status, words in (
        (good, False, 200, ""),
        (b"x" * (MAX_BODY_BYTES + 1), False, 413, "send less at once"),
        (b"x" * TWENTY_MEGABYTES, False, 413, "send less at once"),
        (in_chunks(good[:10], good[10:]), True, 411, "Content-Length"),
        (in_chunks(*chunks), True, 411, "Content-Length"),
        (good, False, 200, ""),
    ):
        answer = post(web, token, body, chunked=chunked)
        assert answer[0] == status
        assert words in answer[1].get("message", "")
    assert cut_off(web, token).startswith(b"HTTP/1.1 400 ")
    assert post(web, token, good, chunked=False)[0] == 200
