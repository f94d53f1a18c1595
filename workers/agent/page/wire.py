"""The page's side of one connection: `h11` reads and writes HTTP, and this refuses more than it.

`h11` understands what some old program may send. A browser sends none of it to this page, so a
request that two readers could understand differently is none: lines that end otherwise or go on in
the next one, a header that comes twice, a length that is more than a number, a body in chunks.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import h11

from workers.agent.page.messages import BadRequest, Reply, Request

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 16 * 1024
_NO_REQUEST: Final = "This is no HTTP/1.1 request."
_TOO_LARGE: Final = "The head is too large."
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_TARGET: Final = re.compile(r"/[!-~]{0,2000}")
_LINES: Final = re.compile(rb"(?:[!-~][ -~\t]*\r\n)+\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*[0-9]{1,9}[ \t]*\r\n", re.IGNORECASE)

# No source but this server, no inline script or style, no frame around it, and no HTML from text.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)


class Wire:
    """Bytes in, requests out; replies in, bytes out. One request at a time, in their order."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._unread = b""  # what came since the last request, for what h11 does not tell
        self._request: Request | None = None
        self._body = b""

    def receive(self, content: bytes) -> None:
        """Take what has arrived."""
        self._unread += content
        self._http.receive_data(content)

    def next_request(self) -> Request | None:
        """Return the next whole request; None until more has arrived. Raises `BadRequest`."""
        try:
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self._request, self._body = self._strict(event), b""
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                    self._unread = self._http.trailing_data[0]
                    request = self._request
                    return Request(
                        request.method, request.path, request.query, request.headers, self._body
                    )
                else:  # the other side went on after it had said that it would not
                    raise BadRequest(HTTPStatus.BAD_REQUEST, _NO_REQUEST)
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                raise BadRequest(HTTPStatus(error.error_status_hint), _TOO_LARGE) from None
            raise BadRequest(HTTPStatus.BAD_REQUEST, _NO_REQUEST) from None
        return None

    def _strict(self, event: h11.Request) -> Request:
        """Return the request whose head this is. Raises `BadRequest`."""
        head = self._unread[: len(self._unread) - len(self._http.trailing_data[0])]
        if len(head) > MAX_HEAD_BYTES:
            raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        method, target = event.method.decode("ascii"), event.target.decode("ascii")
        is_usual = event.http_version == b"1.1" and _METHOD.fullmatch(method)
        if not (is_usual and _TARGET.fullmatch(target) and _LINES.fullmatch(head)):
            raise BadRequest(HTTPStatus.BAD_REQUEST, _NO_REQUEST)
        headers = {name.decode("ascii"): text.decode("ascii") for name, text in event.headers}
        if len(headers) != head.count(b"\r\n") - 2:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "A header comes twice.")
        if "transfer-encoding" in headers:
            raise BadRequest(HTTPStatus.LENGTH_REQUIRED, "A body needs its length.")
        if "content-length" in headers:
            if not _LENGTH.search(head):
                raise BadRequest(HTTPStatus.BAD_REQUEST, "The length is no number.")
            if int(headers["content-length"]) > MAX_BODY_BYTES:
                raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        path, _, query = target.partition("?")
        return Request(method, path, query, headers)

    def encode(self, reply: Reply, *, keeps_open: bool = True) -> bytes:
        """Return a reply as bytes, to the request that came last or to what was none."""
        headers = [
            ("Content-Type", reply.kind),
            ("Content-Length", str(len(reply.content))),
            ("Connection", "keep-alive" if keeps_open else "close"),
            *_HEADERS,
        ]
        status = reply.status
        head = h11.Response(status_code=status.value, headers=headers, reason=status.phrase)
        content = b"" if self._has_no_body else reply.content
        events = (head, h11.Data(content), h11.EndOfMessage())
        return b"".join(self._http.send(event) or b"" for event in events)

    @property
    def _has_no_body(self) -> bool:
        """Whether the reply to this request has a head alone."""
        return self._request is not None and self._request.method == "HEAD"

    def may_go_on(self) -> bool:
        """Return whether another request may follow the reply; then it can be read."""
        if not self._http.our_state is self._http.their_state is h11.DONE:
            return False
        self._http.start_next_cycle()
        self._request = None
        return True
