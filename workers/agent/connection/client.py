"""HTTP client of the server: one method per endpoint, and one exception per way to react.

Only an answer in XeeNet's own format is believed. Whatever a proxy, a captive portal or another
program answers in the server's place is `ServerUnavailable`: the caller keeps what it has and tries
again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import stamina

from workers.agent import AGENT_VERSION
from workers.agent.connection import replies
from workers.agent.connection.downloads import store_download
from workers.agent.connection.exchange import (
    Answer,
    ExchangeFailed,
    GivenUp,
    GivesUp,
    Line,
    OutOfTime,
    bounded_chunks,
)
from workers.agent.connection.server_errors import (
    Abandoned,
    ContentMismatch,
    CredentialsDropped,
    DownloadTooSlow,
    FleetFull,
    LeaseLost,
    NotAuthenticated,
    Redirected,
    RequestRefused,
    ServerError,
    ServerUnavailable,
    refusal_of,
)
from workers.calibration import CALIBRATION_PATH, CalibrationReply, CalibrationReport
from workers.features import (
    NO_FEATURES,
    Feature,
    claim_for,
    heartbeat_for,
    known_features,
    submission_for,
)
from workers.protocol import (
    API_PREFIX,
    CLAIM_PATH,
    ENROL_PATH,
    FLEET_DEMAND_PATH,
    HEARTBEAT_PATH,
    LEAVE_PATH,
    ME_PATH,
    RELEASE_PATH,
    RESULT_PATH,
    RESULTS_PATH,
    TOKEN_PATH,
    ClaimReply,
    ClaimRequest,
    EnrolReply,
    EnrolRequest,
    ErrorCode,
    FleetDemand,
    HeartbeatReply,
    HeartbeatRequest,
    LeaveReply,
    Submission,
    SubmissionReply,
    TokenReply,
)

__all__ = [
    "Abandoned",
    "Client",
    "ContentMismatch",
    "CredentialsDropped",
    "FleetFull",
    "LeaseLost",
    "NotAuthenticated",
    "Redirected",
    "RequestRefused",
    "ServerError",
    "ServerUnavailable",
]

_MAX_DOWNLOAD_WAIT_SECONDS: Final = 10.0  # longest single wait of a leased task for its files
# Of an answer after decompression. A lease has the config of its task, of up to 64 parameters.
_MAX_REPLY_BYTES: Final = 1024 * 1024
_MAX_LEASE_BYTES: Final = 256 * 1024
# For a whole exchange, from the first byte sent to the last one received.
_CALL_SECONDS: Final = 60.0
_HEARTBEAT_SECONDS: Final = 30.0  # below the usual lease time of 45 s
_SUBMIT_SECONDS: Final = 120.0  # a slow connection has to send up to 1 MiB
_RELEASE_SECONDS: Final = 15.0

T = TypeVar("T")


class Client:
    """The server as the agent sees it. Thread-safe."""

    def __init__(self, server_url: str, token: str = "") -> None:
        self._headers = {
            "User-Agent": f"xeenet-worker/{AGENT_VERSION}",
            "Accept": "application/json",
        }
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._has_token = bool(token)
        self.server_url = server_url.rstrip("/")
        self._tls = httpx2.create_ssl_context()
        self._calls, self._heartbeats = self._line(), self._line()
        self._results, self._releases = self._line(), self._line()
        self._ending = threading.Event()
        self._features: frozenset[Feature] | None = None  # not heard yet

    def close(self) -> None:
        """Close all connections."""
        for line in (self._calls, self._heartbeats, self._results, self._releases):
            line.close()

    def abandon_downloads(self) -> None:
        """End the downloads under way with `Abandoned`: the agent is about to end."""
        self._ending.set()

    def probe(self) -> None:
        """Return when a XeeNet server answers at the address, without a word of who asks.

        Raises `ServerUnavailable` otherwise. An enrolment token is sent only afterwards.
        """
        answer = self._exchange(self._calls, "GET", ME_PATH, None, _CALL_SECONDS)
        refusal = refusal_of(answer, self.server_url, ME_PATH)
        # A XeeNet server refuses this call, because it carries no token.
        if not isinstance(refusal, RequestRefused | CredentialsDropped):
            raise refusal

    def enrol(self, request: EnrolRequest) -> EnrolReply:
        """Exchange an enrolment token, or use a fleet token, for a worker token."""
        return self._call(self._calls, "POST", ENROL_PATH, request, replies.enrol_reply)

    def me(self, gives_up: GivesUp | None = None) -> dict[str, Any]:
        """Return what the server knows of this worker."""
        return self._call(self._calls, "GET", ME_PATH, None, replies.me_reply, gives_up=gives_up)

    @property
    def heard_features(self) -> frozenset[Feature]:
        """What the server is known to know, without asking it."""
        return self._features or NO_FEATURES

    def features(self, gives_up: GivesUp | None = None) -> frozenset[Feature]:
        """Return what the server knows beyond version 0.1.0.

        Asked once; then each reply to a claim or a heartbeat tells. Raises `ServerError`.
        """
        if self._features is None:
            self._hear(self.me(gives_up))
        return self._features or NO_FEATURES

    def _hear(self, reply: Mapping[str, Any]) -> None:
        self._features = known_features(reply.get("features", ()))

    def rotate_token(self) -> TokenReply:
        """Exchange this worker's token for a new one; the old one is rejected afterwards."""
        return self._call(self._calls, "POST", TOKEN_PATH, {}, replies.token_reply)

    def leave(self) -> LeaveReply:
        """End this worker on a server that has the feature; its token is rejected afterwards."""
        return self._call(self._calls, "POST", LEAVE_PATH, {}, replies.leave_reply)

    def fleet_demand(self) -> FleetDemand:
        """Return what the workers of a fleet have to do; this client's token is its fleet token."""
        return self._call(self._calls, "GET", FLEET_DEMAND_PATH, None, replies.fleet_demand)

    def claim(self, request: ClaimRequest, gives_up: GivesUp | None = None) -> ClaimReply:
        """Ask for leases; safe to repeat with the same claim_id.

        Raises `Abandoned` as soon as ``gives_up`` returns True.
        """
        count = request["count"]
        reply = self._call(
            self._calls,
            "POST",
            CLAIM_PATH,
            claim_for(request, self.features(gives_up)),
            lambda reply: replies.claim_reply(reply, count),
            most_bytes=_MAX_REPLY_BYTES + count * _MAX_LEASE_BYTES,
            gives_up=gives_up,
        )
        self._hear(reply)
        if Feature.CALIBRATION not in self.features():
            reply.pop("calibrate", None)  # it would not take the answer
        return reply

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        """Renew the leases and deliver their progress.

        A server that has not named its features yet names them in the reply.
        """
        reply = self._call(
            self._heartbeats,
            "POST",
            HEARTBEAT_PATH,
            heartbeat_for(request, self._features or NO_FEATURES),
            replies.heartbeat_reply,
            seconds=_HEARTBEAT_SECONDS,
        )
        self._hear(reply)
        return reply

    def calibrate(
        self, report: CalibrationReport, gives_up: GivesUp | None = None
    ) -> CalibrationReply:
        """Send the measured speed of this machine; safe to repeat with the same body."""
        return self._call(
            self._calls,
            "POST",
            CALIBRATION_PATH,
            report,
            replies.calibration_reply,
            gives_up=gives_up,
        )

    def submit(self, lease_id: str, submission: Submission) -> SubmissionReply:
        """Submit a result, in words that the server knows; safe to repeat with the same body."""
        plain = submission_for(submission, NO_FEATURES)
        if plain != submission:  # otherwise there is nothing to ask about
            plain = submission_for(submission, self.features())
        return self._call(
            self._results,
            "PUT",
            RESULT_PATH.format(lease_id=lease_id),
            plain,
            replies.submission_reply,
            seconds=_SUBMIT_SECONDS,
        )

    def submit_together(
        self, submissions: Mapping[str, Submission]
    ) -> dict[str, SubmissionReply | ServerError]:
        """Submit the results of several leases, as `submit` does; return what came of each.

        For a server with the feature. Raises `ServerError` when there is no answer to them.
        """
        features = self.heard_features
        results = [
            {"lease_id": lease_id, **submission_for(submission, features)}
            for lease_id, submission in submissions.items()
        ]
        answers = self._call(
            self._results,
            "POST",
            RESULTS_PATH,
            {"results": results},
            lambda reply: replies.results_reply(reply, list(submissions)),
            seconds=_SUBMIT_SECONDS,
        )
        return {answer["lease_id"]: self._answer_of(answer) for answer in answers}

    def _answer_of(self, answer: dict[str, Any]) -> SubmissionReply | ServerError:
        """Return what an answer in a list would have been alone."""
        if answer["status"] != 200:
            alone = Answer(answer["status"], {}, json.dumps(answer).encode())
            return refusal_of(alone, self.server_url, RESULTS_PATH)
        try:
            return replies.submission_reply(answer)
        except replies.WrongShape as problem:
            return ServerUnavailable(f"this is no answer to a result: {problem}", answered=True)

    def release(self, lease_id: str, reason: str) -> None:
        """Give a task back without a result; ``reason`` is for people."""
        self._call(
            self._releases,
            "POST",
            RELEASE_PATH.format(lease_id=lease_id),
            {"reason": reason},
            replies.any_reply,
            seconds=_RELEASE_SECONDS,
        )

    def download(
        self,
        path: str,
        target: Path,
        *,
        sha256: str,
        max_bytes: int,
        seconds: float = _CALL_SECONDS,
        floor_bytes: int = 0,
    ) -> None:
        """Stream the file at ``path`` to ``target``: complete and verified, or not at all.

        Retries a few times while the server is unavailable. Ends when the disk would have less than
        ``floor_bytes`` left. Raises `ServerError`, `OSError`.
        """
        for attempt in stamina.retry_context(on=_retry_wait, attempts=4, timeout=60.0):
            with attempt:
                self._download_once(path, target, sha256, max_bytes, seconds, floor_bytes)

    def _download_once(
        self,
        path: str,
        target: Path,
        sha256: str,
        max_bytes: int,
        seconds: float,
        floor_bytes: int,
    ) -> None:
        def store(response: httpx2.Response) -> None:
            if response.status_code != 200:
                body = b"".join(bounded_chunks(response, _MAX_REPLY_BYTES))
                answer = Answer(response.status_code, response.headers, body)
                raise refusal_of(answer, self.server_url, path)
            store_download(response, path, target, sha256, max_bytes, floor_bytes)

        line = self._line()  # a hanging download is ended without disturbing any other request
        try:
            line.stream(path, store, seconds, self._ending.is_set)
        except GivenUp as error:
            raise Abandoned(str(error)) from error
        except OutOfTime as error:
            raise DownloadTooSlow(f"{path}: {error}", answered=True) from error
        except ExchangeFailed as error:
            raise ServerUnavailable(str(error)) from error
        finally:
            line.close()

    def _line(self) -> Line:
        return Line(self.server_url + API_PREFIX, self._headers, self._tls)

    def _call(
        self,
        line: Line,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        shape: Callable[[dict[str, Any]], T],
        *,
        most_bytes: int = _MAX_REPLY_BYTES,
        seconds: float | None = None,
        gives_up: GivesUp | None = None,
    ) -> T:
        """Send one request and return its JSON object, checked by ``shape``."""
        content = None if body is None else _encode(body)
        answer = self._exchange(
            line, method, path, content, seconds or _CALL_SECONDS, most_bytes, gives_up
        )
        if not 200 <= answer.status < 300:
            raise refusal_of(answer, self.server_url, path)
        try:
            return shape(replies.read_object(answer.body))
        except replies.WrongShape as problem:
            # A captive portal or another program on that port may also answer 200.
            raise ServerUnavailable(
                f"{self.server_url} does not answer like a XeeNet server: {problem}", answered=True
            ) from problem

    def _exchange(
        self,
        line: Line,
        method: str,
        path: str,
        content: bytes | None,
        seconds: float,
        most_bytes: int = _MAX_REPLY_BYTES,
        gives_up: GivesUp | None = None,
    ) -> Answer:
        try:
            return line.exchange(
                method, path, content, most_bytes=most_bytes, seconds=seconds, gives_up=gives_up
            )
        except GivenUp as error:
            raise Abandoned(str(error)) from error
        except ExchangeFailed as error:
            raise ServerUnavailable(str(error)) from error


def _encode(body: Mapping[str, Any]) -> bytes:
    """Return the request's JSON. Raises `RequestRefused` for what no JSON can hold.

    A script's result may hold NaN or be nested too deep for Python's encoder; half of a surrogate
    pair is sent as an escape, which the server refuses with a sentence.
    """
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        message = f"this is no JSON ({type(error).__name__}: {error})"
        raise RequestRefused(400, ErrorCode.INVALID, message) from error


def _retry_wait(error: Exception) -> bool | float:
    """Return for stamina whether to retry, or the seconds that the server asked to wait."""
    if not isinstance(error, ServerUnavailable) or isinstance(error, Abandoned | DownloadTooSlow):
        return False
    wait = error.retry_after_seconds
    if wait is None:
        return True
    return wait if wait <= _MAX_DOWNLOAD_WAIT_SECONDS else False
