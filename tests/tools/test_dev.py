"""dev.py: its messages, the summary of the two passes, and its locks."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import cli, locks, suite
from devtools.environment import SetupError
from devtools.suite import Outcome
from tests import postgres
from tests.processes import ROOT


def dev(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "dev.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
    )


# --- Commands -------------------------------------------------------------------------------------


def test_help_lists_every_command_and_so_does_no_command() -> None:
    answer = dev("help")
    assert answer.returncode == 0
    assert all(f"  {name} " in answer.stdout for name in cli.COMMANDS)
    assert dev().stdout == answer.stdout


def test_the_makefile_has_exactly_the_commands_of_dev_py() -> None:
    line = next(
        line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("COMMANDS")
    )
    assert set(line.partition(":=")[2].split()) == set(cli.COMMANDS)


def test_an_unknown_command_gets_one_line_that_names_the_known_ones() -> None:
    answer = dev("demonstrate")
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert "'demonstrate'" in answer.stderr
    assert "demo, quick, test" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("setup", "everything"), "worker, runtime, dev"),
        (("setup", "dev", "runtime"), "worker, runtime, dev"),
    ],
)
def test_wrong_arguments_get_one_line(arguments: tuple[str, ...], words: str) -> None:
    answer = dev(*arguments)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert words in answer.stderr


def test_a_too_old_python_gets_one_clear_line() -> None:
    pretend = "import sys, runpy; sys.version_info = (3, 8, 0); runpy.run_path('dev.py')"
    answer = subprocess.run(
        [sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("XeeNet needs Python 3.11 or newer, this is 3.8.")
    assert len(answer.stderr.splitlines()) == 1


def test_dev_py_keeps_to_syntax_that_a_too_old_python_can_read() -> None:
    tree = ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]


# --- Locks ----------------------------------------------------------------------------------------


def test_a_lock_forgets_the_local_build_our_own_wheel_and_the_comments() -> None:
    text = "# made by a tool\ndjango==5.2.19\n    # via xeenet\ntorch==2.13.0+cpu\n"
    text += "xeenet-worker==0.2.0\n"
    body = [line for line in locks.tidy(text, "worker").splitlines() if not line.startswith("#")]
    assert body == ["django==5.2.19", "torch==2.13.0"]


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://example.org/simple",
        "--find-links wheels",
        "nvidia-cublas==13.0.1",
        "triton==3.7",
        "cuda-bindings==13.0",
        "torch @ file:///tmp/torch.whl",
    ],
)
def test_a_lock_refuses_what_belongs_to_one_machine(line: str) -> None:
    with pytest.raises(SetupError, match="this machine only"):
        locks.tidy(f"django==5.2.19\n{line}\n", "worker")


def test_the_locks_of_this_repository_agree_and_hold_torch_plainly() -> None:
    pins = {}
    for level in locks.EXTRAS:
        text = (ROOT / "requirements" / f"{level}.txt").read_text()
        assert locks.tidy(text, level) == text
        pins[level] = {line for line in text.splitlines() if not line.startswith("#")}
    assert "torch==2.13.0" in pins["worker"]
    assert pins["worker"] < pins["runtime"] < pins["dev"]
    assert pins["server"] < pins["runtime"]
    assert not any(pin.startswith("torch==") for pin in pins["server"])


# --- The two passes -------------------------------------------------------------------------------


def test_counts_come_from_the_report_with_errors_as_failures(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite tests="10" failures="2" errors="1" skipped="3"/></testsuites>'
    )
    assert suite.read_counts(report) == (4, 3, 3)
    assert suite.read_counts(tmp_path / "missing.xml") == (0, 0, 0)


SQLITE = Outcome("sqlite", 0, passed=5)
POSTGRESQL = Outcome("postgresql", 0, passed=3)
NOT_RUN = Outcome("postgresql", postgres.EXIT_UNAVAILABLE)
NOTHING_LEFT = Outcome("postgresql", suite.PYTEST_NOTHING_COLLECTED)


@pytest.mark.parametrize(
    ("outcomes", "in_ci", "status"),
    [
        ([SQLITE, POSTGRESQL], True, 0),
        ([SQLITE, NOT_RUN], False, 0),
        ([SQLITE, NOT_RUN], True, 1),
        ([SQLITE, NOTHING_LEFT], True, 0),
        ([Outcome("sqlite", 5), NOTHING_LEFT], False, 1),
        ([Outcome("sqlite", 1, passed=4, failed=1), POSTGRESQL], False, 1),
        ([SQLITE, Outcome("postgresql", 3)], False, 1),
    ],
)
def test_the_status_of_the_suite(outcomes: list[Outcome], in_ci: bool, status: int) -> None:
    assert suite.exit_status(outcomes, in_ci) == status


def test_a_pass_that_was_not_run_says_so_loudly() -> None:
    assert "NOT RUN" in NOT_RUN.line()
    assert Outcome("sqlite", 0, 5, 0, 1, 12.4).line() == (
        "SQLite: 5 passed, 0 failed, 1 skipped in 12 s"
    )
    assert "status 3" in Outcome("postgresql", 3).line()


def test_one_database_can_be_chosen() -> None:
    assert suite.chosen_databases(None) == ("sqlite", "postgresql")
    assert suite.chosen_databases("postgresql") == ("postgresql",)
    with pytest.raises(SetupError, match="'mysql'; it can be sqlite or postgresql"):
        suite.chosen_databases("mysql")
