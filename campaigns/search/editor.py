"""The search space as rows of text that a person edits, before it is known to be a space. Pure.

A row keeps its key when it moves, so that a page can keep the focus and the errors at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from campaigns.search.space import MAX_CONSTRAINTS, MAX_PARAMETERS

TYPES: Final = ("float", "int", "choice")
SCALES: Final = ("linear", "log")
# One more than a space may have, so that the space itself says that it is too many.
MAX_ROWS: Final = MAX_PARAMETERS + 1
_TEXTS: Final = ("name", "type", "was", "low", "high", "scale", "decimals", "step", "values")
# A value, or a text in quotes (JSON's), up to the next comma.
_ITEM: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,]*)\s*(?:,|\Z)')


class PostedData(Protocol):
    """What Django's QueryDict offers: one value of a name, or all of them."""

    def get(self, name: str, default: str = ..., /) -> Any: ...
    def getlist(self, name: str, /) -> list[Any]: ...


@dataclass
class ParameterRow:
    """One parameter as typed. `was` is the type that the other fields were filled in for."""

    key: int
    name: str = ""
    type: str = "float"
    was: str = ""
    low: str = ""
    high: str = ""
    scale: str = "linear"
    decimals: str = ""
    step: str = ""
    values: str = ""
    # By field: the sentences about it.
    errors: dict[str, list[str]] = field(default_factory=dict)

    @property
    def html_id(self) -> str:
        """The start of the names and ids of its fields."""
        return f"p{self.key}"

    @property
    def sentences(self) -> list[str]:
        """What is wrong with the row, each with its field."""
        return [f"{name} {text}" for name, texts in self.errors.items() for text in texts]

    @property
    def is_blank(self) -> bool:
        """Whether nothing has been typed yet."""
        return not (self.name or self.low or self.high or self.values)

    def to_json(self) -> dict[str, Any]:
        """Return the parameter as JSON data, readable or not: `SearchSpace.parse` judges it."""
        body: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.type == "choice":
            return body | {"values": parse_values(self.values)}
        body |= {"low": parse_number(self.low), "high": parse_number(self.high)}
        if self.scale == "log":
            body["log"] = True
        if self.type == "float" and self.decimals:
            body["decimals"] = parse_number(self.decimals)
        if self.type == "int" and self.step:
            body["step"] = parse_number(self.step)
        return body

    def follow_type(self) -> None:
        """Carry over to a newly chosen type what it can use of the old one."""
        if "choice" not in {self.type, self.was} or self.was in {"", self.type}:
            pass
        elif self.type == "choice":
            self.values = ", ".join(dict.fromkeys(text for text in (self.low, self.high) if text))
        else:
            numbers = [one for one in parse_values(self.values) if type(one) in {int, float}]
            if numbers:
                self.low, self.high = json.dumps(min(numbers)), json.dumps(max(numbers))
        self.was = self.type


@dataclass
class ConstraintRow:
    """One constraint as typed."""

    key: int
    text: str = ""
    sentences: list[str] = field(default_factory=list)

    @property
    def html_id(self) -> str:
        """The start of the names and ids of its fields."""
        return f"c{self.key}"


class _Keyed(Protocol):
    key: int


Row = TypeVar("Row", bound=_Keyed)


