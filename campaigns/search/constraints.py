"""Constraints of a search space: small boolean expressions over parameter names. Pure.

``d_model % n_heads == 0`` or ``lr < 0.01 or batch_size >= 64``. Parsed with `ast` and evaluated
by walking an allow-list of nodes, so an expression can compute but never call or reach anything.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_EXPRESSION_LENGTH: Final = 500

_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: Final[dict[type[ast.unaryop], Callable[[Any], Any]]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


class InvalidConstraint(ValueError):
    """The expression does not have the allowed form; the message says what is wrong."""


@dataclass(frozen=True)
class Constraint:
    """One parsed expression, its source text and the names of its parameters."""

    text: str
    names: frozenset[str]
    _tree: ast.expr = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: object) -> Constraint:
        """Parse an expression. Raises InvalidConstraint."""
        if not isinstance(text, str) or not text.strip():
            raise InvalidConstraint("a constraint must be a text such as 'd_model % n_heads == 0'")
        if len(text) > MAX_EXPRESSION_LENGTH:
            raise InvalidConstraint(f"it is longer than {MAX_EXPRESSION_LENGTH} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise InvalidConstraint(f"cannot be read: {text!r}") from error
        nodes = list(ast.walk(tree))
        for node in nodes:
            _refuse_unless_allowed(node)
        names = frozenset(node.id for node in nodes if isinstance(node, ast.Name))
        if not names:
            raise InvalidConstraint("it names no parameter")
        return cls(text.strip(), names, tree)

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Return whether `params` satisfy the expression; False when arithmetic fails (x / 0).

        Every name in `names` must be in `params`.
        """
        try:
            return bool(_evaluate(self._tree, params))
        except (ArithmeticError, TypeError):
            return False


def _refuse_unless_allowed(node: ast.AST) -> None:
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, int | float | str | bool):
            raise InvalidConstraint(f"{node.value!r} is not a number, a text or a bool")
    elif isinstance(node, ast.BinOp):
        if type(node.op) not in _BINARY:
            raise InvalidConstraint("only + - * / // % can be computed with")
    elif isinstance(node, ast.UnaryOp):
        if type(node.op) not in _UNARY:
            raise InvalidConstraint("only + - and not may stand before a value")
    elif isinstance(node, ast.Compare):
        if any(type(op) not in _COMPARE for op in node.ops):
            raise InvalidConstraint("only == != < <= > >= in, not in can compare")
    elif not isinstance(
        node,
        ast.Name
        | ast.Load
        | ast.BoolOp
        | ast.boolop
        | ast.unaryop
        | ast.operator
        | ast.cmpop
        | ast.Tuple
        | ast.List,
    ):
        kind = type(node).__name__
        raise InvalidConstraint(f"{kind} is not allowed; use names, numbers, comparisons, and/or")


def _evaluate(node: ast.expr, params: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return params[node.id]
        case ast.Tuple() | ast.List():
            return [_evaluate(element, params) for element in node.elts]
        case ast.BinOp():
            left, right = _evaluate(node.left, params), _evaluate(node.right, params)
            # Arithmetic is for numbers alone: "a" * 10**9 would exhaust the server's memory.
            if isinstance(left, str | list) or isinstance(right, str | list):
                raise TypeError("arithmetic on a text")
            return _BINARY[type(node.op)](left, right)
        case ast.UnaryOp():
            return _UNARY[type(node.op)](_evaluate(node.operand, params))
        case ast.BoolOp():
            values = (_evaluate(value, params) for value in node.values)
            return all(values) if isinstance(node.op, ast.And) else any(values)
        case ast.Compare():
            left = _evaluate(node.left, params)
            for op, comparator in zip(node.ops, node.comparators, strict=True):
                right = _evaluate(comparator, params)
                if not _COMPARE[type(op)](left, right):
                    return False
                left = right
            return True
    raise TypeError(f"{type(node).__name__} cannot be evaluated")
