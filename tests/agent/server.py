"""A small real HTTP server that speaks the protocol of the agents, for the agent's tests.

It has no rules: a test sets the leases and the answers, and afterwards reads the requests that
arrived. The real server has its own tests.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from workers.calibration import CALIBRATION_PATH, CalibrationOrder
from workers.features import ALL_FEATURES
from workers.protocol import (
    API_PREFIX,
    CLAIM_PATH,
    ENROL_PATH,
    HEARTBEAT_PATH,
    LEAVE_PATH,
    ME_PATH,
    RESULTS_PATH,
    ErrorCode,
    HeartbeatAnswer,
    Lease,
    Verdict,
)

TEXT = b"To be, or not to be, that is the question.\n" * 50
WORKER_TOKEN = "xw_test"


@dataclass
class Reply:
    """One answer: status, JSON body or raw bytes, headers. ``cut`` drops the connection instead.

    ``drip_seconds`` is the wait before each byte of the body, or of the head with ``drips_head``; a
    dripping answer ends with its connection or with its server.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drip_seconds: float = 0.0
    drips_head: bool = False


def error(status: int, code: str, message: str = "no", **headers: str) -> Reply:
    """Return an error answer in the API's format; Retry_After becomes a header."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(status, {"code": code, "message": message}, named)


class AgentServer:
    """Tests set its leases, answers and scripted replies, and read the requests it received."""

    def __init__(self) -> None:
        self.url = ""
        self.heartbeat_seconds = 0.2
        self.wait_seconds = 0.2
        self.worker_state = "active"
        self.features = sorted(ALL_FEATURES)
        self.released_by_leaving = 0
        self.leases: list[Lease] = []
        self.answers: dict[str, HeartbeatAnswer] = {}
        self.order: CalibrationOrder | None = None  # until the agent has measured
        self.calibrations: list[Any] = []
        # The next requests whose path contains the key get these answers instead of normal ones.
        self.scripted: dict[str, list[Reply]] = defaultdict(list)
        # The next answers to the result of a lease, alone or in a list, instead of normal ones.
        self.of_lease: dict[str, list[Reply]] = defaultdict(list)
        self.files: dict[str, bytes] = {hashlib.sha256(TEXT).hexdigest(): TEXT}
        self.requests: list[tuple[str, str, Any]] = []
        self.arrivals: list[tuple[str, float]] = []  # path and monotonic time of each request
        self.results: dict[str, Any] = {}
        self.released: list[str] = []
        self.progress: dict[str, list[Any]] = defaultdict(list)
        self.ended = threading.Event()  # no answer drips on after the test
        self._granted: dict[str, list[Lease]] = {}
        self._lock = threading.Lock()

    def calls(self, path_part: str) -> list[Any]:
        """Return the bodies of the requests whose path contains ``path_part``."""
        with self._lock:
            return [body for _, path, body in self.requests if path_part in path]

    def handle(self, method: str, path: str, body: Any, authorization: str) -> Reply:
        """Record one request and return the answer to it."""
        with self._lock:
            self.requests.append((method, path, body))
            self.arrivals.append((path, time.monotonic()))
            for part, replies in self.scripted.items():
                if part in path and replies:
                    reply = replies.pop(0)
                    if not reply.cut:
                        return reply
                    self._normal(path, body)  # carried out, but the answer is lost
                    return reply
            if path != ENROL_PATH and authorization != f"Bearer {WORKER_TOKEN}":
                return error(401, ErrorCode.NOT_AUTHENTICATED, "Unknown token.")
            return self._normal(path, body)

    def _normal(self, path: str, body: Any) -> Reply:
        head, _, last = path.rpartition("/")
        if path == ENROL_PATH:
            name = body.get("name", "fleet-1")  # a fleet's server names its workers
            return Reply(201, {"worker_id": 1, "name": name, "token": WORKER_TOKEN})
        if path == ME_PATH:
            return Reply(200, {"worker_id": 1, "features": self.features})
        if path == LEAVE_PATH:
            return Reply(200, {"released": self.released_by_leaving, "message": "Good-bye."})
        if path == CLAIM_PATH:
            return self._claim(body)
        if path == HEARTBEAT_PATH:
            return self._heartbeat(body)
        if path == CALIBRATION_PATH:
            self.calibrations.append(body)
            self.order = None
            return Reply(200, {"message": "Stored."})
        if path == RESULTS_PATH:
            return Reply(200, {"results": [self._result_of_list(each) for each in body["results"]]})
        if last == "result":
            return self._result(head.rpartition("/")[2], body)
        if last == "release":
            self.released.append(head.rpartition("/")[2])
            return Reply(200, {"verdict": Verdict.RELEASED, "message": ""})
        if last in self.files:
            return Reply(200, self.files[last])
        return error(404, ErrorCode.NOT_FOUND, "There is nothing here.")

    def _result_of_list(self, result: Any) -> dict[str, Any]:
        submission = {key: value for key, value in result.items() if key != "lease_id"}
        reply = self._result(result["lease_id"], submission)
        return {"lease_id": result["lease_id"], "status": reply.status, **reply.body}

    def _result(self, lease_id: str, submission: Any) -> Reply:
        if replies := self.of_lease[lease_id]:
            return replies.pop(0)
        self.results[lease_id] = submission
        return Reply(200, {"verdict": Verdict.ACCEPTED, "message": "thanks"})

    def _claim(self, body: Any) -> Reply:
        if body["claim_id"] not in self._granted:
            self._granted[body["claim_id"]] = self.leases[: body["count"]]
            del self.leases[: body["count"]]
        granted = self._granted[body["claim_id"]]
        reply = {
            "leases": granted,
            "heartbeat_seconds": self.heartbeat_seconds,
            "wait_seconds": self.wait_seconds,
            "reason": "" if granted else "There is nothing to do.",
            "features": self.features,
        }
        return Reply(200, reply if self.order is None else {**reply, "calibrate": self.order})

    def _heartbeat(self, body: Any) -> Reply:
        answers = []
        for lease in body["leases"]:
            self.progress[lease["lease_id"]] += lease.get("progress", [])
            answer = self.answers.get(lease["lease_id"], HeartbeatAnswer.CONTINUE)
            answers.append({"lease_id": lease["lease_id"], "answer": answer, "reason": "test"})
        reply = {
            "leases": answers,
            "heartbeat_seconds": self.heartbeat_seconds,
            "worker_state": self.worker_state,
            "features": self.features,
        }
        return Reply(200, reply)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: AgentServer

    def _respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        path = self.path.removeprefix(API_PREFIX)
        authorization = self.headers.get("Authorization", "")
        reply = self.state.handle(self.command, path, body, authorization)
        if reply.cut:
            self.close_connection = True
            self.connection.close()
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        if reply.drips_head:
            self._drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000, reply.drip_seconds)
            return
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.drip_seconds:
            self._drip(content, reply.drip_seconds)
        else:
            with suppress(OSError):  # the client may have had enough
                self.wfile.write(content)

    def _drip(self, content: bytes, seconds: float) -> None:
        self.close_connection = True
        for letter in content:
            if self.state.ended.wait(seconds):
                return
            try:
                self.wfile.write(bytes([letter]))
                self.wfile.flush()
            except OSError:
                return

    do_GET = do_POST = do_PUT = _respond  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Keep the test output quiet."""


