"""Requests and replies of the page's server, as plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


class BadRequest(ValueError):
    """These bytes are no request that is answered. ``status`` is of the reply."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request; names of headers are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the object in the body. Raises `BadRequest`."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "The body is no JSON.") from None
        if not isinstance(value, dict):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "The body is no JSON object.")
        return value


@dataclass(frozen=True)
class Reply:
    """What the server answers. ``is_known``: to somebody with a token, who may stay connected."""

    status: HTTPStatus
    content: bytes
    kind: str = "application/json"
    is_known: bool = False


def json_reply(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """Return a reply with a value as JSON. Raises ValueError for what JSON cannot hold."""
    return Reply(status, json.dumps(value, allow_nan=False).encode("ascii"))


def problem(status: HTTPStatus, words: str) -> Reply:
    """Return a reply that says in a sentence why it is none."""
    return json_reply({"problem": words}, status)
