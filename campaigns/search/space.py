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

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from campaigns.search.constraints import Constraint, InvalidConstraint
from campaigns.search.parameters import (
    MAX_MAGNITUDE,
    ChoiceParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Value,
    is_number,
    is_storable,
)
from campaigns.search.steps import DRAW_STEPS, Steps, StepsSpent

MAX_PARAMETERS: Final = 64
MAX_CHOICES: Final = 256
MAX_CONSTRAINTS: Final = 32
# Draws per point before a space counts as unsatisfiable; DRAW_STEPS may end it before.
MAX_REJECTIONS: Final = 10_000
# How many constraints an error names, and how much of each.
_NAMED_CONSTRAINTS: Final = 3
_NAMED_CHARACTERS: Final = 100
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


class UnsatisfiableSpace(ValueError):
    """No point can be sampled: the constraints reject every draw, or a grid cannot be built."""


@dataclass(frozen=True)
class SearchSpace:
    """Parameters in drawing order and the constraints between them."""

    parameters: dict[str, Parameter]
    constraints: tuple[Constraint, ...] = field(default=())
    # What the draws of this object may cost together, beside the bound of each draw.
    budget: Steps | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, body: object) -> SearchSpace:
        """Read a space from JSON data. Raises InvalidSearchSpace with every error found."""
        return _Parser().parse(body)

    @classmethod
    def stored(cls, body: object) -> SearchSpace:
        """Read a space that `parse` has accepted before, without drawing from it once more."""
        return _Parser(is_stored=True).parse(body)

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

    def normalised(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Return a point of this space in one form: parameters in order, values of their types.

        1 and 1.0 are the same value of a float parameter, and -0.0 is 0.0. Names that the space
        does not have keep their values, after its own.
        """
        own = {
            name: parameter.normalised(params[name])
            for name, parameter in self.parameters.items()
            if name in params
        }
        return {**own, **{name: value for name, value in params.items() if name not in own}}

    @cached_property
    def json_text(self) -> str:
        """The space as one text, written once: the key of what is cached for it."""
        return json.dumps(self.to_json())

    @cached_property
    def constraint_steps(self) -> dict[str, int]:
        """How many steps each constraint takes at most, by its text."""
        lengths = {
            name: max(
                (len(value) for value in parameter.values if isinstance(value, str)), default=0
            )
            for name, parameter in self.parameters.items()
            if isinstance(parameter, ChoiceParameter)
        }
        return {constraint.text: constraint.steps(lengths) for constraint in self.constraints}

    @cached_property
    def point_steps(self) -> int:
        """How many steps it takes to draw a point without looking, and to judge it."""
        return len(self.parameters) + self._steps_of(self.constraints)

    @cached_property
    def _decided_by(self) -> dict[str, tuple[Constraint, ...]]:
        """The constraints that each choice decides together with parameters before it."""
        decided: dict[str, tuple[Constraint, ...]] = {}
        drawn: set[str] = set()
        for name in self.parameters:
            drawn.add(name)
            decided[name] = tuple(
                constraint for constraint in self.constraints if {name} < constraint.names <= drawn
            )
        return decided

    @cached_property
    def _own_values(self) -> dict[str, tuple[Value, ...]]:
        """The values of each choice that keep the constraints on it alone, as they become known."""
        return {}

    def with_budget(self, limit: int) -> SearchSpace:
        """Return this space, whose draws take at most so many steps together."""
        return replace(self, budget=Steps(limit))

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """Draw one point. Raises UnsatisfiableSpace when the constraints reject every draw.

        A choice is drawn among the values that the constraints allow, given the parameters drawn
        before it. A point that still breaks a constraint is drawn again as a whole. The steps of a
        draw are bounded, and StepsSpent is raised when `budget` does not pay for them.
        """
        steps, broken = Steps(DRAW_STEPS), Counter[str]()
        draws, found = 0, None
        try:
            while found is None and draws < MAX_REJECTIONS:
                found = self._draw_once(rng, steps, broken)
                draws += 1
        except StepsSpent:
            pass
        if self.budget is not None:
            self.budget.take(steps.used)
        if found is None:
            raise UnsatisfiableSpace(self._why_no_draw(draws, broken))
        return found

    def _draw_once(
        self, rng: random.Random, steps: Steps, broken: Counter[str]
    ) -> dict[str, Value] | None:
        """Draw a point; None when it breaks a constraint, which is then counted in `broken`."""
        params: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            steps.take(1)
            if not isinstance(parameter, ChoiceParameter):
                params[name] = parameter.draw(rng)
                continue
            values = self._allowed_values(name, parameter, params, steps)
            if not values:
                broken.update(
                    constraint.text for constraint in self.constraints if name in constraint.names
                )
                return None
            params[name] = rng.choice(values)
        steps.take(self._steps_of(self.constraints))
        for constraint in self.constraints:
            if not constraint.holds(params):
                broken[constraint.text] += 1
                return None
        return params

    def _allowed_values(
        self, name: str, parameter: ChoiceParameter, drawn: Mapping[str, Value], steps: Steps
    ) -> tuple[Value, ...]:
        """Return the values that keep the constraints, given the parameters drawn before."""
        if name not in self._own_values:
            own = [constraint for constraint in self.constraints if constraint.names == {name}]
            steps.take(len(parameter.values) * self._steps_of(own))
            self._own_values[name] = tuple(
                value
                for value in parameter.values
                if all(constraint.holds({name: value}) for constraint in own)
            )
        values, deciding = self._own_values[name], self._decided_by[name]
        if not deciding:
            return values
        steps.take(len(values) * self._steps_of(deciding))
        return tuple(
            value
            for value in values
            if all(constraint.holds({**drawn, name: value}) for constraint in deciding)
        )

    def _steps_of(self, constraints: Iterable[Constraint]) -> int:
        return sum(self.constraint_steps[constraint.text] for constraint in constraints)

    def _why_no_draw(self, draws: int, broken: Counter[str]) -> str:
        """Say which constraints rejected the draws, and what to loosen."""
        if not draws:
            return (
                f"The constraints take more than {DRAW_STEPS:,} steps for one draw. Shorten them, "
                "or give the choices that stand in them fewer values."
            )
        texts = [text for text, _ in broken.most_common(_NAMED_CONSTRAINTS)]
        named = ", ".join(
            text if len(text) <= _NAMED_CHARACTERS else f"{text[:_NAMED_CHARACTERS]}…"
            for text in texts
        )
        more = "" if draws == MAX_REJECTIONS else f" More would take over {DRAW_STEPS:,} steps."
        return (
            f"{draws:,} draws in a row broke a constraint: {named}. "
            f"Loosen the constraints or the ranges.{more}"
        )


class _Parser:
    """Collects every error of a space instead of stopping at the first.

    A stored space was parsed before, so it is not drawn from, and may have names that are reserved
    since.
    """

    def __init__(self, *, is_stored: bool = False) -> None:
        self.is_stored = is_stored
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
            if self.is_stored:
                return space
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
