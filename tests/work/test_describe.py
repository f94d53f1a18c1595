"""What a script says of the cost of a step: read and never run, however hostile."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.scripts.source import MAX_SCRIPT_BYTES
from campaigns.work.describe import (
    InfeasibleCost,
    InvalidDescription,
    read_description,
)
from experiments import catalog

CONFIG = {"lr": 0.1, "n": 3, "name": "a"}
WORD = 'DESCRIBE = {"a": "lr"}\n'


def amounts(expression: str, **params: Any) -> dict[str, float]:
    """Return the amounts of a description with one term, a."""
    description = read_description(f"DESCRIBE = {{'a': {expression!r}}}".encode())
    assert description is not None
    return description.amounts(CONFIG | params)


def test_a_description_is_read_without_running_the_script() -> None:
    source = b'import no_such_package\nDESCRIBE: dict = {"a": "2 * n"\n" + n", "b": "lr"}\n'
    description = read_description(source)
    assert description is not None
    assert description.amounts(CONFIG) == {"a": 9.0, "b": 0.1}


@pytest.mark.parametrize(
    "source",
    ["", "describe = {'a': 'n'}", "# DESCRIBE = {'a': 'n'}", "print(DESCRIBE)", "DESCRIBE: dict"],
)
def test_a_script_may_say_nothing(source: str) -> None:
    assert read_description(source.encode()) is None


def test_the_catalog_has_a_coefficient_for_every_term_of_its_script() -> None:
    for experiment in catalog.all():
        description = read_description(catalog.script_source(experiment.name))
        assert description is not None
        assert experiment.calibration is not None
        assert description.terms.keys() == experiment.calibration.coefficients.keys()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("DESCRIBE = dict(a='n')", "a literal with at least one term"),
        ("DESCRIBE = {}", "a literal with at least one term"),
        ("DESCRIBE = {'a', 'b'}", "a literal with at least one term"),
        ("DESCRIBE = {**{'a': 'n'}}", "every term of DESCRIBE must be a text in quotes"),
        ("DESCRIBE = {NAME: 'n'}", "every term of DESCRIBE must be a text in quotes"),
        ("DESCRIBE = {'a': 'n', 'a': 'lr'}", "has the term a twice"),
        ("DESCRIBE = {'a': 3}", "a: it must be an expression in quotes"),
        ("DESCRIBE = {'a': b'n'}", "a: it must be an expression in quotes"),
        ("DESCRIBE = {'a': '2 *' + ' n'}", "a: it must be an expression in quotes"),
        ("DESCRIBE = {'a': '3'}", "a: it names no parameter"),
        ("DESCRIBE = {'a': 'n ** 2'}", "a: only + - * / // % can be computed with"),
        ("DESCRIBE = {'a': 'exp(n)'}", "a: Call is not allowed"),
        ("DESCRIBE = {'a': 'n.real'}", "a: Attribute is not allowed"),
        ("DESCRIBE = {'a': 'None * n'}", "a: None is not a number"),
        ("DESCRIBE = {'a': '2 n'}", "a: cannot be read: '2 n'"),
        (f"DESCRIBE = {{'a': '{'+' * 501}n'}}", "a: it is longer than 500 characters"),
        (
            f"DESCRIBE = {{'a': {'-' * 9000}1}}",
            "cannot be read: it is nested too deeply",
        ),
        (f"DESCRIBE = {{'a': '{'(' * 240}n{')' * 240}'}}", "a: cannot be read: '((("),
        ("DESCRIBE = {'class': 'n'}", "named like a variable"),
        ("DESCRIBE = {'a b': 'n'}", "named like a variable"),
        ("DESCRIBE = {'\uff41': 'n'}", "named like a variable, in ASCII"),
        (f"DESCRIBE = {{'{'a' * 51}': 'n'}}", "at most 50 characters"),
        (f"DESCRIBE = {dict.fromkeys(map('a{}'.format, range(17)), 'n')}", "more than 16 terms"),
        (WORD + WORD, "assigned more than once"),
        (WORD + "DESCRIBE['b'] = 'n'", "assign DESCRIBE alone"),
        ("COST = DESCRIBE = {'a': 'n'}", "assign DESCRIBE alone"),
        ("DESCRIBE, OTHER = {'a': 'n'}, 1", "assign DESCRIBE alone"),
        (WORD + "DESCRIBE |= {'b': 'n'}", "assign DESCRIBE once and do not change it"),
        (WORD + "def broken(", "the script cannot be read: '(' was never closed"),
        (WORD + "\0", "the script cannot be read: source code string cannot contain null"),
        (WORD + "x = " + "9" * 5000, "the script cannot be read: Exceeds the limit"),
    ],
)
def test_what_cannot_be_read_off_is_refused_with_what_to_change(source: str, words: str) -> None:
    for _ in range(2):  # the second answer is a kept one
        with pytest.raises(InvalidDescription) as refused:
            read_description(source.encode())
        assert words in str(refused.value)


def test_a_source_that_is_no_utf_8_is_refused_whatever_it_claims_to_be() -> None:
    with pytest.raises(InvalidDescription, match="no UTF-8 text: byte 28"):
        read_description(b"# -*- coding: latin-1 -*-\n# \xe9\n" + WORD.encode())


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("lr * depth * width", "a needs depth, width, which the config does not have"),
        ("n > 1", "a must give a number, not a bool"),
        ("name", "a must give a number, not a str"),
        ("(n, n)", "a must give a number, not a list"),
        ("name * 2", "a cannot be computed: arithmetic on a text"),
        ("1 / (n - 3)", "a cannot be computed: division by zero"),
        ("n - 4", "a is -1; it must be finite and at least 0"),
        ("1e308 * n * 1e308", "a is inf; it must be finite"),
        ("1e308 * n * 1e308 - 1e308 * n * 1e308", "a is nan; it must be finite"),
        ("big * big * lr", "a cannot be computed: "),
        ("big * big", "a cannot be computed: "),
    ],
)
def test_an_amount_that_is_no_cost_is_infeasible(expression: str, words: str) -> None:
    with pytest.raises(InfeasibleCost) as infeasible:
        amounts(expression, big=10**200)
    assert words in str(infeasible.value)


def test_a_term_may_cost_nothing() -> None:
    assert amounts("n - 3") == {"a": 0.0}


def test_a_source_of_very_many_statements_is_refused_unread() -> None:
    with pytest.raises(InvalidDescription, match="more than 20,000 lines and semicolons"):
        read_description((WORD + "a;\n" * 10_001).encode())


@given(st.text(alphabet="n+-*/%() 0123456789.eandotrif<=[],'", max_size=60))
def test_any_expression_gives_an_amount_or_is_refused(expression: str) -> None:
    with contextlib.suppress(InvalidDescription, InfeasibleCost):
        (amount,) = amounts(expression).values()
        assert 0 <= amount < math.inf


@given(st.text(alphabet="DESCRIBE={}:'\"n, \n()[]\\#", max_size=80))
def test_any_source_is_read_or_refused(source: str) -> None:
    with contextlib.suppress(InvalidDescription):
        assert read_description(f"{source}\n{WORD}".encode()) is not None


@pytest.mark.parametrize(
    "piece", ["a;", "a\n", "a\r", "a,", "f'{a}'", "1+", "a.", "not ", "-", "(", "lambda:", "'a'"]
)
def test_a_hostile_source_is_read_in_bounded_time(piece: str) -> None:
    source = WORD + piece * ((MAX_SCRIPT_BYTES - len(WORD) - 1) // len(piece)) + "a"
    began = time.process_time()
    with contextlib.suppress(InvalidDescription):
        read_description(source.encode())
    assert time.process_time() - began < 3
