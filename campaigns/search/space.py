"""The typed search space: parse, validate, draw, contain. Pure standard library.

As JSON::

    {"parameters": [{"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": true},
                    {"name": "layers", "type": "int", "low": 2, "high": 8, "step": 2},
                    {"name": "d_model", "type": "choice", "values": [64, 128, 256]}],
     "constraints": ["d_model % layers == 0"]}

Parameters are drawn in the order of the list; a JSON object would not do, since PostgreSQL does not
keep the order of its keys. A float may have ``decimals`` (rounding after the draw). Errors name
their field by its path: ``parameters.lr.low``.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.search.constraints import Constraint, InvalidConstraint

MAX_PARAMETERS: Final = 64
MAX_CHOICES: Final = 256
MAX_CONSTRAINTS: Final = 32
# Larger whole numbers are not exact as floats, so a script in another language could read another
# value.
MAX_MAGNITUDE: Final = 2**53
# Draws per point before a space counts as unsatisfiable.
MAX_REJECTIONS: Final = 10_000
# Keys that the server adds to the params to make a config.
RESERVED_NAMES: Final = frozenset(
    {"seed", "time_budget_seconds", "dataset", "dataset_sha256", "dataset_urls"}
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")

Value = int | float | str | bool


class InvalidSearchSpace(ValueError):
    """The space is not valid; `errors` maps each field's path to its sentences."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(self.sentences()))

    def sentences(self, whole: str = "search space") -> list[str]:
        """Return each error after the path of its field; `whole` stands for the empty path."""
        return [f"{path or whole} {text}" for path, texts in self.errors.items() for text in texts]


class UnsatisfiableSpace(ValueError):
    """No point can be sampled: the constraints reject every draw, or a grid cannot be built."""


@dataclass(frozen=True)
class FloatParameter:
    """A real number in [low, high], uniform or log-uniform."""

    low: float
    high: float
    log: bool = False
    decimals: int | None = None

    def draw(self, rng: random.Random) -> float:
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        # exp(log(x)) is not always x, so a draw at an end of the range may fall just outside it.
        value = min(self.high, max(self.low, value))
        if self.decimals is not None:
            value = round(value, self.decimals)
        return value

    def contains(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "float", "low": self.low, "high": self.high}
        if self.log:
            body["log"] = True
        if self.decimals is not None:
            body["decimals"] = self.decimals
        return body


