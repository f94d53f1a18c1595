"""Why a request is refused, in the sentences that the API and the commands both give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rest_framework.exceptions import APIException, ValidationError


def refusal_text(error: APIException) -> str:
    """Return the first sentence of the error, after the path of its field: "seed: Must be …"."""
    if isinstance(error, ValidationError):
        path, sentence = next(sentences(error.detail), ("", "The body is not valid."))
        return f"{path}: {sentence}" if path else sentence
    return str(error.detail)


def sentences(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Flatten REST framework's nested errors.

    Yield a path and a sentence each, such as ("leases.0.lease_id", "Must be a valid UUID.").
    """
    if isinstance(detail, dict):
        for key, inner in detail.items():
            name = "" if key == "non_field_errors" else str(key)
            yield from sentences(inner, ".".join(filter(None, (path, name))))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from sentences(inner, f"{path}.{index}" if nested and path else path)
    else:
        yield path, str(detail)
