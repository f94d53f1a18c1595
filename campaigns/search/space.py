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
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from campaigns.search.constraints import Constraint
from campaigns.search.parameters import (
    ChoiceParameter,
    Parameter,
    Value,
)
from campaigns.search.space_json import InvalidSearchSpace, SpaceReader
from campaigns.search.steps import DRAW_STEPS, Steps, StepsSpent

# Draws per point before a space counts as unsatisfiable; DRAW_STEPS may end it before.
MAX_REJECTIONS: Final = 10_000
# How many constraints an error names, and how much of each.
_NAMED_CONSTRAINTS: Final = 3
_NAMED_CHARACTERS: Final = 100


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
        space = cls(*SpaceReader().read(body))
        try:
            space.draw(random.Random(0))  # noqa: S311 - sampling, not secrecy
        except UnsatisfiableSpace as error:
            raise InvalidSearchSpace({"constraints": [str(error)]}) from error
        return space

    @classmethod
    def stored(cls, body: object) -> SearchSpace:
        """Read a space that `parse` has accepted before, without drawing from it once more."""
        return cls(*SpaceReader(is_stored=True).read(body))

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
