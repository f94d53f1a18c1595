"""One HTTP exchange, bounded in bytes and in seconds whatever the other side sends.

The timeouts of HTTP libraries count from one received byte to the next, so an answer of one byte a
second, in its head or in its body, lasts for hours. Each exchange therefore runs in a thread of its
own: the caller waits for it as long as it wants to, and never longer.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, TypeVar

import httpx2

_TICK_SECONDS: Final = 0.2  # a caller that gives up is heard within this time
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
# gzip alone: codings that are stacked multiply what a small body becomes.
_ACCEPTED_CODING: Final = "gzip"
_CHUNK_BYTES: Final = 64 * 1024

T = TypeVar("T")
GivesUp = Callable[[], bool]


class ExchangeFailed(Exception):
    """There is no usable answer; the message says why."""


class OutOfTime(ExchangeFailed):
    """The answer was not complete within its time."""


class GivenUp(ExchangeFailed):
    """The caller did not want the answer any more."""


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Pool:
    """The connections of a line, until one of its exchanges hangs."""

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http
        self.users = 0  # exchanges under way
        self.is_retired = False
        self._sockets = weakref.WeakSet[socket.socket]()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Remember each socket that is opened; the HTTP library calls this."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._sockets.add(info["return_value"].get_extra_info("socket"))
            if self.is_retired:
                self.shut_down()

    def shut_down(self) -> None:
        """End all exchanges under way with an error.

        The sockets are shut down, not closed: a thread that still reads one could otherwise meet
        another connection under the same number.
        """
        for opened in list(self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(opened, socket.SHUT_RDWR)


class Line:
    """Connections for one kind of request. Thread-safe.

    Each kind has its own, because an exchange that hangs is ended with all its connections.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], tls: ssl.SSLContext) -> None:
        self._base_url = base_url
        self._headers = {**headers, "Accept-Encoding": _ACCEPTED_CODING}
        self._tls = tls
        self._lock = threading.Lock()
        self._pool: _Pool | None = None

    def close(self) -> None:
        """Close the connections; exchanges under way end with an error."""
        with self._lock:
            pool, self._pool = self._pool, None
            if pool is None:
                return
            pool.is_retired = True
            is_unused = pool.users == 0
        if is_unused:
            pool.http.close()
        else:
            pool.shut_down()  # the last exchange closes it

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        *,
        most_bytes: int,
        seconds: float,
        gives_up: GivesUp | None = None,
    ) -> Answer:
        """Send one request and return the whole answer. Raises `ExchangeFailed`."""

        def work() -> Answer:
            with self._open(method, path, body) as reply:
                content = bytearray()
                for chunk in bounded_chunks(reply, most_bytes):
                    content += chunk
                return Answer(reply.status_code, reply.headers, bytes(content))

        return self.bounded(work, seconds, gives_up)

    def stream(
        self,
        path: str,
        use: Callable[[httpx2.Response], T],
        seconds: float,
        gives_up: GivesUp | None = None,
    ) -> T:
        """Return what ``use`` makes of the answer to a GET. Raises `ExchangeFailed`.

        ``use`` runs in another thread and must read the body in bounded pieces.
        """

        def work() -> T:
            with self._open("GET", path, None) as reply:
                return use(reply)

        return self.bounded(work, seconds, gives_up)

    def bounded(self, work: Callable[[], T], seconds: float, gives_up: GivesUp | None) -> T:
        """Run ``work`` within its time; a late one loses its connections."""
        try:
            return within(seconds, work, gives_up)
        except (OutOfTime, GivenUp):
            self.close()  # ends the thread that still waits for the answer
            raise
        except httpx2.HTTPError as error:
            raise ExchangeFailed(_describe(error)) from error
        except (httpx2.InvalidURL, httpx2.StreamError, ValueError, RuntimeError) as error:
            # RuntimeError: the connections were closed meanwhile, or no thread could be started.
            raise ExchangeFailed(_describe(error)) from error

    @contextlib.contextmanager
    def _open(self, method: str, path: str, body: bytes | None) -> Iterator[httpx2.Response]:
        """Send a request; give its answer, of which the head has arrived."""
        with self._lock:
            if self._pool is None:
                self._pool = _Pool(self._new_client())
            pool = self._pool
            pool.users += 1
        try:
            request = pool.http.stream(
                method,
                path,
                content=body,
                headers={} if body is None else {"Content-Type": "application/json"},
                extensions={"trace": pool.trace},
            )
            with request as reply:
                yield reply
        finally:
            with self._lock:
                pool.users -= 1
                is_last = pool.is_retired and pool.users == 0
            if is_last:
                pool.http.close()

    def _new_client(self) -> httpx2.Client:
        return httpx2.Client(
            base_url=self._base_url,
            headers=self._headers,
            timeout=_TIMEOUT,
            verify=self._tls,
            follow_redirects=False,  # a redirect would carry the token somewhere else
            # A server that sets cookies with every answer would fill the memory.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )


def bounded_chunks(reply: httpx2.Response, most_bytes: int | None = None) -> Iterator[bytes]:
    """Yield the decompressed body in small pieces. Raises `ExchangeFailed`.

    Ends as soon as the body is larger than ``most_bytes``.
    """
    coding = reply.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"identity", _ACCEPTED_CODING, ""}:
        raise ExchangeFailed(f"the answer is encoded as {coding[:50]!r}, which was not asked for")
    size = 0
    for chunk in reply.iter_bytes(_CHUNK_BYTES):
        size += len(chunk)
        if most_bytes is not None and size > most_bytes:
            raise ExchangeFailed(f"the answer is larger than the {most_bytes:,} bytes allowed")
        yield chunk


def within(seconds: float, work: Callable[[], T], gives_up: GivesUp | None = None) -> T:
    """Return what ``work`` returns in a thread of its own, and raise what it raises.

    Raises `OutOfTime` after ``seconds`` and `GivenUp` as soon as ``gives_up`` returns True; the
    thread then goes on by itself. The thread is a daemon, so it does not keep the program alive.
    """
    done, results, errors = threading.Event(), list[T](), list[BaseException]()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 (raised again by the caller)
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="exchange", daemon=True).start()
    end = time.monotonic() + seconds
    while not done.is_set():
        left = end - time.monotonic()
        if left <= 0:
            raise OutOfTime(f"no complete answer within {seconds:.0f} s")
        if gives_up is None:
            done.wait(left)
        elif gives_up():
            raise GivenUp("the agent is about to end")
        else:
            done.wait(min(left, _TICK_SECONDS))
    if errors:
        raise errors[0]
    return results[0]


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
