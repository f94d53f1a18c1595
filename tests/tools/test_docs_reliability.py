"""Every test and guard that docs/reliability.md names exists."""

from __future__ import annotations

import re

import pytest

from tests.chaos.report import BEGIN, END
from tests.mutants.run import MUTANTS
from tests.processes import ROOT

# The name of a test file below tests/, or of a test in the file that was named last.
TEST = re.compile(r"`((?:\w+/)*test_\w+\.py|test_\w+)`")
DOCUMENT = (ROOT / "docs" / "reliability.md").read_text()
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("|") and TEST.search(line)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_the_tests_that_a_row_names_exist(row: str) -> None:
    words = TEST.findall(row)
    source = ""
    for word in words:
        if word.endswith(".py"):
            source = (ROOT / "tests" / word).read_text()
        else:
            assert f"def {word}(" in source, word


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_the_guards_that_a_row_names_are_taken_out_by_mutants(row: str) -> None:
    words = re.findall(r"`([^`]+)`", row.split("|")[3])
    assert words
    for word in words:
        assert any(word in mutant.name for mutant in MUTANTS), word


def test_the_page_has_rows_and_the_marks_between_which_the_long_run_writes() -> None:
    assert len(ROWS) > 20
    assert DOCUMENT.index(BEGIN) < DOCUMENT.index(END)
