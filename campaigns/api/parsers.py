"""The only parser of request bodies: JSON that every database and every number type can hold.

Python's own parser accepts NaN, 1e400 and duplicate keys. It also lets through values that
PostgreSQL refuses with an error (NUL, lone surrogates) or that no column holds (integers beyond
64 bits). All of these are mistakes of the client, so they are answered with 400 before any other
code sees the body.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, Final, NoReturn, Protocol

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
# Objects and lists together: each costs memory and time. The fullest heartbeat has a quarter of it.
MAX_CONTAINERS: Final = 50_000
MAX_INTEGER: Final = 2**63 - 1
# Longer than any number that a program prints, and below Python's own limit on digits, which raises
# another error.
MAX_INTEGER_DIGITS: Final = 30
MAX_NUMBER_CHARACTERS: Final = 64
# Both take linear time on any input. The repetitions of _TEXT are possessive, so they never
# backtrack, and an unclosed text runs to the end of the body.
_TEXT: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STORABLE_ESCAPE: Final = re.compile(
    r"\\(?:[^u]|u(?!0000|[dD][89a-fA-F])....|u[dD][89abAB]..\\u[dD][c-fC-F]..)", re.DOTALL
)
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - set(_STEPS))


class PayloadTooLarge(APIException):
    """The body is larger than the server reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "payload_too_large"

    def __init__(self, max_bytes: int = MAX_BODY_BYTES) -> None:
        super().__init__(f"The body is larger than {max_bytes} bytes; send less at once.")


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class StrictJSONParser(BaseParser):
    """Parse a JSON object; raise ParseError (400) or PayloadTooLarge (413) for anything else."""

    media_type = "application/json"
    max_bytes = MAX_BODY_BYTES

    def parse(
        self,
        stream: _Readable,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        body = stream.read(self.max_bytes + 1)
        if len(body) > self.max_bytes:
            raise PayloadTooLarge(self.max_bytes)
        return parse_strict_json(body)


class AlwaysJSON(DefaultContentNegotiation):
    """Answer in JSON whatever the Accept header says: there is no other renderer."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


def parse_strict_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises ParseError with one sentence about the mistake."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: byte {error.start} is wrong.") from error
    _check_nesting(text)
    _check_escapes(text)
    try:
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite_float,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_without_duplicates,
        )
    except json.JSONDecodeError as error:
        raise ParseError(
            f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    if not isinstance(value, dict):
        raise ParseError("The body must be a JSON object.")
    return value


def _check_nesting(text: str) -> None:
    """Refuse a body that is nested too deep or has too many objects and lists.

    Only brackets outside of texts are counted; that costs less than parsing the body first.
    """
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    # On bytes this takes a tenth of the time. UTF-8 writes other characters without ASCII bytes, so
    # none of their bytes looks like a bracket.
    brackets = _TEXT.sub("", text).encode().translate(None, _NO_BRACKETS)
    # Follow no more brackets than are allowed: a longer body is refused below in any case.
    allowed = brackets[: 2 * MAX_CONTAINERS]
    if max(accumulate(map(_STEPS.__getitem__, allowed)), default=0) > MAX_DEPTH:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise ParseError(f"The body has more than {MAX_CONTAINERS} objects and lists.")


def _check_escapes(text: str) -> None:
    r"""Refuse the escapes of NUL (\u0000) and of lone surrogates.

    Unescaped surrogates are refused by the decoder, an unescaped NUL by the JSON parser.
    """
    if "\\u" in text and "\\u" in _STORABLE_ESCAPE.sub("", text):
        raise ParseError("A text holds a NUL character or half of a surrogate pair.")


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
