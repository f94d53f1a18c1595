"""A proxy that simulates network faults between agents and web servers.

It is an HTTP/1.1 proxy on the loopback address, in its own thread. It passes each connection to the
next backend that answers. Tests request faults by the path of a request, so they are deterministic.
A `Hold` is a pause point: the exchange waits there until the test continues it.

Every 2xx response of a web server to a submitted result is recorded before it is passed on. So the
record shows what the server acknowledged, whether or not the agent received it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LONGEST_HEAD_BYTES = 64 * 1024
_BACKLOG = 1024


class Fault(Enum):
    """What may happen to one exchange."""

    DROP_REQUEST = "the connection breaks before the server receives the request"
    CUT_REPLY = "the server answered, and the connection breaks before the reply"
    HALF_REPLY = "the connection breaks in the middle of the reply"
    HOLD_REQUEST = "the request waits on its way to the server"
    HOLD_REPLY = "the server answered, and the reply waits on its way"


@dataclass
class Hold:
    """One exchange that waits: `reached` is set once it does; `drop` or `let_go` ends the wait."""

    reached: threading.Event = field(default_factory=threading.Event)
    _goes_on: Future[bool] = field(default_factory=Future)

    def let_go(self) -> None:
        """Pass the exchange on."""
        self._goes_on.set_result(True)

    def drop(self) -> None:
        """Break the connection instead."""
        self._goes_on.set_result(False)

    async def wait(self) -> bool:
        """Set `reached`, wait, and return whether the exchange goes on."""
        self.reached.set()
        return await asyncio.wrap_future(self._goes_on)


@dataclass(frozen=True)
class Acknowledgement:
    """A 2xx response to a submitted result: its lease and the server's verdict."""

    lease_id: str
    verdict: str


@dataclass
class _Rule:
    path_part: str
    fault: Fault
    times: int
    hold: Hold | None = None


@dataclass(frozen=True)
class _Message:
    """A request or reply: the words of its first line, its header fields, and its bytes."""

    first_line: list[str]
    fields: dict[str, str]
    head: bytes
    body: bytes


