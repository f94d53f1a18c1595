"""The only parser of request bodies: JSON that every database and every number type can hold.

Python's own parser takes NaN, 1e400 and duplicate keys, and passes on what PostgreSQL refuses with
an error (NUL, lone surrogates) or what no column holds (integers beyond 64 bits). All of that is
the client's mistake, so it is answered as one, before anything else sees the body.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn, Protocol

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**63 - 1
# Longer than any number a program prints; also keeps Python's own limit on digits out of reach.
MAX_INTEGER_DIGITS: Final = 30
MAX_NUMBER_CHARACTERS: Final = 64
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class PayloadTooLarge(APIException):
    """The body is larger than the server reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body is larger than {MAX_BODY_BYTES} bytes; send less at once."
    default_code = "payload_too_large"


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class StrictJSONParser(BaseParser):
    """Parse a JSON object; raise ParseError (400) or PayloadTooLarge (413) for anything else."""

    media_type = "application/json"

    def parse(
        self,
        stream: _Readable,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge
        return parse_strict_json(body)


class AlwaysJSON(DefaultContentNegotiation):
    """Answer in JSON whatever the Accept header asks: there is nothing else to give."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


def parse_strict_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises ParseError with one sentence of what is wrong."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: byte {error.start} is wrong.") from error
    try:
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite_float,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_without_duplicates,
        )
    except RecursionError as error:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.") from error
    except json.JSONDecodeError as error:
        raise ParseError(
            f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    if not isinstance(value, dict):
        raise ParseError("The body must be a JSON object.")
    # Raw NUL bytes and surrogates fail above; only an escape can still smuggle one in.
    _check_tree(value, check_texts="\\u" in text)
    return value


def _integer(literal: str) -> int:
    if len(literal.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise ParseError(f"A whole number has more than {MAX_INTEGER_DIGITS} digits.")
    number = int(literal)
    if not -MAX_INTEGER - 1 <= number <= MAX_INTEGER:
        raise ParseError(f"The whole number {literal} does not fit in 64 bits.")
    return number


def _finite_float(literal: str) -> float:
    if len(literal) > MAX_NUMBER_CHARACTERS:
        raise ParseError(f"A number has more than {MAX_NUMBER_CHARACTERS} characters.")
    number = float(literal)
    if not math.isfinite(number):
        raise ParseError(f"The number {literal} is too large.")
    return number


def _refuse_constant(literal: str) -> NoReturn:
    raise ParseError(f"{literal} is not a JSON number; send null where there is no value.")


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ParseError(f"The key {key[:100]!a} stands twice in one object.")
            seen.add(key)
    return result


def _check_tree(root: dict[str, Any], *, check_texts: bool) -> None:
    """Walk the value without recursion: its depth is what is in question."""
    waiting: list[tuple[Any, int]] = [(root, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
            waiting.extend((child, depth + 1) for child in _children(value))
        elif check_texts and isinstance(value, str) and _UNSTORABLE.search(value):
            raise ParseError("A text holds a NUL character or half of a surrogate pair.")


def _children(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    else:
        yield from value
