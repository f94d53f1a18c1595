"""HTTP client of the server: one method per endpoint, and one exception per way to react."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import stamina

from workers.agent import AGENT_VERSION
from workers.agent.disk import TEMPORARY_PREFIX
from workers.protocol import (
    API_PREFIX,
    CLAIM_PATH,
    ENROL_PATH,
    HEARTBEAT_PATH,
    ME_PATH,
    RELEASE_PATH,
    RESULT_PATH,
    TOKEN_PATH,
    ClaimReply,
    ClaimRequest,
    EnrolReply,
    EnrolRequest,
    ErrorCode,
    HeartbeatReply,
    HeartbeatRequest,
    Submission,
    SubmissionReply,
    TokenReply,
)

_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_MAX_RETRY_AFTER_SECONDS: Final = 3600.0
_MAX_DOWNLOAD_WAIT_SECONDS: Final = 10.0  # longest single wait of a leased task for its files


class ServerError(Exception):
    """Base of every failure of a request."""


class ServerUnavailable(ServerError):
    """No usable answer: network error, 429, 5xx, or not a XeeNet server. A retry makes sense.

    ``retry_after_seconds`` is the wait that the server asked for, or None.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


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


class Client:
    """The server as the agent sees it. Thread-safe."""

    def __init__(self, server_url: str, token: str = "") -> None:
        headers = {"User-Agent": f"xeenet-worker/{AGENT_VERSION}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.server_url = server_url.rstrip("/")
        self._http = httpx2.Client(
            base_url=self.server_url + API_PREFIX, headers=headers, timeout=_TIMEOUT
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def enrol(self, request: EnrolRequest) -> EnrolReply:
        """Exchange an enrolment token for a worker token."""
        return cast(EnrolReply, self._call("POST", ENROL_PATH, request, needs=("token", "name")))

    def me(self) -> dict[str, Any]:
        """Return what the server knows of this worker."""
        return self._call("GET", ME_PATH)

    def rotate_token(self) -> TokenReply:
        """Exchange this worker's token for a new one; the old one is rejected afterwards."""
        return cast(TokenReply, self._call("POST", TOKEN_PATH, {}, needs=("token",)))

    def claim(self, request: ClaimRequest) -> ClaimReply:
        """Ask for leases; safe to repeat with the same claim_id."""
        needs = ("leases", "heartbeat_seconds", "wait_seconds")
        return cast(ClaimReply, self._call("POST", CLAIM_PATH, request, needs=needs))

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        """Renew the leases and deliver their progress."""
        needs = ("leases", "heartbeat_seconds")
        return cast(HeartbeatReply, self._call("POST", HEARTBEAT_PATH, request, needs=needs))

    def submit(self, lease_id: str, submission: Submission) -> SubmissionReply:
        """Submit a result; safe to repeat with the same body."""
        path = RESULT_PATH.format(lease_id=lease_id)
        return cast(SubmissionReply, self._call("PUT", path, submission, needs=("verdict",)))

    def release(self, lease_id: str, reason: str) -> None:
        """Give a task back without a result; ``reason`` is for people."""
        self._call("POST", RELEASE_PATH.format(lease_id=lease_id), {"reason": reason})

    def download(self, path: str, target: Path, *, sha256: str, max_bytes: int) -> None:
        """Stream the file at ``path`` to ``target``: complete and verified, or not at all.

        Retries a few times while the server is unavailable. Raises `ServerError`, `OSError`.
        """
        for attempt in stamina.retry_context(on=_retry_wait, attempts=4, timeout=60.0):
            with attempt:
                self._download_once(path, target, sha256, max_bytes)

    def _download_once(self, path: str, target: Path, sha256: str, max_bytes: int) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file, self._http.stream("GET", path) as response:
                if response.status_code != 200:
                    response.read()
                    raise _refusal(response)
                for chunk in response.iter_bytes(64 * 1024):
                    size += len(chunk)
                    if size > max_bytes:
                        raise ContentMismatch(f"{path} is larger than the {max_bytes:,} bytes due")
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != sha256:
                raise ContentMismatch(f"{path} has SHA-256 {digest.hexdigest()[:12]} instead")
            temporary.replace(target)
        except httpx2.HTTPError as error:
            raise ServerUnavailable(_network_message(error)) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, needs: Any = ()
    ) -> dict[str, Any]:
        """Send one request and return its JSON object, which must have the keys in ``needs``."""
        try:
            response = self._http.request(method, path, json=body)
        except httpx2.HTTPError as error:
            raise ServerUnavailable(_network_message(error)) from error
        if response.status_code >= 300:
            raise _refusal(response)
        reply = _json_object(response)
        if reply is None or any(key not in reply for key in needs):
            # A captive portal or another program on that port may also answer 200.
            raise ServerUnavailable(f"{self.server_url} does not answer like a XeeNet server")
        return reply


def _refusal(response: httpx2.Response) -> ServerError:
    """Return the exception for an answer that is not a success."""
    status, reply = response.status_code, _json_object(response) or {}
    message = str(reply.get("message") or f"HTTP {status}")
    if status == 429 or status >= 500 or status < 400:
        return ServerUnavailable(f"{message} (HTTP {status})", _retry_after(response))
    if status == 401:
        return NotAuthenticated(status, str(reply.get("code", "")), message)
    fields = reply.get("fields")
    if fields:
        message = f"{message} {fields}"
    if status == 404 and "code" not in reply:  # the 404 of a proxy or another program
        return ServerUnavailable("the address answers 404 without XeeNet's error format")
    kind = LeaseLost if reply.get("code") == ErrorCode.LEASE_LOST else RequestRefused
    return kind(status, str(reply.get("code", "")), message)


def _json_object(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        reply = response.json()
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) else None


def _retry_after(response: httpx2.Response) -> float | None:
    """Return the Retry-After header in seconds, None without one. Its date form is ignored."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(seconds, _MAX_RETRY_AFTER_SECONDS) if seconds >= 0 else None


def _retry_wait(error: Exception) -> bool | float:
    """Return for stamina whether to retry, or the seconds that the server asked to wait."""
    if not isinstance(error, ServerUnavailable):
        return False
    wait = error.retry_after_seconds
    if wait is None:
        return True
    return wait if wait <= _MAX_DOWNLOAD_WAIT_SECONDS else False


def _network_message(error: httpx2.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
