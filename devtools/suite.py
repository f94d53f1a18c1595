"""``dev.py test`` and ``quick``: the suite on SQLite and PostgreSQL, or its fast part on SQLite."""

from __future__ import annotations

import os
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools.environment import Environment, SetupError, child_variables, run, say
from tests.postgres import EXIT_UNAVAILABLE

DATABASES = ("sqlite", "postgresql")
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
PYTEST_INTERRUPTED = 2  # Ctrl-C, or test files that cannot be imported
PYTEST_NOTHING_COLLECTED = 5
# One process more than cores, because tests spend a third of their time waiting for processes.
SPARE_PROCESSES = 1
MAX_PROCESSES = 4  # with more, tests would mostly wait for each other's child processes
QUICK_VARIABLE = "XEENET_TEST_QUICK"  # tests/conftest.py leaves out all but the quick tests


@dataclass(frozen=True)
class Outcome:
    """The result of one pass over the suite. ``status`` is pytest's; errors count as failed."""

    database: str
    status: int
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    @property
    def ran(self) -> bool:
        """Whether the database was available."""
        return self.status != EXIT_UNAVAILABLE

    @property
    def count(self) -> int:
        """The number of tests run or skipped."""
        return self.passed + self.failed + self.skipped

    def line(self) -> str:
        """Return the summary line of this pass."""
        title = TITLES[self.database]
        if not self.ran:
            return f"{title}: NOT RUN, no server (the reason is above)"
        counts = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        broken = self.status not in {0, PYTEST_NOTHING_COLLECTED} and self.failed == 0
        problem = f"; pytest ended with status {self.status}" if broken else ""
        return f"{title}: {counts} in {self.seconds:.0f} s{problem}"


def chosen_databases(only: str | None) -> tuple[str, ...]:
    """Return the databases to run on; ``only`` is the value of ``XEENET_TEST_ONLY``.

    Raises SetupError if it names no known database.
    """
    if not only:
        return DATABASES
    if only not in DATABASES:
        raise SetupError(f"XEENET_TEST_ONLY is {only!r}; it can be {' or '.join(DATABASES)}.")
    return (only,)


def read_counts(report: Path) -> tuple[int, int, int]:
    """Return (passed, failed, skipped) from a JUnit XML file; zeros if pytest wrote none."""
    if not report.exists():
        return 0, 0, 0
    suites = list(ET.parse(report).getroot().iter("testsuite"))

    def total(name: str) -> int:
        return sum(int(suite.get(name, "0")) for suite in suites)

    failed, skipped = total("failures") + total("errors"), total("skipped")
    return max(total("tests") - failed - skipped, 0), failed, skipped


def exit_status(outcomes: Sequence[Outcome], in_ci: bool) -> int:
    """Return 0 if every pass that had to run passed and at least one test ran, else 1.

    One pass may have no tests (``-k`` may leave none for the second database) as long as another
    has some. A missing PostgreSQL is a failure in CI only.
    """
    good = {0, PYTEST_NOTHING_COLLECTED}
    all_good = all(outcome.status in good for outcome in outcomes if outcome.ran)
    all_ran = all(outcome.ran for outcome in outcomes)
    some_test = any(outcome.count for outcome in outcomes)
    return 0 if all_good and some_test and (all_ran or not in_ci) else 1


def run_suite(environment: Environment, arguments: Sequence[str]) -> int:
    """Run pytest once per database with ``arguments``, print the summary, return the status."""
    databases = chosen_databases(os.environ.get("XEENET_TEST_ONLY"))
    in_ci = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
    outcomes = []
    for database in databases:
        say(f"testing on {TITLES[database]}")
        # Tests that need no database run only in the first pass.
        skip_once = database != databases[0]
        outcomes.append(_run_pass(environment, database, arguments, skip_once=skip_once))
        if outcomes[-1].status == PYTEST_INTERRUPTED:
            break
    print()
    for outcome in outcomes:
        print(outcome.line())
    if not all(outcome.ran for outcome in outcomes):
        print("Only a run on both databases shows that XeeNet works; see CONTRIBUTING.md.")
    totals = [
        sum(getattr(outcome, name) for outcome in outcomes)
        for name in ("passed", "failed", "skipped")
    ]
    print("{} passed, {} failed, {} skipped".format(*totals), flush=True)
    return exit_status(outcomes, in_ci)


def run_quick(environment: Environment, arguments: Sequence[str]) -> int:
    """Run the tests marked ``quick`` once, on SQLite; return pytest's status.

    The test process prints at its end how many tests it left out.
    """
    say("testing on SQLite without browser, torch and servers")
    command, variables = _pytest(environment, arguments)
    variables.pop("XEENET_TEST_DATABASE_URL", None)
    variables[QUICK_VARIABLE] = "1"
    return run(command, cwd=environment.root, variables=variables)


def _pytest(
    environment: Environment, arguments: Sequence[str]
) -> tuple[list[str | Path], dict[str, str]]:
    """Return the command that runs pytest in several processes, and its environment."""
    processes = min((os.cpu_count() or 1) + SPARE_PROCESSES, MAX_PROCESSES)
    command: list[str | Path] = [environment.python, "-m", "pytest"]
    command += ["-q", f"--numprocesses={processes}"]
    # Distribute whole files, in the order of tests/conftest.py, so that tests of one file do not
    # compete for the cores. (xdist's loadgroup does nothing with pytest 9.2: pytest-xdist #1386.)
    command += ["--dist=loadfile", "--no-loadscope-reorder", *arguments]
    variables = child_variables()
    # Without bytecode files, each process compiles our modules again: 7 s during collection.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    variables.pop(QUICK_VARIABLE, None)
    return command, variables


def _run_pass(
    environment: Environment, database: str, arguments: Sequence[str], *, skip_once: bool
) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="xeenet-report-") as folder:
        report = Path(folder) / "junit.xml"
        command, variables = _pytest(environment, [f"--junitxml={report}", *arguments])
        if skip_once:
            variables["XEENET_TEST_SKIP_ONCE"] = "1"
        if database == "sqlite":
            variables.pop("XEENET_TEST_DATABASE_URL", None)
        else:
            command = [environment.python, "-m", "tests.postgres", *command]
        started_at = time.monotonic()
        status = run(command, cwd=environment.root, variables=variables)
        seconds = time.monotonic() - started_at
        return Outcome(database, status, *read_counts(report), seconds=seconds)
