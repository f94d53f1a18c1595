"""A small web server on loopback that nobody can hold up: few connections, each with a deadline."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from workers.agent.page.messages import BadRequest, Reply, Request, problem
from workers.agent.page.wire import Wire

ADDRESS: Final = "127.0.0.1"
MAX_CONNECTIONS: Final = 24
# From the beginning of a connection, or from the last reply on it, to the next whole request.
STRANGER_SECONDS: Final = 5.0
KNOWN_SECONDS: Final = 90.0  # a hidden tab asks once a minute
_REPLY_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.2  # how soon `stop` is noticed
_PART_BYTES: Final = 16 * 1024

log = logging.getLogger("xeenet.page")

Answer = Callable[[Request], Reply]


class _Gone(Exception):
    """The other side has left, or took too long."""


class LoopbackServer(socketserver.ThreadingTCPServer):
    """Answers requests to 127.0.0.1 at a port that the system chooses.

    When there are too many connections, the oldest one without a token has to go: a program that
    opens hundreds of them cannot keep the owner out.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, answer: Answer) -> None:
        super().__init__((ADDRESS, 0), _Connection)
        self.answer = answer
        self._open: dict[socket.socket, bool] = {}  # oldest first: whether it is known
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_LOOK_SECONDS,), name="page", daemon=True
        )

    @property
    def host(self) -> str:
        """Where it answers, as a Host header names it."""
        return f"{ADDRESS}:{self.server_address[1]}"

    def start(self) -> None:
        """Answer from now on, in threads."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more, and end all connections."""
        if self._thread.is_alive():
            self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._open:
                _end(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Let a thread read what comes, if there is room or can be made."""
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                oldest = next((other for other, known in self._open.items() if not known), request)
                _end(oldest)
                self._open.pop(oldest, None)
            self._open[request] = False
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def recognise(self, request: socket.socket) -> None:
        """Note that this connection belongs to somebody with a token."""
        with self._lock:
            if request in self._open:
                self._open[request] = True


class _Connection(socketserver.BaseRequestHandler):
    """Reads requests and writes replies, one after the other, until somebody is too slow."""

    request: socket.socket
    server: LoopbackServer

    def handle(self) -> None:
        self._wire = Wire()
        self._is_known = False
        with contextlib.suppress(_Gone, OSError):
            while self._answer_one():
                pass

    def _answer_one(self) -> bool:
        """Answer one request; return whether another may follow."""
        patience = KNOWN_SECONDS if self._is_known else STRANGER_SECONDS
        self._deadline = time.monotonic() + patience
        try:
            request = self._read_request()
            reply = self.server.answer(request)
        except BadRequest as error:
            # What follows on this connection cannot be told apart from the rest of it.
            self._send(problem(error.status, str(error)), keeps_open=False)
            return False
        except (_Gone, OSError):
            raise
        except Exception:  # a bug costs the one who asked an answer, and nobody else anything
            log.exception("a request to the page failed")
            failure = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The agent failed at this.")
            self._send(failure, keeps_open=False)
            return False
        if reply.is_known and not self._is_known:
            self._is_known = True
            self.server.recognise(self.request)
        self._send(reply)
        return self._wire.may_go_on()

    def _read_request(self) -> Request:
        while (request := self._wire.next_request()) is None:
            self._wire.receive(self._receive())
        return request

    def _receive(self) -> bytes:
        """Return what arrives next. The deadline is of the whole request, not of each part."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _Gone
        self.request.settimeout(left)
        part = self.request.recv(_PART_BYTES)
        if not part:
            raise _Gone
        return part

    def _send(self, reply: Reply, *, keeps_open: bool = True) -> None:
        self.request.settimeout(_REPLY_SECONDS)  # of the whole reply
        self.request.sendall(self._wire.encode(reply, keeps_open=keeps_open))


def _end(connection: socket.socket) -> None:
    """Wake whoever reads from a connection: there is nothing more."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
