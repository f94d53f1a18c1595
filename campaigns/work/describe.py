"""What a training script says of the cost of one step: its literal `DESCRIBE`. Pure.

The script is read, never run: `DESCRIBE = {"term": "expression over params", …}` at the top level
of the module. The expressions are in the language of a search space's constraints.
"""

from __future__ import annotations

import ast
import keyword
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from campaigns.search.constraints import Constraint, InvalidConstraint

NAME: Final = "DESCRIBE"
MAX_TERMS: Final = 16
MAX_TERM_CHARACTERS: Final = 50
# Lines and semicolons: parsing a quarter of a MiB of "a;" takes a second.
MAX_STATEMENTS: Final = 20_000
_FORM: Final = f'{NAME} = {{"term": "expression over params", …}}'


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

        Raises InfeasibleCost for an amount that is no number, not finite or below 0.
        """
        return {name: _amount(name, term, params) for name, term in self.terms.items()}


def _amount(name: str, term: Constraint, params: Mapping[str, Any]) -> float:
    if missing := sorted(term.names - params.keys()):
        raise InfeasibleCost(f"{name} needs {', '.join(missing)}, which the config does not have")
    try:
        value = term.value(params)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InfeasibleCost(f"{name} must give a number, not a {type(value).__name__}")
        amount = float(value)
    except (ArithmeticError, TypeError, RecursionError) as error:
        raise InfeasibleCost(f"{name} cannot be computed: {error}") from error
    if not (math.isfinite(amount) and amount >= 0):
        raise InfeasibleCost(f"{name} is {amount:g}; it must be finite and at least 0")
    return amount


def read_description(source: bytes) -> Description | None:
    """Return the script's description of its cost; None when it has none.

    Raises InvalidDescription.
    """
    reading = _reading(source)
    if isinstance(reading, str):
        raise InvalidDescription(reading)
    return reading


@lru_cache(maxsize=64)
def _reading(source: bytes) -> Description | str | None:
    """Return the description, or what is wrong with it: both are kept, for both take long."""
    if NAME.encode() not in source:
        return None
    if sum(map(source.count, (b"\n", b"\r", b";"))) > MAX_STATEMENTS:
        return f"the script has more than {MAX_STATEMENTS:,} lines and semicolons"
    try:
        # What Python would warn of is the business of the script's author.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _described(source)
    except InvalidDescription as error:
        return str(error)


def _described(source: bytes) -> Description | None:
    try:
        module = ast.parse(source.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidDescription(f"the script is no UTF-8 text: byte {error.start}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or "it is nested too deeply"
        raise InvalidDescription(f"the script cannot be read: {reason}") from error
    values = [value for statement in module.body for value in _assigned(statement)]
    if not values:
        return None
    if len(values) > 1:
        raise InvalidDescription(f"{NAME} is assigned more than once")
    literal = values[0]
    if not isinstance(literal, ast.Dict) or not literal.keys:
        raise InvalidDescription(f"it must be a literal with at least one term: {_FORM}")
    if len(literal.keys) > MAX_TERMS:
        raise InvalidDescription(f"{NAME} has more than {MAX_TERMS} terms")
    terms: dict[str, Constraint] = {}
    for key, value in zip(literal.keys, literal.values, strict=True):
        name = _term_name(key)
        if name in terms:
            raise InvalidDescription(f"{NAME} has the term {name} twice")
        terms[name] = _term(name, value)
    return Description(terms)


def _assigned(statement: ast.stmt) -> Iterator[ast.expr]:
    """Yield what a statement of the module assigns to DESCRIBE.

    Raises InvalidDescription for an assignment whose outcome cannot be read off.
    """
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == NAME:
            yield value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name == NAME:
            yield value
        case ast.Assign(targets=targets):
            if any(_binds(target) for target in targets):
                raise InvalidDescription(f"assign {NAME} alone: {_FORM}")
        case ast.AugAssign(target=target) if _binds(target):
            raise InvalidDescription(f"assign {NAME} once and do not change it: {_FORM}")


def _binds(target: ast.expr) -> bool:
    """Return whether assigning to the target sets DESCRIBE or one of its terms."""
    match target:
        case ast.Name(id=name):
            return name == NAME
        case ast.Subscript(value=value):
            return _binds(value)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return any(map(_binds, elements))
    return False


def _term_name(key: ast.expr | None) -> str:
    match key:
        case ast.Constant(value=str() as name):
            usable = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
            if usable and len(name) <= MAX_TERM_CHARACTERS:
                return name
            raise InvalidDescription(
                f"a term of {NAME} must be named like a variable, in ASCII and at most "
                f"{MAX_TERM_CHARACTERS} characters, not {name[:MAX_TERM_CHARACTERS]!r}"
            )
    raise InvalidDescription(f"every term of {NAME} must be a text in quotes: {_FORM}")


def _term(name: str, value: ast.expr) -> Constraint:
    match value:
        case ast.Constant(value=str() as text):
            try:
                return Constraint.parse(text)
            except InvalidConstraint as error:
                raise InvalidDescription(f"{NAME}, {name}: {error}") from error
            except RecursionError as error:
                raise InvalidDescription(f"{NAME}, {name}: it is nested too deeply") from error
    raise InvalidDescription(
        f"{NAME}, {name}: it must be an expression in quotes, such as '2e-9 * batch_size'"
    )
