"""make quick: which tests it runs, what it says of the others, and what it passes on to pytest."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from devtools import cli, suite
from devtools.environment import Environment, child_variables
from tests.processes import ROOT
from tests.quick import LEFT_OUT, is_quick, left_out_line

Calls = list[tuple[list[str], Mapping[str, str]]]
NOTHING_COLLECTED = suite.PYTEST_NOTHING_COLLECTED


# --- Which tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "markers", "fixtures", "quick"),
    [
        ("tests/search/test_space.py::test_x", set(), set(), True),
        ("tests/api/test_tasks.py::test_x[a/b::c]", {"django_db", "once"}, {"db"}, True),
        ("tests/browser/test_pages.py::test_x", {"browser"}, set(), False),
        ("tests/browser/test_pages.py::test_x", set(), set(), False),
        ("tests/pages/test_task.py::test_x", {"browser"}, set(), False),
        ("tests/pages/test_task.py::test_x", {"long"}, set(), False),
        ("tests/pages/test_task.py::test_x", {"django_db"}, {"live_server"}, False),
        ("tests/pages/test_task.py::test_x", {"django_db"}, {"process_environment"}, False),
        ("tests/experiments/test_catalog.py::test_x", set(), set(), False),
        ("tests/faults/test_network.py::test_x", set(), set(), False),
        ("tests/agent/test_cli.py::test_x", set(), set(), False),
        ("tests/agent/delivery/test_outbox.py::test_x", set(), set(), True),
    ],
)
def test_a_test_is_quick_unless_its_name_a_marker_or_a_fixture_says_otherwise(
    name: str, markers: set[str], fixtures: set[str], quick: bool
) -> None:
    assert is_quick(name, markers, fixtures) is quick


@pytest.mark.parametrize("name", [name for names in LEFT_OUT.values() for name in names])
def test_what_the_table_leaves_out_exists(name: str) -> None:
    path, _, test = name.partition("::")
    if path.endswith("/"):
        assert list((ROOT / "tests" / path).glob("**/test_*.py"))
    else:
        assert f"\ndef {test}" in (ROOT / "tests" / path).read_text()


def collect(*arguments: str, quick: bool = True) -> subprocess.CompletedProcess[str]:
    """Let pytest list the tests that it would run on SQLite."""
    variables = child_variables()
    for name in ("XEENET_TEST_QUICK", "XEENET_TEST_DATABASE_URL"):
        variables.pop(name, None)
    if quick:
        variables["XEENET_TEST_QUICK"] = "1"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )


def test_no_browser_test_and_no_long_test_is_ever_among_them(
    request: pytest.FixtureRequest,
) -> None:
    """Of the tests of this run: in the whole suite, all; collecting them again takes long."""
    quick = [item for item in request.session.items if item.get_closest_marker("quick")]
    slow = [i for i in quick if i.get_closest_marker("browser") or i.get_closest_marker("long")]
    assert slow == []

    files = ["tests/browser/test_keys.py", "tests/faults/test_nemesis.py"]
    answer = collect("-m", "browser or long", *files)
    assert answer.returncode == NOTHING_COLLECTED, answer.stdout
    assert re.search(r"^\d+ tests left out", answer.stdout, re.MULTILINE)


def test_the_rest_is_collected_and_the_end_says_what_is_missing() -> None:
    answer = collect("tests/tools/test_private_postgres.py", "tests/tools/test_dev_audit.py")
    assert answer.returncode == 0
    assert "test_dev_audit.py::" in answer.stdout
    assert "test_private_postgres.py::" not in answer.stdout
    assert left_out_line(7) in answer.stdout.splitlines()


def test_without_the_variable_nothing_is_left_out_and_nothing_is_said() -> None:
    answer = collect("tests/tools/test_private_postgres.py", quick=False)
    assert "test_private_postgres.py::" in answer.stdout
    assert "left out" not in answer.stdout


def test_the_marker_chooses_them_too() -> None:
    answer = collect("-m", "quick", "tests/tools/test_private_postgres.py", quick=False)
    assert answer.returncode == NOTHING_COLLECTED


def test_the_count_comes_through_from_the_processes_that_run_the_tests() -> None:
    variables = child_variables({"XEENET_TEST_QUICK": "1"})
    files = ["tests/tools/test_dev_audit.py", "tests/tools/test_private_postgres.py"]
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--numprocesses=1", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )
    assert answer.returncode == 0, answer.stdout
    assert left_out_line(7) in answer.stdout.splitlines()


# --- The command ----------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Record the commands that `dev.py quick` would run; lint and mypy fail, pytest passes."""
    recorded: Calls = []

    def record(status: int) -> Callable[..., int]:
        def run(
            command: Sequence[str | Path],
            cwd: Path = ROOT,
            variables: Mapping[str, str] | None = None,
        ) -> int:
            recorded.append(([str(word) for word in command], dict(variables or {})))
            return status

        return run

    monkeypatch.setattr(cli, "run", record(1))
    monkeypatch.setattr(suite, "run", record(0))
    return recorded


def test_lint_types_and_tests_all_run_and_the_end_names_what_failed(
    calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.quick(Environment(), ()) == 1

    commands = [" ".join(command) for command, _ in calls]
    for tool in ("ruff check", "ruff format --check", "lint-imports", "mypy", "pytest"):
        assert any(tool in command for command in commands)
    assert capsys.readouterr().out.splitlines()[-1] == "[dev] failed: lint, types"


def test_arguments_reach_pytest_and_nothing_else(calls: Calls) -> None:
    cli.quick(Environment(), ("tests/api", "-k", "claim"))

    *others, (pytest_command, _) = calls
    assert pytest_command[-3:] == ["tests/api", "-k", "claim"]
    assert not any("claim" in command for command, _ in others)


def test_the_tests_run_once_on_sqlite_with_as_many_processes_as_the_suite(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XEENET_TEST_DATABASE_URL", "postgresql://db.example.org/tests")
    monkeypatch.setenv("XEENET_TEST_QUICK", "1")
    monkeypatch.delenv("XEENET_TEST_ONLY", raising=False)
    suite.run_quick(Environment(), ())
    suite.run_suite(Environment(), ())

    (quick, variables), (first_pass, suite_variables), _ = calls
    assert variables["XEENET_TEST_QUICK"] == "1"
    assert "XEENET_TEST_DATABASE_URL" not in variables
    assert "XEENET_TEST_QUICK" not in suite_variables
    processes = [word for word in quick if word.startswith("--numprocesses")]
    assert processes == [word for word in first_pass if word.startswith("--numprocesses")]
