"""Serves an agent's page as long as somebody asks for it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers.agent.browser import forget
from workers.agent.page.asking import ANSWER_FILE, REQUEST_FILE, take_request, write_answer
from workers.agent.page.keys import Keys
from workers.agent.stop_request import STOP_FILE, is_asked_to_stop

if TYPE_CHECKING:
    from workers.agent.page.desk import Desk
    from workers.agent.page.server import LoopbackServer

_LOOK_SECONDS: Final = 0.5
# After the last viewer, or after an address that nobody opened.
LINGER_SECONDS: Final = 600.0

log = logging.getLogger("xeenet.page")


class PageService:
    """Listens to those who ask for the page in the state folder ``root``, and serves it to them.

    Somebody may ask there for the agent's end, too.

    Nothing is imported, no port is open and no thread but this one runs until then.
    """

    def __init__(
        self,
        root: Path,
        desk: Desk,
        *,
        linger_seconds: float = LINGER_SECONDS,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._desk = desk
        self._linger_seconds = linger_seconds
        self._seconds = seconds
        self._keys = Keys(seconds)
        self._server: LoopbackServer | None = None
        self._seen_at = 0.0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page-asked", daemon=True)

    @property
    def is_serving(self) -> bool:
        """Whether the page can be reached now."""
        return self._server is not None

    def start(self) -> None:
        """Listen from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Serve nothing more."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(2 * _LOOK_SECONDS)
        self._end_serving()
        for name in (REQUEST_FILE, ANSWER_FILE, STOP_FILE):
            with contextlib.suppress(OSError):
                (self._root / name).unlink()

    def open(self) -> str:
        """Return an address that opens the page once; serve it from now on. Raises OSError."""
        from workers.agent.page.server import LoopbackServer
        from workers.agent.page.site import Site

        with self._lock:
            self._seen()
            if self._server is None:
                site = Site(self._keys, self._desk, on_seen=self._seen, on_begun=self._forget)
                server = LoopbackServer(site.answer)
                site.host = server.host
                server.start()
                self._server = server
                log.debug("the page is served on %s", server.host)
            return f"http://{self._server.host}/#{self._keys.new_ticket()}"

    def still_opens(self, address: str) -> bool:
        """Return whether an address of `open` was not used yet and is not too old."""
        return self._keys.still_opens(address.rpartition("#")[2])

    def look(self) -> None:
        """Answer whoever asks now, and end serving when nobody has looked for a while."""
        if is_asked_to_stop(self._root):
            self._desk.stop()
        if request_id := take_request(self._root):
            write_answer(self._root, request_id, self.open())
        elif self._server is not None and self._seconds() - self._seen_at > self._linger_seconds:
            self._end_serving()
            log.debug("the page is not served any more: nobody looks at it")

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception:  # the page must not end because of one request for it
                log.exception("the page cannot be served now")

    def _seen(self) -> None:
        self._seen_at = self._seconds()

    def _forget(self) -> None:
        """Remove what led a browser to the page: it is there, or its address opens nothing."""
        forget(self._root)

    def _end_serving(self) -> None:
        with self._lock:
            server, self._server = self._server, None
            self._keys = Keys(self._seconds)
        if server is not None:
            server.stop()
            self._forget()
