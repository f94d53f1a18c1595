"""Applies each mutant to a copy of the tree, runs its tests, and reports which test caught it."""

from __future__ import annotations

import argparse
import functools
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.answers import ANSWERS
from tests.mutants.arms import ARMS
from tests.mutants.automatic_races import AUTOMATIC_RACES
from tests.mutants.beats import BEATS
from tests.mutants.campaigns import ENDS, LINES
from tests.mutants.claim_statements import CLAIM_STATEMENTS
from tests.mutants.classes import CLASSES_OF_RESULTS, PAIRED, SLOW_SETUPS
from tests.mutants.doors import DOORS
from tests.mutants.ends import ENDS_TOGETHER
from tests.mutants.inputs import INPUTS
from tests.mutants.lease_times import EXPIRIES, PACES_TOLD
from tests.mutants.leases import CLAIMS, HELD
from tests.mutants.machines.agent import AGENT
from tests.mutants.machines.containment import CONTAINMENT
from tests.mutants.machines.desktop import DESKTOP
from tests.mutants.machines.enclosures import ENCLOSURES
from tests.mutants.machines.engines import ENGINES
from tests.mutants.machines.faces import FACES
from tests.mutants.machines.faults import FAULTS
from tests.mutants.machines.fleets import FLEETS
from tests.mutants.machines.jobs import JOBS
from tests.mutants.machines.limits import LIMITS
from tests.mutants.machines.page import PAGE
from tests.mutants.machines.programs import PROGRAMS
from tests.mutants.machines.setup import SET_UP
from tests.mutants.machines.spares import SPARES
from tests.mutants.machines.speeds import SPEEDS
from tests.mutants.machines.step_costs import STEP_COSTS
from tests.mutants.machines.uploads import UPLOADS
from tests.mutants.machines.versions import VERSIONS
from tests.mutants.machines.walls import SANDBOX, SECRETS
from tests.mutants.metrics import METRICS
from tests.mutants.mutant import Mutant
from tests.mutants.pages.forecasts import FORECASTS
from tests.mutants.pages.hero import HERO
from tests.mutants.pages.honesty import HONESTY
from tests.mutants.pages.joining import JOINING_GUARDS
from tests.mutants.pages.look import LOOK
from tests.mutants.pages.sentences import SENTENCES
from tests.mutants.pages.side import SIDE
from tests.mutants.race import RACE
from tests.mutants.race_doors import RACE_DOORS
from tests.mutants.readings import READINGS
from tests.mutants.results import SUBMITS
from tests.mutants.sharing import SHARING
from tests.mutants.site import SITE
from tests.mutants.work import WORK

ROOT: Final = Path(__file__).resolve().parents[2]
MUTANTS: Final = (
    *BEATS,
    *(
        *CLAIMS,
        *CLAIM_STATEMENTS,
        *HELD,
        *SHARING,
        *EXPIRIES,
        *PACES_TOLD,
        *SUBMITS,
        *METRICS,
        *ENDS,
        *LINES,
        *ARMS,
        *CLASSES_OF_RESULTS,
    ),
    *SLOW_SETUPS,
    *ENDS_TOGETHER,
    *HERO,
    *JOINING_GUARDS,
    *PAIRED,
    *(*DOORS, *INPUTS, *UPLOADS, *AGENT, *ANSWERS, *READINGS, *CONTAINMENT, *FACES, *SPARES, *JOBS),
    *FLEETS,
    *(*FAULTS, *ENGINES, *LIMITS, *PAGE, *SET_UP, *DESKTOP, *PROGRAMS),
    *(
        *ENCLOSURES,
        *SANDBOX,
        *SECRETS,
        *SITE,
        *RACE,
        *RACE_DOORS,
        *AUTOMATIC_RACES,
        *STEP_COSTS,
        *LOOK,
    ),
    *(*WORK, *SPEEDS, *SENTENCES, *SIDE, *FORECASTS, *HONESTY, *VERSIONS),
)
LIMIT_SECONDS: Final = 60.0
MAX_PROCESSES: Final = 4
# Hypothesis's seed, so that a mutant meets the same generated histories in each run.
SEED: Final = "1"
TESTS_FAILED: Final = 1  # pytest's status
# Writes the database of the tests, once all migrations are made, to the file in the argument.
_MIGRATE: Final = """
import os, shutil, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from django.db import connection
from django.test.utils import setup_databases
setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
connection.close()
shutil.copyfile(connection.settings_dict["NAME"], sys.argv[1])
"""
IGNORED: Final = shutil.ignore_patterns(".*", "__pycache__", "*.sqlite3", "build")


@dataclass(frozen=True)
class Verdict:
    """The outcome of a mutant; `caught_by` is "" if it survived."""

    mutant: Mutant
    caught_by: str
    seconds: float
    problem: str = ""

    def line(self) -> str:
        """Return the row of the table."""
        end = self.caught_by or f"SURVIVED {self.problem}".rstrip()
        return f"{self.seconds:5.0f} s  {self.mutant.name:<64}  {end}"


