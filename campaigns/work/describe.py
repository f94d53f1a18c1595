"""What a training script says of the cost of one step: its literal `DESCRIBE`. Pure.

The script is read, never run: `DESCRIBE = {"term": "expression over params", …}` at the top level
of the module. The expressions are in the language of a search space's constraints.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from campaigns.search.constraints import Constraint, InvalidConstraint

NAME: Final = "DESCRIBE"
MAX_TERMS: Final = 16


class InvalidDescription(ValueError):
    """The script's DESCRIBE is not of the allowed form; the message says what is wrong."""


class InfeasibleCost(ValueError):
    """A step of this config has no cost that is finite and above 0; the message says why."""


@dataclass(frozen=True)
class Description:
    """The terms of the cost of one step, each an amount that a config has of it."""

    terms: Mapping[str, Constraint]

    def amounts(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Return how much of each term one step of the config has.

        Raises InfeasibleCost for an amount that is not finite or below 0.
        """
        return {name: _amount(name, term, params) for name, term in self.terms.items()}


def _amount(name: str, term: Constraint, params: Mapping[str, Any]) -> float:
    if missing := sorted(term.names - params.keys()):
        raise InfeasibleCost(f"{name} needs {', '.join(missing)}, which the config does not have")
    try:
        amount = float(term.value(params))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InfeasibleCost(f"{name} cannot be computed: {error}") from error
    if not (math.isfinite(amount) and amount >= 0):
        raise InfeasibleCost(f"{name} is {amount:g}; it must be finite and at least 0")
    return amount


@lru_cache(maxsize=64)
def read_description(source: bytes) -> Description | None:
    """Return the script's description of its cost; None when it has none.

    Raises InvalidDescription.
    """
    if NAME.encode() not in source:
        return None
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidDescription(f"the script cannot be read: {error}") from error
    values = [value for statement in module.body if (value := _assigned(statement)) is not None]
    if not values:
        return None
    if len(values) > 1:
        raise InvalidDescription(f"{NAME} is assigned more than once")
    try:
        literal = ast.literal_eval(values[0])
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise InvalidDescription(f"{NAME} must be a literal, without names or calls") from error
    return _described(literal)


def _assigned(statement: ast.stmt) -> ast.expr | None:
    """Return what a statement assigns to DESCRIBE; None for any other statement."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == NAME:
            return value
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if name == NAME:
            return value
    return None


def _described(literal: object) -> Description:
    if not isinstance(literal, dict) or not literal:
        raise InvalidDescription(f'{NAME} must be like {{"term": "expression over params"}}')
    if len(literal) > MAX_TERMS:
        raise InvalidDescription(f"{NAME} has more than {MAX_TERMS} terms")
    terms: dict[str, Constraint] = {}
    for name, text in literal.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidDescription(f"a term of {NAME} must be named like a variable: {name!r}")
        try:
            terms[name] = Constraint.parse(text)
        except InvalidConstraint as error:
            raise InvalidDescription(f"{NAME}, {name}: {error}") from error
    return Description(terms)
