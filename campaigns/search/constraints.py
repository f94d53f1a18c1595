"""Constraints of a search space: small boolean expressions over parameter names. Pure.

``d_model % n_heads == 0`` or ``lr < 0.01 or batch_size >= 64``. Parsed with `ast`, and made into
functions node by node from an allow-list, so an expression can compute but never call or reach
anything.
"""

from __future__ import annotations

import ast
import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_EXPRESSION_LENGTH: Final = 500
# Comparing or searching so many characters takes about as long as evaluating one node.
CHARACTERS_PER_STEP: Final = 64

Params = Mapping[str, Any]
Evaluation = Callable[[Params], Any]

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
    _evaluate: Evaluation = field(compare=False, repr=False)
    _nodes: int = field(compare=False, repr=False)
    # How often each name stands in the expression.
    _uses: Counter[str] = field(compare=False, repr=False)

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
        uses = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        if not uses:
            raise InvalidConstraint("it names no parameter")
        expressions = sum(isinstance(node, ast.expr) for node in nodes)
        return cls(text.strip(), frozenset(uses), _evaluation(tree), expressions, uses)

    def steps(self, text_lengths: Mapping[str, int]) -> int:
        """Return how many steps an evaluation takes at most.

        `text_lengths` is the length of the longest text that each parameter can be.
        """
        characters = sum(text_lengths.get(name, 0) * count for name, count in self._uses.items())
        return self._nodes + characters // CHARACTERS_PER_STEP

    def value(self, params: Params) -> Any:
        """Return what the expression gives for `params`, which must have every name in `names`.

        Raises ArithmeticError or TypeError where it cannot be computed (x / 0).
        """
        return self._evaluate(params)

    def holds(self, params: Params) -> bool:
        """Return whether `params` satisfy the expression; False when arithmetic fails (x / 0).

        Every name in `names` must be in `params`.
        """
        try:
            return bool(self._evaluate(params))
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


def _evaluation(node: ast.expr) -> Evaluation:
    """Return a function that evaluates an allowed node; a fraction of the cost of walking it."""
    match node:
        case ast.Constant():
            constant = node.value
            return lambda _params: constant
        case ast.Name():
            name = node.id
            return lambda params: params[name]
        case ast.Tuple() | ast.List():
            elements = [_evaluation(element) for element in node.elts]
            return lambda params: [evaluate(params) for evaluate in elements]
        case ast.BinOp():
            return _arithmetic(_BINARY[type(node.op)], node)
        case ast.UnaryOp():
            compute, operand = _UNARY[type(node.op)], _evaluation(node.operand)
            return lambda params: compute(operand(params))
        case ast.BoolOp():
            values = [_evaluation(value) for value in node.values]
            join = all if isinstance(node.op, ast.And) else any
            return lambda params: join(evaluate(params) for evaluate in values)
        case ast.Compare():
            return _comparison(node)
    raise InvalidConstraint(f"{type(node).__name__} cannot be evaluated")


def _arithmetic(compute: Callable[[Any, Any], Any], node: ast.BinOp) -> Evaluation:
    left, right = _evaluation(node.left), _evaluation(node.right)

    def evaluate(params: Params) -> Any:
        a, b = left(params), right(params)
        # Arithmetic is for numbers alone: "a" * 10**9 would exhaust the server's memory.
        if isinstance(a, str | list) or isinstance(b, str | list):
            raise TypeError("arithmetic on a text")
        return compute(a, b)

    return evaluate


def _comparison(node: ast.Compare) -> Evaluation:
    first = _evaluation(node.left)
    rest = [
        (_COMPARE[type(op)], _evaluation(comparator))
        for op, comparator in zip(node.ops, node.comparators, strict=True)
    ]

    def evaluate(params: Params) -> bool:
        left = first(params)
        for holds, comparator in rest:
            right = comparator(params)
            if not holds(left, right):
                return False
            left = right
        return True

    return evaluate
