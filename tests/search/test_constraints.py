"""campaigns.search.constraints: boolean expressions over params; everything else is refused."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.search.constraints import MAX_EXPRESSION_LENGTH, Constraint, InvalidConstraint

PARAMS: dict[str, Any] = {"a": 4, "b": 2, "lr": 0.005, "kind": "adam", "on": True}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a % b == 0", True),
        ("a % 3 == 0", False),
        ("a + b * 2 == 8", True),
        ("(a + b) * 2 == 12", True),
        ("a / 8 == 0.5", True),
        ("a // 3 == 1", True),
        ("a - b - b == 0", True),
        ("-a == -4", True),
        ("+a > 0", True),
        ("-(-a) == +a", True),
        ("not on", False),
        ("not a == 3", True),
        ("on", True),
        ("1 < b < a", True),
        ("1 < a < b", False),
        ("a > 3 and b > 3", False),
        ("a > 3 or b > 3", True),
        ("kind == 'adam'", True),
        ("kind in ('sgd', 'adam')", True),
        ("kind not in ['sgd', 'adam']", False),
        ("'da' in kind", True),
        ("lr <= 5e-3", True),
        ("a != b", True),
        ("  a >= 4  ", True),
        ("True and a", True),
    ],
)
def test_an_expression_means_what_it_means_in_python(text: str, holds: bool) -> None:
    assert Constraint.parse(text).holds(PARAMS) is holds
    assert bool(eval(text.strip(), {}, PARAMS)) is holds


@pytest.mark.parametrize(
    "text",
    [
        "a / (b - 2) > 0",
        "a % (b - 2) == 0",
        "a // 0 == 1",
        "kind > a",
        "a in b",
        "kind * 1000000 == a",
        "kind % 3 == a",
        "[a] * 1000000 == b",
        "-kind == a",
        "lr * 1e308 * 1e308 * " + "9" * 400 + " < 0",
    ],
)
def test_arithmetic_that_fails_does_not_hold_and_does_not_raise(text: str) -> None:
    assert Constraint.parse(text).holds(PARAMS) is False


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a constraint must be a text such as"),
        ("   ", "a constraint must be a text such as"),
        (5, "a constraint must be a text such as"),
        (None, "a constraint must be a text such as"),
        ("a >", "cannot be read"),
        ("a = 4", "cannot be read"),
        ("a; b", "cannot be read"),
        ("a\x00 > 1", "cannot be read"),
        ("a == '\ud800'", "cannot be read"),
        ("(" * 250 + "a" + ")" * 250, "longer than"),
        ("a > 1 " + " " * MAX_EXPRESSION_LENGTH, "longer than 500 characters"),
        ("1 < 2", "it names no parameter"),
        ("True", "it names no parameter"),
        ("a ** b == 16", "only + - * / // % can be computed with"),
        ("a << 3 == 1", "only + - * / // % can be computed with"),
        ("a & b", "only + - * / // % can be computed with"),
        ("~a == -5", "only + - and not may stand before a value"),
        ("a is b", "only == != < <= > >= in, not in can compare"),
        ("a == None", "None is not a number, a text or a bool"),
        ("a == 1j", "1j is not a number, a text or a bool"),
        ("a == b'x'", "b'x' is not a number"),
        ("a == ...", "Ellipsis is not a number"),
        ("abs(a) > 1", "Call is not allowed"),
        ("__import__('os').system('true') == a", "is not allowed"),
        ("a.real == 4", "Attribute is not allowed"),
        ("a[0] == 1", "Subscript is not allowed"),
        ("[x for x in a] == b", "ListComp is not allowed"),
        ("(lambda: a) == b", "Lambda is not allowed"),
        ("a if b else lr", "IfExp is not allowed"),
        ("(c := a) > 1", "NamedExpr is not allowed"),
        ("f'{a}' == 'x'", "JoinedStr is not allowed"),
        ("{a} == {b}", "Set is not allowed"),
        ("a in {'x': 1}", "Dict is not allowed"),
        ("a in [*b]", "Starred is not allowed"),
    ],
)
def test_what_is_not_of_the_form_is_refused_with_the_reason(text: Any, sentence: str) -> None:
    with pytest.raises(InvalidConstraint) as refused:
        Constraint.parse(text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("text", ["-" * 498 + "a", "(" * 90 + "a" + ")" * 90, "not " * 120 + "a"])
def test_the_deepest_expressions_that_fit_are_evaluated(text: str) -> None:
    assert Constraint.parse(text).holds(PARAMS) is True


def test_a_constraint_knows_the_parameters_it_speaks_of() -> None:
    assert Constraint.parse("a % b == 0 or kind == 'a'").names == {"a", "b", "kind"}


def test_constraints_are_equal_by_their_text() -> None:
    assert Constraint.parse(" a > 1 ") == Constraint.parse("a > 1")
    assert Constraint.parse("a > 1") != Constraint.parse("a > 2")
