"""The table of mutants fits the code. `make mutants`, which runs them, takes minutes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.run import MUTANTS, ROOT, Verdict, main, try_mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_patches_is_in_its_file_once_and_its_tests_exist(
    mutant: Mutant, tmp_path: Path
) -> None:
    copy = tmp_path / mutant.path
    copy.parent.mkdir(parents=True, exist_ok=True)
    original = (ROOT / mutant.path).read_text()
    copy.write_text(original)
    assert mutant.apply(tmp_path) == original
    if copy.suffix == ".py":
        compile(copy.read_text(), mutant.path, "exec")
    for name in [word for word in mutant.tests if word.startswith("tests/")]:
        path, _, test = name.partition("::")
        function = re.escape(test.partition("[")[0])
        assert re.search(
            rf"^def {function}\(" if test else "", (ROOT / path).read_text(), re.MULTILINE
        )


def test_every_mutant_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(m.name for m in MUTANTS).items() if times > 1] == []


def test_a_row_that_no_longer_fits_says_so_and_counts_as_survived(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("answer = 42\nanswer = 42\n")
    mutant = Mutant("answer", "code.py", "answer = 42", "answer = 41", ())
    with pytest.raises(ValueError, match=r"is 2 times in code\.py, must be there once"):
        mutant.apply(tmp_path)
    verdict = try_mutant(mutant, tmp_path, 60)
    assert verdict.caught_by == ""
    assert "SURVIVED (mutant 'answer': its text is 2 times in code.py" in verdict.line()


@pytest.mark.parametrize(
    ("new", "end"),
    [
        ("answer = 41", "test_code::test_the_answer"),
        ("answer = 42  # the same", "SURVIVED (its tests pass)"),
        ("answer =", "SURVIVED (pytest ended with status 2)"),
    ],
    ids=["caught", "survived", "broken"],
)
def test_a_mutant_is_caught_by_a_failing_test_alone(tmp_path: Path, new: str, end: str) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "code_of_the_tree.py").write_text("answer = 42\n")
    (tree / "test_code.py").write_text(
        "from code_of_the_tree import answer\n\n\ndef test_the_answer():\n    assert answer == 42\n"
    )
    (tree / "pytest.ini").write_text("[pytest]\naddopts = -p no:django\n")
    mutant = Mutant("answer", "code_of_the_tree.py", "answer = 42", new, ("test_code.py",))
    verdict: Verdict = try_mutant(mutant, tree, 60)
    assert verdict.line().endswith(end)
    assert (tree / "code_of_the_tree.py").read_text() == "answer = 42\n"


def test_a_word_that_no_mutant_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no such guard"]) == 2
    assert "no mutant's name holds one of: no such guard" in capsys.readouterr().err
