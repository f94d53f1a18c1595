"""Requests and replies of the page's server. Pure: bytes in, bytes out.

Only what a browser sends to this page is understood; everything else is refused. Nothing here
guesses: a request that two readers could understand differently is none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 16 * 1024
_FIRST_LINE: Final = re.compile(r"([A-Z]{1,16}) (/[!-~]{0,2000}) HTTP/1\.1")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([ -~\t]*)")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")

# No source but this server, no inline script or style, no frame around it, and no HTML from text.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class BadRequest(ValueError):
    """These bytes are no request that is answered. ``status`` is of the reply."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request whose head was read; names of headers are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def length(self) -> int:
        """The bytes of the body."""
        return int(self.headers.get("content-length", "0"))

    def json(self) -> dict[str, Any]:
        """Return the object in the body. Raises `BadRequest`."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "The body is no JSON.") from None
        if not isinstance(value, dict):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "The body is no JSON object.")
        return value


@dataclass(frozen=True)
class Reply:
    """What the server answers. ``is_known``: to somebody with a token, who may stay connected."""

    status: HTTPStatus
    content: bytes
    kind: str = "application/json"
    is_known: bool = False

    def encode(self, *, keeps_open: bool) -> bytes:
        """Return the reply as bytes."""
        headers = {
            "Content-Type": self.kind,
            "Content-Length": str(len(self.content)),
            "Connection": "keep-alive" if keeps_open else "close",
            **_HEADERS,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.content


def json_reply(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """Return a reply with a value as JSON. Raises ValueError for what JSON cannot hold."""
    return Reply(status, json.dumps(value, allow_nan=False).encode("ascii"))


def problem(status: HTTPStatus, words: str) -> Reply:
    """Return a reply that says in a sentence why it is none."""
    return json_reply({"problem": words}, status)


def parse_head(head: bytes) -> Request:
    """Return the request whose head this is, without the empty line. Raises `BadRequest`."""
    first, *lines = head.decode("latin-1").split("\r\n")
    match = _FIRST_LINE.fullmatch(first)
    if match is None:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "This is no HTTP/1.1 request.")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None or header.group(1).lower() in headers:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "A header is malformed or comes twice.")
        headers[header.group(1).lower()] = header.group(2).strip(" \t")
    if "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.LENGTH_REQUIRED, "A body needs its length.")
    length = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "The length is no number.")
    if int(length) > MAX_BODY_BYTES:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
    path, _, query = match.group(2).partition("?")
    return Request(match.group(1), path, query, headers)
