"""An agent's page without its agent: a board, rules and a log as a test sets them."""

from __future__ import annotations

import json
import logging
import socket
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, cast

from workers.agent.limits.decisions import Defaults
from workers.agent.limits.facts import Facts
from workers.agent.limits.limiter import Limiter
from workers.agent.log_tail import LogTail
from workers.agent.page.desk import Desk
from workers.agent.page.service import PageService
from workers.agent.pauses import Pauses
from workers.agent.status.board import StatusBoard, this_process
from workers.agent.status.history import History
from workers.agent.tasks.scripts import CodePolicy


class Answer(NamedTuple):
    """What the page's server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeWorker:
    """An agent's loop as far as the page reaches it: it notes what it was told."""

    def __init__(self, board: StatusBoard) -> None:
        self.board = board
        self.pauses = Pauses(board)
        self.told: list[str] = []

    def drain(self) -> None:
        self.told.append("drain")
        self.board.draining("running tasks are finished")

    def stop_now(self) -> None:
        self.told.append("stop")
        self.board.draining("its tasks go back to the server")


class PageBench:
    """A served page. The machine has 8 cores, of which 6.5 are free."""

    def __init__(self, root: Path, **overrides: Any) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.history = History(root / "history.jsonl")
        self.board = StatusBoard(this_process("0.2.0"), self.history)
        self.worker = FakeWorker(self.board)
        self.tail = LogTail()
        self.seconds = 1000.0
        limiter = Limiter(
            root,
            Defaults(cores=8, memory_bytes=2**34),
            overrides,
            probe=lambda _: Facts(1.5, 6.5),
        )
        machine = {"cores": 8, "memory_mib": 16384, "least_mib": 64, "slots": 8}
        self.desk = Desk(root, self.board, self.history, limiter, self.tail, machine)
        self.desk.attach(self.worker, CodePolicy())
        self.service = PageService(root, self.desk, seconds=lambda: self.seconds)

    def say(self, text: str) -> None:
        """Add a line to the log."""
        self.tail.handle(logging.LogRecord("xeenet", logging.INFO, "", 0, text, (), None))

    def open(self) -> tuple[str, str]:
        """Return the host and a ticket of the page, which is served from now on."""
        host, _, ticket = self.service.open().removeprefix("http://").partition("/#")
        return host, ticket

    def sign_in(self) -> tuple[str, str]:
        """Return the host of the page and a token."""
        host, ticket = self.open()
        answer = ask(host, "POST", "/api/session", {"ticket": ticket})
        return host, cast("str", answer.json["token"])


def ask(host: str, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
    """Send a request as the page does; headers can be changed, or left out with None."""
    content = b"" if body is None else json.dumps(body).encode()
    sent: dict[str, str | None] = {"Host": host, "Connection": "close"}
    if method != "GET":
        sent |= {"Origin": f"http://{host}", "Content-Type": "application/json"}
        sent["Content-Length"] = str(len(content))
    for name, value in headers.items():
        sent[name.replace("_", "-")] = value
    lines = [f"{name}: {value}" for name, value in sent.items() if value is not None]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
    return raw(host, head.encode("latin-1") + content)


def raw(host: str, content: bytes, *, end: bool = False) -> Answer:
    """Send bytes and return the answer; with ``end`` nothing more comes after them."""
    with closing(connect(host)) as connection:
        connection.sendall(content)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    status = int(first.split(" ")[1]) if first else 0
    return Answer(status, {name.lower(): value for name, _, value in pairs}, body)


def connect(host: str) -> socket.socket:
    """Return a connection to the page's server."""
    address, _, port = host.partition(":")
    return socket.create_connection((address, int(port)), timeout=60)