class Proxy:
    """A context manager that runs the proxy; all methods may be called from any thread.

    The file ``acks`` collects the acknowledgements as JSON lines.
    """

    def __init__(self, backends: Sequence[int], acks: Path | None = None) -> None:
        self.port = 0
        self.statuses: Counter[int] = Counter()
        self.bad_answers: list[str] = []  # every 5xx except a 503 with Retry-After
        self.arrivals: list[float] = []  # times of requests, by the monotonic clock
        self.delay_seconds = 0.0  # delays every reply
        self._backends = list(backends)
        self._turn = 0
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._acks = acks.open("a", buffering=1) if acks else None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listener: socket.socket | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server URL for agents."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._acks:
            self._acks.close()

    # Methods for tests and the nemesis.

    def break_next(self, path_part: str, fault: Fault, times: int = 1) -> None:
        """Inject `fault` into the next `times` exchanges whose path contains `path_part`."""
        with self._lock:
            self._rules.append(_Rule(path_part, fault, times))

    def hold_next(self, path_part: str, fault: Fault) -> Hold:
        """Make the next exchange of this path wait at `HOLD_REQUEST` or `HOLD_REPLY`."""
        hold = Hold()
        with self._lock:
            self._rules.append(_Rule(path_part, fault, 1, hold))
        return hold

    def heal(self) -> None:
        """Drop all pending faults and listen again."""
        with self._lock:
            self._rules.clear()
        self.delay_seconds = 0.0
        self.accept()

    def refuse(self) -> None:
        """Break open connections and refuse new ones, like a machine without a server."""
        self._call(self._stop_listening())
        self.cut()

    def accept(self) -> None:
        """Listen (again) on the same port."""
        self._call(self._listen())

    def cut(self) -> None:
        """Break every open connection."""
        self._call(self._abort_all())

    # Everything below runs in the event loop's thread, apart from `_call`.

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    # Not asyncio.start_server: it neither serves nor closes a connection that arrives while the
    # server is being closed.
    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=_BACKLOG)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            self._loop.add_reader(self._listener, self._take, self._listener)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _take(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client has gone away meanwhile
        task = self._loop.create_task(self._open(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=LONGEST_HEAD_BYTES)
        if self._listener is None:  # `refuse` was called meanwhile
            writer.transport.abort()
            return
        await self._serve(reader, writer)

    async def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _close(self) -> None:
        await self._stop_listening()
        await asyncio.sleep(0)  # let new tasks start, so that they can be cancelled
        await self._abort_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                request = await _read_message(reader)
                if upstream is None:
                    upstream = await self._connect()
                if not await self._exchange(request, writer, upstream):
                    return
        except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            return  # one side has closed its connection: close the other as well
        finally:
            self._writers.discard(writer)
            writer.close()
            if upstream is not None:
                self._writers.discard(upstream[1])
                upstream[1].transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the next backend that listens. Raises OSError when none does."""
        problem: OSError = ConnectionRefusedError()
        for _ in self._backends:
            self._turn += 1
            port = self._backends[self._turn % len(self._backends)]
            try:
                upstream = await asyncio.open_connection("127.0.0.1", port)
            except OSError as error:
                problem = error
                continue
            self._writers.add(upstream[1])
            return upstream
        raise problem

    async def _exchange(
        self,
        request: _Message,
        writer: asyncio.StreamWriter,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bool:
        """Pass one request on and its reply back; return whether to keep the connection."""
        self.arrivals.append(time.monotonic())
        rule = self._rule_for(request)
        fault = rule.fault if rule else None
        if fault is Fault.DROP_REQUEST:
            writer.transport.abort()
            return False
        if fault is Fault.HOLD_REQUEST and not await _waited(rule):
            writer.transport.abort()
            return False
        upstream[1].write(request.head + request.body)
        reply = await _read_message(upstream[0])
        self._note(request, reply)
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if fault is Fault.CUT_REPLY or (fault is Fault.HOLD_REPLY and not await _waited(rule)):
            writer.transport.abort()
            return False
        if fault is Fault.HALF_REPLY:
            whole = reply.head + reply.body
            writer.write(whole[: len(reply.head) + len(reply.body) // 2])
            await writer.drain()
            return False
        writer.write(reply.head + reply.body)
        await writer.drain()
        closes = {request.fields.get("connection", ""), reply.fields.get("connection", "")}
        return "close" not in {value.lower() for value in closes}

    def _rule_for(self, request: _Message) -> _Rule | None:
        path = request.first_line[1]
        with self._lock:
            for rule in self._rules:
                if rule.path_part in path:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                    return rule
        return None

    def _note(self, request: _Message, reply: _Message) -> None:
        method, path, status = *request.first_line[:2], int(reply.first_line[1])
        self.statuses[status] += 1
        may_retry = status == 503 and reply.fields.get("retry-after")
        if status >= 500 and not may_retry:
            self.bad_answers.append(f"{method} {path}: {status}, {reply.body[:200]!r}")
        if method == "PUT" and path.endswith("/result") and status < 300:
            self._note_ack(path.split("/")[-2], json.loads(reply.body))
        if method == "POST" and path.endswith("/leases/results") and status < 300:
            for answer in json.loads(reply.body)["results"]:
                if answer["status"] < 300:
                    self._note_ack(answer["lease_id"], answer)
                if answer["status"] >= 500 and answer["status"] != 503:
                    self.bad_answers.append(f"{method} {path}: {answer!r:.200}")

    def _note_ack(self, lease_id: str, answer: dict[str, Any]) -> None:
        if self._acks:
            ack = {"lease_id": lease_id, "verdict": answer["verdict"]}
            self._acks.write(json.dumps(ack) + "\n")


def read_acks(path: Path) -> list[Acknowledgement]:
    """Return the acknowledgements in a proxy's file, in the order of the responses."""
    return [Acknowledgement(**json.loads(line)) for line in path.read_text().splitlines()]


async def _waited(rule: _Rule | None) -> bool:
    assert rule is not None
    assert rule.hold is not None
    return await rule.hold.wait()


async def _read_message(reader: asyncio.StreamReader) -> _Message:
    """Read one message with a Content-Length. Raises OSError, and EOFError if it is incomplete."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    assert "transfer-encoding" not in fields, "agents and their endpoints send whole bodies"
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return _Message(first.split(" ", 2), fields, head, body)