def main(arguments: Sequence[str]) -> int:
    """Run the chosen mutants and print a table; return 1 if one survived, 2 if none was chosen."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose names contain one of these")
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT_SECONDS,
        help="seconds for each mutant (60); a busy machine needs more",
    )
    options = parser.parse_args(arguments)
    words = options.words or [""]
    chosen = [mutant for mutant in MUTANTS if any(word in mutant.name for word in words)]
    if not chosen:
        print(f"no mutant's name holds one of: {', '.join(words)}", file=sys.stderr)
        return 2
    verdicts = run_all(chosen, options.limit)
    survived = [verdict for verdict in verdicts if not verdict.caught_by]
    slowest = max(verdict.seconds for verdict in verdicts)
    print(
        f"\n{len(verdicts)} mutants, {len(verdicts) - len(survived)} caught, "
        f"{len(survived)} survived; the slowest took {slowest:.0f} s"
    )
    for verdict in survived:
        print(f"  survived: {verdict.mutant.name}")
    return 1 if survived else 0


def run_all(mutants: Sequence[Mutant], limit_seconds: float) -> list[Verdict]:
    """Try the mutants, one per core at a time (at most 4); print each row when it is done."""
    processes = min(os.cpu_count() or 1, MAX_PROCESSES, len(mutants))
    trees: queue.Queue[Path] = queue.Queue()
    with ExitStack() as stack:
        folders = [
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xeenet-mutant-")))
            for _ in range(processes)
        ]
        first = Path(shutil.copytree(ROOT, folders[0] / "tree", ignore=IGNORED))
        migrated = _prepare(first, folders[0] / "migrated.sqlite3")
        trees.put(first)
        for folder in folders[1:]:
            trees.put(Path(shutil.copytree(first, folder / "tree")))

        def run_one(mutant: Mutant) -> Verdict:
            tree = trees.get()
            try:
                verdict = try_mutant(mutant, tree, limit_seconds, migrated)
            finally:
                trees.put(tree)
            print(verdict.line(), flush=True)
            return verdict

        pool = ThreadPoolExecutor(processes)
        stack.callback(pool.shutdown, cancel_futures=True)
        return list(pool.map(run_one, mutants))


def _prepare(tree: Path, migrated: Path) -> Path:
    """Compile the tree and write a database with all migrations: most of a short test's time.

    Compiled files are checked by the hash of their source. By its time, which has a second's
    resolution, a patch of the same length may go unnoticed.
    """
    run = functools.partial(subprocess.run, cwd=tree, env=_variables(tree), check=True)
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    run([*compiling, *(str(path.parent) for path in tree.glob("*/__init__.py"))])
    run([sys.executable, "-c", _MIGRATE, str(migrated)])
    return migrated


def _variables(tree: Path, **more: str) -> dict[str, str]:
    variables = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    variables.pop("XEENET_TEST_DATABASE_URL", None)
    return variables | more


def try_mutant(
    mutant: Mutant, tree: Path, limit_seconds: float, migrated: Path | None = None
) -> Verdict:
    """Patch the copy, run the mutant's tests, and restore the copy.

    The tests begin with a copy of the database `migrated`, which was made without the mutant. If
    they pass, they run once more and make their own. A row that no longer fits the code counts as
    survived, because it tests no guard.
    """
    try:
        original = mutant.apply(tree)
    except ValueError as error:
        return Verdict(mutant, "", 0.0, f"({error})")
    report = tree.parent / "junit.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", *mutant.tests, "-x", "-q", "--no-header"]
    command += [f"--junitxml={report}", f"--timeout={limit_seconds:.0f}"]
    command += ["-p", "no:cacheprovider", f"--hypothesis-seed={SEED}"]
    if mutant.database == "postgresql":
        command = [sys.executable, "-m", "tests.postgres", *command]
    started_at = time.monotonic()
    try:
        problem = "(not run)"
        if migrated is not None and mutant.database == "sqlite":
            variables = _variables(tree, XEENET_TEST_MIGRATED=str(migrated))
            problem = _run([*command, "--reuse-db"], tree, variables, limit_seconds)
        if problem:
            problem = _run(command, tree, _variables(tree), limit_seconds)
    finally:
        (tree / mutant.path).write_text(original)
    seconds = time.monotonic() - started_at
    return Verdict(mutant, "" if problem else _first_failure(report), seconds, problem)


def _run(
    command: Sequence[str], tree: Path, variables: dict[str, str], limit_seconds: float
) -> str:
    """Run the tests; return "" if one of them failed, else why the mutant counts as survived."""
    with subprocess.Popen(
        command,
        cwd=tree,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            # SIGTERM, so that it also stops a database server that it has started.
            process.terminate()
            process.communicate()
            return f"(no answer within {limit_seconds:.0f} s)"
    if process.returncode == TESTS_FAILED:
        return ""
    if process.returncode == 0:
        # A busy machine may skip a test of the sandbox, which then says nothing about the mutant.
        is_skipped = " skipped" in output.rstrip().rpartition("\n")[2]
        return "(its tests pass or are skipped)" if is_skipped else "(its tests pass)"
    print(output, file=sys.stderr)
    return f"(pytest ended with status {process.returncode})"


def _first_failure(report: Path) -> str:
    for case in ET.parse(report).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            return f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
    return ""