@dataclass
class SpaceEditor:
    """All rows of a space, and what can be done to them."""

    parameters: list[ParameterRow] = field(default_factory=list)
    constraints: list[ConstraintRow] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def from_space(cls, space: Mapping[str, Any]) -> SpaceEditor:
        """Make rows of a space's JSON data: its form must hold, its values need not."""
        return cls(
            [_row_of(key, one) for key, one in enumerate(space["parameters"])],
            [ConstraintRow(key, one) for key, one in enumerate(space.get("constraints", []))],
        )

    @classmethod
    def from_post(cls, data: PostedData) -> SpaceEditor:
        """Read the rows of a posted form, in the order of its fields."""
        parameters = []
        for key in _keys(data.getlist("parameter"), MAX_ROWS):
            row = ParameterRow(key)
            for name in _TEXTS:
                setattr(row, name, str(data.get(f"p{key}-{name}", "")).strip())
            row.type = row.type if row.type in TYPES else "float"
            row.scale = row.scale if row.scale in SCALES else "linear"
            row.follow_type()
            parameters.append(row)
        constraints = [
            ConstraintRow(key, str(data.get(f"c{key}-text", "")).strip())
            for key in _keys(data.getlist("constraint"), MAX_CONSTRAINTS + 1)
        ]
        return cls(parameters, constraints)

    def to_json(self) -> dict[str, Any]:
        """Return the space as JSON data, readable or not; a constraint left empty is none."""
        return {
            "parameters": [row.to_json() for row in self.parameters],
            "constraints": [row.text for row in self.constraints if row.text],
        }

    def apply(self, verb: str, key: int) -> str:
        """Do what a button says and return the html_id or button to go on at, "" for the same.

        A verb or key that is not there changes nothing.
        """
        match verb:
            case "add-parameter":
                self.parameters.append(ParameterRow(_next_key(self.parameters)))
                return self.parameters[-1].html_id
            case "add-constraint":
                self.constraints.append(ConstraintRow(_next_key(self.constraints)))
                return self.constraints[-1].html_id
            case "remove-parameter":
                self.parameters = [row for row in self.parameters if row.key != key]
                return "add-parameter"
            case "remove-constraint":
                self.constraints = [row for row in self.constraints if row.key != key]
                return "add-constraint"
            case "up" | "down":
                self._move(key, -1 if verb == "up" else 1)
        return ""

    def _move(self, key: int, by: int) -> None:
        rows = self.parameters
        at = next((at for at, row in enumerate(rows) if row.key == key), None)
        if at is not None and 0 <= at + by < len(rows):
            rows[at], rows[at + by] = rows[at + by], rows[at]

    def place_errors(self, errors: Mapping[str, list[str]]) -> None:
        """Put the errors of `SearchSpace.parse` at the rows they speak of."""
        filled = [row for row in self.constraints if row.text]
        for path, sentences in errors.items():
            kind, _, rest = path.partition(".")
            name, _, key = rest.partition(".")
            if kind == "parameters" and rest:
                for row in self._rows_named(name):
                    row.errors.setdefault(key, []).extend(sentences)
            elif kind == "constraints" and name.isdigit() and int(name) < len(filled):
                filled[int(name)].sentences.extend(sentences)
            else:
                self.errors += [f"{path or 'The search space'} {one}." for one in sentences]

    def forgive_blank_rows(self) -> None:
        """Take the errors off rows that somebody has only just added."""
        for row in self.parameters:
            if row.is_blank:
                row.errors.clear()

    def _rows_named(self, name: str) -> list[ParameterRow]:
        """Return the rows of this name; the parser counts those whose name it cannot use."""
        named = [row for row in self.parameters if row.name == name]
        if not named and name.isdigit() and int(name) < len(self.parameters):
            named = [self.parameters[int(name)]]
        return named


def parse_number(text: str) -> int | float | str | None:
    """Return the number of a text, the text itself when it is none, None when it is empty."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def parse_values(text: str) -> list[Any]:
    """Read ``64, 128`` or ``cosine, "a, b", true``: JSON where it is JSON, else the bare text."""
    values: list[Any] = []
    at = 0
    while at < len(text) and (found := _ITEM.match(text, at)):
        at = found.end()
        if item := found.group(1).strip():
            values.append(_value_of(item))
    return values


def _value_of(item: str) -> Any:
    try:
        value = json.loads(item, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return item
    return value if isinstance(value, bool | int | float | str) else item


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def values_text(values: Iterable[Any]) -> str:
    """Write values so that `parse_values` reads them back: texts bare where that is safe."""
    return ", ".join(_item_of(value) for value in values)


def _item_of(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    bare = parse_values(value) == [value] and value.isprintable()
    return value if bare else json.dumps(value, ensure_ascii=False)


def _row_of(key: int, body: dict[str, Any]) -> ParameterRow:
    row = ParameterRow(key, name=str(body.get("name", "")))
    row.type = row.was = body["type"] if body.get("type") in TYPES else "float"
    for name in ("low", "high", "decimals", "step"):
        if body.get(name) is not None:
            setattr(row, name, str(body[name]))
    row.scale = "log" if body.get("log") is True else "linear"
    row.values = values_text(body.get("values", []))
    return row


def _keys(posted: list[Any], limit: int) -> list[int]:
    """Return the row keys of a form, each once, in order."""
    keys = (int(text) for text in posted if re.fullmatch(r"[0-9]{1,6}", str(text)))
    return list(dict.fromkeys(keys))[:limit]


def _next_key(rows: Iterable[Row]) -> int:
    return max((row.key for row in rows), default=-1) + 1