_Kind = TypeVar("_Kind", bound=AgentServer)


@contextmanager
def running_server(kind: type[_Kind] = AgentServer) -> Iterator[_Kind]:  # type: ignore[assignment]
    """Serve on a free port of the loopback address until the block ends."""
    state = kind()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def make_lease(source: bytes, **changes: Any) -> Lease:
    """Return a lease on the script ``source`` with a budget of one second and as much grace."""
    lease: dict[str, Any] = {
        "lease_id": str(uuid.uuid4()),
        "task_id": 7,
        "task_number": 0,
        "campaign_id": 1,
        "campaign_name": "test",
        "code_package_ref": "script_of_a_test",
        "code_sha256": hashlib.sha256(source).hexdigest(),
        "dataset": {
            "name": "hamlet",
            "sha256": hashlib.sha256(TEXT).hexdigest(),
            "size_bytes": len(TEXT),
        },
        "config": {"seed": 42, "lr": 0.001},
        "time_budget_seconds": 1.0,
        "kill_grace_seconds": 1.0,
        "lease_seconds": 45.0,
        "deadline_seconds": 120.0,
    }
    return lease | changes  # type: ignore[return-value]


def wait_until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Return as soon as ``condition`` holds; fail when it does not within ``seconds``."""
    pause, waited = threading.Event(), 0.0
    while not condition():
        assert waited < seconds, "the condition did not come true in time"
        pause.wait(0.05)
        waited += 0.05
