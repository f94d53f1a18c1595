"""Reads a search space from JSON data: what may be written, and the path of every error. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from campaigns.search.constraints import Constraint, InvalidConstraint
from campaigns.search.parameters import (
    MAX_MAGNITUDE,
    ChoiceParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    is_number,
    is_storable,
)

MAX_PARAMETERS: Final = 64
MAX_CHOICES: Final = 256
MAX_CONSTRAINTS: Final = 32
# Keys that the server adds to the params to make a config.
RESERVED_NAMES: Final = frozenset(
    {"seed", "time_budget_seconds", "dataset", "dataset_sha256", "dataset_urls"}
)
# Keys that a work budget sets. Stored spaces from before the work budgets may have them.
WORK_NAMES: Final = frozenset({"max_steps"})
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


class InvalidSearchSpace(ValueError):
    """The space is not valid; `errors` maps each field's path to its sentences."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(self.sentences()))

    def sentences(self, whole: str = "search space") -> list[str]:
        """Return each error after the path of its field; `whole` stands for the empty path."""
        return [f"{path or whole} {text}" for path, texts in self.errors.items() for text in texts]


class SpaceReader:
    """Collects every error of a space instead of stopping at the first.

    A stored space was read before, so it may have names that are reserved since.
    """

    def __init__(self, *, is_stored: bool = False) -> None:
        self.is_stored = is_stored
        self.errors: dict[str, list[str]] = {}
        # Counted separately: a name that stands twice in the list has two errors under one path.
        self.error_count = 0

    def read(self, body: object) -> tuple[dict[str, Parameter], tuple[Constraint, ...]]:
        """Return the parameters in their order, and the constraints. Raises InvalidSearchSpace."""
        if not isinstance(body, dict):
            raise InvalidSearchSpace({"": ['must be an object like {"parameters": […]}']})
        for key in body.keys() - {"parameters", "constraints"}:
            self._error(str(key), "is not known; use parameters and constraints")
        parameters = self._parameters(body.get("parameters"))
        constraints = self._constraints(body.get("constraints", []), set(parameters))
        if self.errors:
            raise InvalidSearchSpace(self.errors)
        return parameters, constraints

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
            if not isinstance(name, str) or not NAME.match(name):
                self._error(f"parameters.{index}.name", "must be letters, digits and _, at most 64")
            elif name in parsed:
                self._error(f"parameters.{name}.name", "stands in the list twice")
            elif name in RESERVED_NAMES:
                self._error(f"parameters.{name}.name", "is set by the server; choose another")
            elif name in WORK_NAMES and not self.is_stored:
                self._error(f"parameters.{name}.name", "is reserved: use a work budget in steps")
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
            if not is_number(value) or (kind is int and not isinstance(value, int)):
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
        elif not all(is_storable(value) for value in values):
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
