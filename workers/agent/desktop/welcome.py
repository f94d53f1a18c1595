"""Serves the page of the first start, under the same guard as the worker's own page."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from workers.agent import page
from workers.agent.desktop.first_start import FirstStart, Refused
from workers.agent.page.guard import refusal, token_of
from workers.agent.page.keys import Keys
from workers.agent.page.messages import Reply, Request, json_reply, problem
from workers.agent.page.server import LoopbackServer

_OWN: Final = Path(__file__).with_name("assets")
_OF_THE_PAGE: Final = Path(page.__file__).with_name("assets")
_FILES: Final = {
    "/": (_OWN / "welcome.html", "text/html; charset=utf-8"),
    "/welcome.css": (_OWN / "welcome.css", "text/css; charset=utf-8"),
    "/welcome.js": (_OWN / "welcome.js", "text/javascript; charset=utf-8"),
    "/page.css": (_OF_THE_PAGE / "page.css", "text/css; charset=utf-8"),
    "/talk.js": (_OF_THE_PAGE / "talk.js", "text/javascript; charset=utf-8"),
    "/draw.js": (_OF_THE_PAGE / "draw.js", "text/javascript; charset=utf-8"),
    "/icon.svg": (_OF_THE_PAGE / "icon.svg", "image/svg+xml"),
}
_SESSION: Final = "/api/session"

Handler = Callable[[dict[str, Any]], Any]


class Welcome:
    """The site of one first start. ``open`` gives an address for it."""

    def __init__(self, first_start: FirstStart, on_begun: Callable[[], None]) -> None:
        self._keys = Keys()
        self._on_begun = on_begun
        self._server = LoopbackServer(self.answer)
        self.host = self._server.host
        self._handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/api/begin"): lambda _: first_start.begin(),
            ("GET", "/api/progress"): lambda _: first_start.progress().as_dict(),
            ("POST", "/api/again"): lambda _: first_start.again(),
            ("POST", "/api/check"): lambda body: first_start.check(
                _text(body, "text"), _text(body, "server")
            ),
            ("POST", "/api/join"): lambda body: first_start.join(
                _text(body, "text"), _text(body, "server"), _text(body, "name")
            ),
        }

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()

    def stop(self) -> None:
        """Answer nothing more."""
        self._server.stop()

    def open(self) -> str:
        """Return an address that opens the page once."""
        return f"http://{self.host}/#{self._keys.new_ticket()}"

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request. Raises `BadRequest`."""
        if (refused := refusal(request, self.host)) is not None:
            return refused
        if request.method == "GET" and request.path in _FILES:
            path, kind = _FILES[request.path]
            return Reply(HTTPStatus.OK, path.read_bytes(), kind)
        if (request.method, request.path) == ("POST", _SESSION):
            token = self._keys.exchange(_text(request.json(), "ticket"))
            if token is None:
                return problem(HTTPStatus.FORBIDDEN, "This address was used already.")
            self._on_begun()
            return json_reply({"token": token})
        if not self._keys.knows(token_of(request)):
            return problem(HTTPStatus.UNAUTHORIZED, "This page is no longer open here.")
        handler = self._handlers.get((request.method, request.path))
        if handler is None:
            return problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
        try:
            reply = json_reply(handler(request.json() if request.method == "POST" else {}))
        except Refused as error:
            reply = problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except OSError as error:
            words = f"The worker cannot be started: {error.strerror}."
            reply = problem(HTTPStatus.UNPROCESSABLE_ENTITY, words)
        return Reply(reply.status, reply.content, is_known=True)


def _text(body: dict[str, Any], name: str) -> str:
    """Return a text of a request; anything else counts as none."""
    value = body.get(name, "")
    return value if isinstance(value, str) else ""
