"""The search space as rows of text that a person edits, before it is validated. Pure.

A row keeps its key when it moves, so that a page can keep the focus and the errors with the row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from campaigns.search.lined import MAX_NUMBER_CHARACTERS
from campaigns.search.space_json import MAX_CONSTRAINTS, MAX_PARAMETERS

TYPES: Final = ("float", "int", "choice")
SCALES: Final = ("linear", "log")
# One more than a space may have, so that `SearchSpace.parse` reports that there are too many.
MAX_ROWS: Final = MAX_PARAMETERS + 1
_TEXTS: Final = ("name", "type", "was", "low", "high", "scale", "decimals", "step", "values")
# A value, or a text in quotes (JSON's), up to the next comma.
_ITEM: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,]*)\s*(?:,|\Z)')

_NUMBER: Final = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")


class PostedData(Protocol):
    """The methods of Django's QueryDict used here: one value of a name, or all of them."""

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
    # Sentences about a field, by the field's name.
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
        """Return the parameter as JSON data, valid or not: `SearchSpace.parse` checks it."""
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
        """When the type has changed, carry over what the new type can use of the old fields."""
        if "choice" not in {self.type, self.was} or self.was in {"", self.type}:
            pass
        elif self.type == "choice":
            self.values = ", ".join(dict.fromkeys(text for text in (self.low, self.high) if text))
        else:
            numbers = [value for value in parse_values(self.values) if type(value) in {int, float}]
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


class _KeyedRow(Protocol):
    key: int


Row = TypeVar("Row", bound=_KeyedRow)


@dataclass
class SpaceEditor:
    """All rows of a space, and what can be done to them."""

    parameters: list[ParameterRow] = field(default_factory=list)
    constraints: list[ConstraintRow] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def from_space(cls, space: Mapping[str, Any]) -> SpaceEditor:
        """Make rows of a space's JSON data: its structure must be valid, its values need not."""
        return cls(
            [_row_of(key, body) for key, body in enumerate(space["parameters"])],
            [ConstraintRow(key, text) for key, text in enumerate(space.get("constraints", []))],
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
        """Return the space as JSON data, valid or not, without the empty constraints."""
        return {
            "parameters": [row.to_json() for row in self.parameters],
            "constraints": [row.text for row in self.constraints if row.text],
        }

    def apply(self, verb: str, key: int) -> str:
        """Do what a button says; return the html_id or button to focus next, "" to keep the focus.

        An unknown verb or key changes nothing.
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
        index = next((index for index, row in enumerate(rows) if row.key == key), None)
        if index is not None and 0 <= index + by < len(rows):
            rows[index], rows[index + by] = rows[index + by], rows[index]

    def place_errors(self, errors: Mapping[str, list[str]]) -> None:
        """Attach the errors of `SearchSpace.parse` to the rows that they are about."""
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
                self.errors += [f"{path or 'The search space'} {text}." for text in sentences]

    def forgive_blank_rows(self) -> None:
        """Clear the errors of blank rows: a person has just added them and typed nothing yet."""
        for row in self.parameters:
            if row.is_blank:
                row.errors.clear()

    def _rows_named(self, name: str) -> list[ParameterRow]:
        """Return the rows of this name, or the row of this number.

        The parser numbers rows whose name it cannot use.
        """
        named = [row for row in self.parameters if row.name == name]
        if not named and name.isdigit() and int(name) < len(self.parameters):
            named = [self.parameters[int(name)]]
        return named


def parse_number(text: str) -> int | float | str | None:
    """Return the number in a text; a text that is no number stays, an empty one becomes None."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def parse_values(text: str) -> list[Any]:
    """Read ``64, 128`` or ``cosine, "a, b", true``: JSON where it is JSON, else the bare text."""
    values: list[Any] = []
    position = 0
    while position < len(text) and (match := _ITEM.match(text, position)):
        position = match.end()
        if item := match.group(1).strip():
            values.append(_value_of(item))
    return values


def _value_of(item: str) -> Any:
    if _NUMBER.fullmatch(item) and len(item) > MAX_NUMBER_CHARACTERS:
        # Endless, so that the parser refuses it; as a text it would be drawn.
        return math.inf
    try:
        value = json.loads(item, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return item
    return value if isinstance(value, bool | int | float | str) else item


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def values_text(values: Iterable[Any]) -> str:
    """Write values so that `parse_values` reads them back; quote a text only where necessary."""
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