@dataclass(frozen=True)
class IntParameter:
    """A whole number low, low + step, … up to high; uniform, or log-uniform with step 1."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def draw(self, rng: random.Random) -> int:
        if self.log:
            # Widened by half a unit on both sides; otherwise rounding would halve the ends' share.
            value = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return min(self.high, max(self.low, round(value)))
        return self.low + self.step * rng.randrange((self.high - self.low) // self.step + 1)

    def contains(self, value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "int", "low": self.low, "high": self.high}
        if self.step != 1:
            body["step"] = self.step
        if self.log:
            body["log"] = True
        return body


@dataclass(frozen=True)
class ChoiceParameter:
    """One of the listed values, all equally likely."""

    values: tuple[Value, ...]

    def draw(self, rng: random.Random) -> Value:
        return rng.choice(self.values)

    def contains(self, value: object) -> bool:
        # Compare the types too: 1, 1.0 and True are equal in Python, but not for every script.
        return any(type(value) is type(choice) and value == choice for choice in self.values)

    def to_json(self) -> dict[str, Any]:
        return {"type": "choice", "values": list(self.values)}


Parameter = FloatParameter | IntParameter | ChoiceParameter


@dataclass(frozen=True)
class SearchSpace:
    """Parameters in drawing order and the constraints between them."""

    parameters: dict[str, Parameter]
    constraints: tuple[Constraint, ...] = field(default=())

    @classmethod
    def parse(cls, body: object) -> SearchSpace:
        """Read a space from JSON data. Raises InvalidSearchSpace with every error found."""
        return _Parser().parse(body)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON data that `parse` reads back to an equal space."""
        return {
            "parameters": [
                {"name": name, **parameter.to_json()} for name, parameter in self.parameters.items()
            ],
            "constraints": [constraint.text for constraint in self.constraints],
        }

    def problems(self, params: Mapping[str, Any]) -> list[str]:
        """Return why `params` are no point of this space, one sentence each; [] for a point."""
        problems = [f"{name} is missing" for name in self.parameters if name not in params]
        problems += [f"{name} is not a parameter" for name in params if name not in self.parameters]
        problems += [
            f"{name} = {params[name]!r} is outside its range"
            for name, parameter in self.parameters.items()
            if name in params and not parameter.contains(params[name])
        ]
        if not problems:
            problems = [
                f"breaks {constraint.text}"
                for constraint in self.constraints
                if not constraint.holds(params)
            ]
        return problems

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """Draw one point. Raises UnsatisfiableSpace when the constraints reject every draw.

        A choice is drawn among the values that the constraints allow, given the parameters drawn
        before it. A point that still breaks a constraint is drawn again as a whole.
        """
        for _ in range(MAX_REJECTIONS):
            params = self._draw_once(rng)
            if params is not None and self._keeps_constraints(params):
                return params
        raise UnsatisfiableSpace(
            f"{MAX_REJECTIONS} draws in a row broke a constraint: {self._constraint_texts()}. "
            "Loosen the constraints or the ranges."
        )

    def _draw_once(self, rng: random.Random) -> dict[str, Value] | None:
        params: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if isinstance(parameter, ChoiceParameter):
                values = self._allowed_values(name, parameter, params)
                if not values:
                    return None
                params[name] = rng.choice(values)
            else:
                params[name] = parameter.draw(rng)
        return params

    def _allowed_values(
        self, name: str, parameter: ChoiceParameter, drawn: Mapping[str, Value]
    ) -> tuple[Value, ...]:
        decidable = [
            constraint
            for constraint in self.constraints
            if name in constraint.names and constraint.names <= {*drawn, name}
        ]
        if not decidable:
            return parameter.values
        return tuple(
            value
            for value in parameter.values
            if all(constraint.holds({**drawn, name: value}) for constraint in decidable)
        )

    def _keeps_constraints(self, params: Mapping[str, Value]) -> bool:
        return all(constraint.holds(params) for constraint in self.constraints)

    def _constraint_texts(self) -> str:
        return ", ".join(constraint.text for constraint in self.constraints)


