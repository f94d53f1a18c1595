"""Answers that are no success: which of them to believe, and the exception for each.

Only an error in XeeNet's own format, with the status that belongs to its code, is the server's.
Everything else comes from somebody in between, and says nothing about the request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from workers.agent.connection import replies
from workers.agent.connection.exchange import Answer
from workers.agent.plain_text import short
from workers.agent.status.model import Fault
from workers.protocol import API_PREFIX, ERROR_STATUS, ErrorCode

_MAX_RETRY_AFTER_SECONDS: Final = 3600.0
# These answer for whoever is between here and the server, whatever their body says.
_OTHERS_STATUSES: Final = frozenset({408, 425})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class ServerError(Exception):
    """Base of every failure of a request."""


class ServerUnavailable(ServerError):
    """No usable answer: network error, 429, 5xx, or not a XeeNet server. A retry makes sense.

    ``retry_after_seconds`` is the wait that the server asked for, or None. ``answered`` says
    whether somebody answered this request at all.
    """

    def __init__(
        self, message: str, retry_after_seconds: float | None = None, *, answered: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.answered = answered


class Redirected(ServerUnavailable):
    """Somebody sends the request on to another address, which is never followed.

    ``server_url`` is the server's new address when the target looks like the same call there,
    otherwise "".
    """

    def __init__(self, message: str, server_url: str) -> None:
        super().__init__(message, answered=True)
        self.server_url = server_url


class CredentialsDropped(ServerUnavailable):
    """The server got no token with a request that carried one: a proxy dropped the header."""


class Abandoned(ServerUnavailable):
    """The agent is about to end and did not wait for the answer."""


class FleetFull(ServerUnavailable):
    """The fleet token's most workers live already (409 fleet_full): a place may become free."""


class DownloadTooSlow(ServerUnavailable):
    """A download was not complete within its time."""


class RequestRefused(ServerError):
    """The server refused the request (4xx); a retry would be refused, too."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotAuthenticated(RequestRefused):
    """The token is unknown or revoked (401)."""


class LeaseLost(RequestRefused):
    """The lease of the request has ended (409 lease_lost)."""


class ContentMismatch(ServerError):
    """A download has another hash than requested, or is too large."""


def refusal_of(answer: Answer, server_url: str, path: str) -> ServerError:
    """Return the exception for an answer that is not a success."""
    status, reply = answer.status, _error_object(answer)
    message = short(reply.get("message") or f"HTTP {status}", replies.MAX_TEXT_CHARACTERS)
    if status in _REDIRECTS:
        return _redirected(answer, server_url, path)
    if status == 429 or status >= 500:
        wait = _retry_after(answer.headers)
        return ServerUnavailable(f"{message} (HTTP {status})", wait, answered=True)
    code = str(reply.get("code", ""))
    if status in _OTHERS_STATUSES or ERROR_STATUS.get(code) != status:
        return ServerUnavailable(
            f"HTTP {status} that is not the answer of a XeeNet server to this request: a proxy "
            "or another program answers in its place, or changes the request",
            answered=True,
        )
    if code == ErrorCode.NO_CREDENTIALS:
        return CredentialsDropped(
            f"the server got no token with this request ({message}). A proxy on the way drops "
            "or replaces the Authorization header; let it pass that header on",
            answered=True,
        )
    if status == 401:
        return NotAuthenticated(status, code, message)
    if code == ErrorCode.FLEET_FULL:
        return FleetFull(message, _retry_after(answer.headers), answered=True)
    if said := _of_fields(reply.get("fields"), message):
        message = short(f"{message} {said}", 2 * replies.MAX_TEXT_CHARACTERS)
    kind = LeaseLost if code == ErrorCode.LEASE_LOST else RequestRefused
    return kind(status, code, message)


def _of_fields(fields: Any, message: str) -> str:
    """Return what an answer says of single fields and has not said in its message already."""
    if not isinstance(fields, dict):
        return str(fields or "")
    parts = []
    for name, sentences in fields.items():
        listed = sentences if isinstance(sentences, list) else [sentences]
        if new := [str(sentence) for sentence in listed if str(sentence) not in message]:
            parts.append(f"{name}: {' '.join(new)}")
    return "; ".join(parts)


def fault_of(error: ServerError) -> Fault:
    """Return whose fault it is that a request failed: without any answer, the network's."""
    if isinstance(error, ServerUnavailable) and not error.answered:
        return Fault.NETWORK
    return Fault.SERVER


def _redirected(answer: Answer, server_url: str, path: str) -> Redirected:
    """Return the exception that names the target and, if possible, the address to use."""
    location = answer.headers.get("Location", "")
    try:
        target = urljoin(f"{server_url}{API_PREFIX}{path}", location)
        parts = urlsplit(target)
        _ = parts.port  # raises ValueError for one that is no number
    except ValueError:
        target, parts = location, urlsplit("")
    shown = short(target.partition("?")[0], 200) or "nowhere"
    message = f"{server_url} redirects to {shown} (HTTP {answer.status}), not followed"
    ending = f"{API_PREFIX}{path}"
    whole = parts.path.rstrip("/")
    head = whole.removesuffix(ending)
    if not parts.hostname or parts.scheme not in {"http", "https"} or head == whole:
        return Redirected(f"{message}. Is this network's log-in page in the way?", "")
    moved_to = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{head.rstrip('/')}"
    if moved_to == server_url:
        return Redirected(f"{message}: it redirects to itself", "")
    return Redirected(f"{message}. Use that address: --server {moved_to}", moved_to)


def _error_object(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an error, {} when it has not the shape of XeeNet's errors."""
    try:
        reply = replies.read_object(answer.body)
    except replies.WrongShape:
        return {}
    is_ours = isinstance(reply.get("code"), str) and isinstance(reply.get("message"), str)
    return reply if is_ours else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the Retry-After header in seconds, None without one. Its date form is ignored."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(seconds, _MAX_RETRY_AFTER_SECONDS) if 0 <= seconds < math.inf else None
