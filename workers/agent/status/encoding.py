"""The status as JSON and back. Pure. The reader believes nothing of a file but its types."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from workers.agent.status.model import Status
from workers.protocol import is_number

# A later schema may mean something else by the same words, so it is not read.
SCHEMA: Final = 1


class Unreadable(ValueError):
    """These bytes are no status that this version can read; the message says why."""


def as_dict(status: Status, written_at: float) -> dict[str, Any]:
    """Return the status as plain values for JSON, with its state in a word."""
    return {
        "schema": SCHEMA,
        "written_at": round(written_at, 3),
        "state": str(status.state),
        **dataclasses.asdict(status),
    }


def encode(status: Status, written_at: float) -> bytes:
    """Return the status as a JSON object in ASCII. Raises ValueError for what JSON cannot hold."""
    return json.dumps(as_dict(status, written_at), allow_nan=False).encode("ascii")


def decode(content: bytes) -> tuple[Status, float]:
    """Return the status in a file and when it was written. Raises `Unreadable`."""
    try:
        data = json.loads(content.decode("utf-8"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no JSON") from error
    if not isinstance(data, dict) or "schema" not in data:
        raise Unreadable("it is no status of an agent")
    schema = data["schema"]
    if type(schema) is not int or schema < 1:
        raise Unreadable("it names no schema")
    if schema > SCHEMA:
        raise Unreadable(
            f"a newer agent wrote it (schema {schema}, this program reads {SCHEMA}): "
            "update this program"
        )
    if not is_number(data.get("written_at")):
        raise Unreadable("it does not say when it was written")
    return read(Status, data, "status"), float(data["written_at"])


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def read(kind: Any, value: Any, place: str) -> Any:
    """Return plain values in their type. Raises `Unreadable` for a value of another type.

    Unknown keys are ignored: a newer agent of the same schema may write more.
    """
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, place)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), value, place)
    if origin is tuple:
        return _tuple(get_args(kind), value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise Unreadable(f"{place} is no object")
        inner = get_args(kind)[1]
        return {key: read(inner, item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise Unreadable(f"{place} is none of its words")
        return kind(value)
    if kind is float and is_number(value):
        return float(value)
    if type(value) is not kind:
        raise Unreadable(f"{place} has the wrong type")
    return value


def _dataclass(kind: type, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise Unreadable(f"{place} is no object")
    hints, known = _hints(kind), {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            known[field.name] = read(hints[field.name], value[field.name], f"{place}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Unreadable(f"{place}.{field.name} is missing")
    return kind(**known)


def _one_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    problem = Unreadable(f"{place} has the wrong type")
    for kind in kinds:
        if kind is types.NoneType:
            continue
        try:
            return read(kind, value, place)
        except Unreadable as error:
            problem = error
    raise problem


def _tuple(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    if not isinstance(value, list | tuple):
        raise Unreadable(f"{place} is no list")
    if kinds[-1] is Ellipsis:
        return tuple(read(kinds[0], item, place) for item in value)
    if len(value) != len(kinds):
        raise Unreadable(f"{place} has the wrong length")
    return tuple(read(kind, item, place) for kind, item in zip(kinds, value, strict=True))


def _refused(literal: str) -> Any:
    raise ValueError(f"{literal} is no JSON")
