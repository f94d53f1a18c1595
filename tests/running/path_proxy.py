"""A reverse proxy that puts a server below a path of its own host, as nginx and Caddy do."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

PREFIX: Final = "/lab/xeenet"
ELSEWHERE: Final = b"another program of this host"
# Headers of one connection, which are not passed on.
_OF_THE_CONNECTION: Final = frozenset({"connection", "transfer-encoding", "content-length"})


@contextmanager
def path_proxy(upstream_port: int, *, strips: bool) -> Iterator[str]:
    """Run a proxy on a free port; yield its origin, without the path.

    With `strips` the server sees paths without the prefix, otherwise the paths of the browser.
    Everything outside of the prefix is answered with 404: it belongs to other programs.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            if not self.path.startswith(f"{PREFIX}/"):
                self.send(404, [("Content-Type", "text/plain")], ELSEWHERE)
                return
            path = self.path.removeprefix(PREFIX) if strips else self.path
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in _OF_THE_CONNECTION - {"content-length"}
            }
            headers |= {"X-Forwarded-For": self.client_address[0], "X-Forwarded-Proto": "http"}
            line = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=60)
            try:
                with suppress(BrokenPipeError, ConnectionResetError):
                    line.request(self.command, path, body, headers)
                # A server that refuses a body answers before it has read it whole.
                reply = line.getresponse()
                content = reply.read()
                self.send(reply.status, reply.getheaders(), content)
            except (OSError, http.client.HTTPException):
                self.send(502, [], b"the server is away")
            finally:
                line.close()

        def send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Write no request lines into the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