class _Parser:
    """Collects every error of a space instead of stopping at the first."""

    def __init__(self) -> None:
        self.errors: dict[str, list[str]] = {}
        # Counted separately: a name that stands twice in the list has two errors under one path.
        self.error_count = 0

    def parse(self, body: object) -> SearchSpace:
        if not isinstance(body, dict):
            raise InvalidSearchSpace({"": ['must be an object like {"parameters": […]}']})
        for key in body.keys() - {"parameters", "constraints"}:
            self._error(str(key), "is not known; use parameters and constraints")
        parameters = self._parameters(body.get("parameters"))
        constraints = self._constraints(body.get("constraints", []), set(parameters))
        if not self.errors:
            space = SearchSpace(parameters, constraints)
            try:
                space.draw(random.Random(0))  # noqa: S311 - sampling, not secrecy
            except UnsatisfiableSpace as error:
                self._error("constraints", str(error))
            else:
                return space
        raise InvalidSearchSpace(self.errors)

    def _error(self, path: str, sentence: str) -> None:
        self.errors.setdefault(path, []).append(sentence)
        self.error_count += 1

    def _parameters(self, body: object) -> dict[str, Parameter]:
        if not isinstance(body, list) or not 1 <= len(body) <= MAX_PARAMETERS:
            self._error("parameters", f"must be a list of 1 to {MAX_PARAMETERS} parameters")
            return {}
        parsed: dict[str, Parameter] = {}
        for index, item in enumerate(body):
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str) or not _NAME.match(name):
                self._error(f"parameters.{index}.name", "must be letters, digits and _, at most 64")
            elif name in parsed:
                self._error(f"parameters.{name}.name", "stands in the list twice")
            elif name in RESERVED_NAMES:
                self._error(f"parameters.{name}.name", "is set by the server; choose another")
            elif (parameter := self._parameter(f"parameters.{name}", item)) is not None:
                parsed[name] = parameter
        return parsed

    def _parameter(self, path: str, body: dict[str, Any]) -> Parameter | None:
        match body.get("type"):
            case "float":
                return self._float(path, body)
            case "int":
                return self._int(path, body)
            case "choice":
                return self._choice(path, body)
        self._error(f"{path}.type", "must be float, int or choice")
        return None

    def _known_keys(self, path: str, body: dict[str, Any], known: set[str]) -> None:
        for key in body.keys() - known - {"name", "type"}:
            self._error(f"{path}.{key}", f"is not known; use {', '.join(sorted(known))}")

    def _range(self, path: str, body: dict[str, Any], kind: type) -> bool:
        """Check low, high and log; return whether they are usable."""
        before = self.error_count
        what = "a whole number" if kind is int else "a finite number"
        for key in ("low", "high"):
            value = body.get(key)
            if not _is_number(value) or (kind is int and not isinstance(value, int)):
                self._error(f"{path}.{key}", f"must be {what}")
            elif abs(value) > MAX_MAGNITUDE:  # type: ignore[arg-type]
                self._error(f"{path}.{key}", "must be within ±2^53, where numbers are exact")
        if not isinstance(body.get("log", False), bool):
            self._error(f"{path}.log", "must be true or false")
        if self.error_count > before:
            return False
        if body["low"] > body["high"]:
            self._error(f"{path}.low", f"must not be above high ({body['high']})")
        if body.get("log") and body["low"] <= 0:
            self._error(f"{path}.low", "must be above 0 on a log scale")
        return self.error_count == before

    def _float(self, path: str, body: dict[str, Any]) -> FloatParameter | None:
        self._known_keys(path, body, {"low", "high", "log", "decimals"})
        decimals = body.get("decimals")
        if decimals is not None and not (type(decimals) is int and 0 <= decimals <= 15):
            self._error(f"{path}.decimals", "must be a whole number from 0 to 15")
            return None
        if not self._range(path, body, float):
            return None
        if decimals is not None and any(
            round(body[key], decimals) != body[key] for key in ("low", "high")
        ):
            # Otherwise rounding could move a draw out of its range.
            self._error(f"{path}.decimals", "must be enough to write low and high exactly")
            return None
        return FloatParameter(
            float(body["low"]), float(body["high"]), body.get("log", False), decimals
        )

    def _int(self, path: str, body: dict[str, Any]) -> IntParameter | None:
        self._known_keys(path, body, {"low", "high", "log", "step"})
        step, log = body.get("step", 1), body.get("log", False)
        if type(step) is not int or step < 1:
            self._error(f"{path}.step", "must be a whole number of at least 1")
        elif log is True and step != 1:
            self._error(f"{path}.step", "must be 1 on a log scale")
        elif self._range(path, body, int):
            return IntParameter(body["low"], body["high"], step, log)
        return None

    def _choice(self, path: str, body: dict[str, Any]) -> ChoiceParameter | None:
        self._known_keys(path, body, {"values"})
        values = body.get("values")
        if not isinstance(values, list) or not 1 <= len(values) <= MAX_CHOICES:
            self._error(f"{path}.values", f"must be a list of 1 to {MAX_CHOICES} values")
        elif not all(_is_storable(value) for value in values):
            self._error(
                f"{path}.values",
                "may hold numbers within ±2^53, true, false and texts of whole characters",
            )
        elif len({(type(value), value) for value in values}) < len(values):
            self._error(f"{path}.values", "holds a value twice")
        else:
            return ChoiceParameter(tuple(values))
        return None

    def _constraints(self, body: object, names: set[str]) -> tuple[Constraint, ...]:
        if not isinstance(body, list) or len(body) > MAX_CONSTRAINTS:
            self._error("constraints", f"must be a list of at most {MAX_CONSTRAINTS} texts")
            return ()
        parsed = []
        for index, text in enumerate(body):
            try:
                constraint = Constraint.parse(text)
            except InvalidConstraint as error:
                self._error(f"constraints.{index}", str(error))
                continue
            # After earlier errors, a parameter may be missing only because it could not be read.
            for name in [] if self.errors else sorted(constraint.names - names):
                self._error(f"constraints.{index}", f"speaks of {name}, which is no parameter")
            parsed.append(constraint)
        return tuple(parsed)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_storable(value: object) -> bool:
    """Whether every database can store a choice and every script reads back the same value."""
    if isinstance(value, str):
        # PostgreSQL's JSON accepts neither NUL nor half of a surrogate pair.
        return not re.search("[\x00\ud800-\udfff]", value)
    return isinstance(value, bool) or (_is_number(value) and abs(value) <= MAX_MAGNITUDE)  # type: ignore[arg-type]
