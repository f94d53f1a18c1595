"""The page's addresses: a few files for everybody on this machine, the rest for who has a token."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from workers.agent.page.desk import Desk, Refused
from workers.agent.page.guard import refusal, token_of
from workers.agent.page.keys import Keys
from workers.agent.page.messages import BadRequest, Reply, Request, json_reply, problem

_ASSETS: Final = Path(__file__).with_name("assets")
# Nothing else is ever read from the disk: an address is looked up here, not in a folder.
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/talk.js": ("talk.js", "text/javascript; charset=utf-8"),
    "/draw.js": ("draw.js", "text/javascript; charset=utf-8"),
    "/rules.js": ("rules.js", "text/javascript; charset=utf-8"),
    "/hours.js": ("hours.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_SESSION: Final = "/api/session"
_MAX_RULES: Final = 32

Handler = Callable[[Request], Any]


class Site:
    """Answers the requests of one agent's page. ``host`` is where its server answers."""

    host = ""

    def __init__(
        self, keys: Keys, desk: Desk, on_seen: Callable[[], None], on_begun: Callable[[], None]
    ) -> None:
        self._keys = keys
        self._desk = desk
        self._on_seen = on_seen
        self._on_begun = on_begun
        self._handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/api/state"): lambda request: desk.state(_lines_seen(request)),
            ("GET", "/api/tasks"): lambda _: desk.tasks(),
            ("POST", "/api/pause"): self._pause,
            ("POST", "/api/resume"): self._do(lambda _: desk.resume()),
            ("POST", "/api/drain"): self._do(lambda _: desk.drain()),
            ("POST", "/api/stop"): self._do(lambda _: desk.stop()),
            ("POST", "/api/setup/plan"): lambda _: desk.plan_setup(),
            ("POST", "/api/setup"): self._do(lambda _: desk.set_up()),
            ("POST", "/api/rules"): self._rules,
            ("POST", "/api/rules/reset"): self._do(lambda _: desk.reset_rules()),
        }

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request. Raises `BadRequest`."""
        if (refused := refusal(request, self.host)) is not None:
            return refused
        if request.method == "GET" and request.path in _FILES:
            name, kind = _FILES[request.path]
            return Reply(HTTPStatus.OK, (_ASSETS / name).read_bytes(), kind)
        if (request.method, request.path) == ("POST", _SESSION):
            return self._begin_session(request)
        # The token first: a stranger does not even learn which addresses there are.
        if not self._keys.knows(token_of(request)):
            return problem(HTTPStatus.UNAUTHORIZED, "This page is no longer open here.")
        self._on_seen()
        handler = self._handlers.get((request.method, request.path))
        if handler is None:
            return problem(HTTPStatus.NOT_FOUND, "There is nothing here.")
        try:
            reply = json_reply(handler(request))
        except Refused as error:
            reply = problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except OSError as error:
            words = f"The state folder cannot be written: {error.strerror}."
            reply = problem(HTTPStatus.INSUFFICIENT_STORAGE, words)
        return Reply(reply.status, reply.content, is_known=True)

    def _begin_session(self, request: Request) -> Reply:
        """Exchange the ticket of an address for the token of a tab."""
        ticket = request.json().get("ticket")
        token = self._keys.exchange(ticket) if isinstance(ticket, str) else None
        if token is None:
            return problem(HTTPStatus.FORBIDDEN, "This address was used already, or is too old.")
        self._on_seen()
        self._on_begun()
        return json_reply({"token": token})

    def _do(self, act: Callable[[Request], None]) -> Handler:
        """Return a handler that does something and answers with the state after it."""

        def handle(request: Request) -> Any:
            act(request)
            return self._desk.state(_lines_seen(request))

        return handle

    def _pause(self, request: Request) -> Any:
        wanted = request.json()
        seconds, until = wanted.get("seconds"), wanted.get("until")
        if isinstance(until, str):
            self._desk.pause_until(until)
        elif seconds is None or (type(seconds) is int and abs(seconds) < 10**9):
            self._desk.pause(seconds)
        else:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "The length of the pause is no number.")
        return self._desk.state(_lines_seen(request))

    def _rules(self, request: Request) -> Any:
        rules = request.json().get("rules")
        if not isinstance(rules, dict) or not 0 < len(rules) <= _MAX_RULES:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "There are no rules in it.")
        if not all(isinstance(text, str) for text in rules.values()):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "A rule is a text.")
        self._desk.change_rules(rules)
        return self._desk.state(_lines_seen(request))


def _lines_seen(request: Request) -> int:
    """Return how many lines of the log the page has; -1 for none."""
    text = parse_qs(request.query).get("log", [""])[-1]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
