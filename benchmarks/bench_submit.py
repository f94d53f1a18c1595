"""What a submitted result costs the server, beside another checkout: CPU time and queries.

``python -m benchmarks.bench_submit --before FOLDER`` runs the verb `submit` of the checkout in
FOLDER, on a time budget, and of this one, on time and work budgets, by workers with and without a
calibration. Each of them is a process with a database of its own. They take turns, a short round
each, so that a machine that becomes slower does so for all; a figure is the median over the rounds
of the ratio to FOLDER's round beside it. CPU time is that of the process, without the database
server of PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parents[1]
BAR: Final = 1.1
CASES: Final = ("time", "time, calibrated", "work", "work, calibrated")
BEFORE: Final = "before"
WARM_UP: Final = 40
EXIT_UNAVAILABLE: Final = 69


@dataclass
class Side:
    """A process that submits, and what its rounds took."""

    name: str
    process: subprocess.Popen[str]
    cpu_ms: list[float] = field(default_factory=list)
    queries: float = 0.0

    def round(self, submissions: int, *, counts: bool = False) -> dict[str, float]:
        """Let the process submit so many results; return what one of them took."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"submissions": submissions, "counts": counts}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench_submit: the process of {self.name!r} ended.")
        answer: dict[str, float] = json.loads(line)
        return answer


def serve(case: str, tasks: int) -> None:
    """In a checkout's own process: submit results as the lines of stdin ask for."""
    import django

    django.setup()
    from django.db import connection

    from xeenet_site.running import serving

    with contextlib.redirect_stdout(sys.stderr):
        serving.migrate()
    from campaigns import lifecycle
    from experiments import catalog
    from tests import factories

    by = factories.worker("bench")
    if "calibrated" in case:
        factories.calibrate(by, dtype="bfloat16", now=factories.NOW)
    fields: dict[str, Any] = {"search_space": catalog.get("train_char_lm").default_search_space}
    make = factories.active_campaign
    if case.startswith("work"):
        make = factories.work_campaign
    make(tasks, **fields)
    held: list[Any] = []
    count = 0

    def count_query(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        return execute(*arguments)

    for line in sys.stdin:
        order, cpu, count = json.loads(line), 0.0, 0
        for number in range(order["submissions"]):
            if not held:
                claimed = lifecycle.claim(by, claim_id=uuid.uuid4(), count=32, now=factories.at(1))
                held = list(claimed.attempts)
            attempt = held.pop()
            body = factories.completed(attempt.task, 3.0 + number % 7 / 100, train_seconds=1.0)
            counting = connection.execute_wrapper(count_query)
            with counting if order["counts"] else contextlib.nullcontext():
                # A view reads worker and lease from the request; the verb reads all else.
                began = time.process_time()
                answer = lifecycle.submit(by, attempt.lease_id, body, now=factories.at(2))
                cpu += time.process_time() - began
            assert answer.verdict == "accepted", answer.message
        submissions = order["submissions"]
        print(json.dumps({"cpu": cpu / submissions, "queries": count / submissions}), flush=True)


def start(name: str, checkout: Path, case: str, url: str, home: Path, tasks: int) -> Side:
    """Start the process of one side, in its checkout, on the database at `url`."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
        "DATABASE_URL": url,
        "XEENET_ENV": "production",
        "XEENET_HOME": str(home),
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "ALLOWED_HOSTS": "localhost",
        "LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(checkout),
        "PYTHONHASHSEED": "0",
    }
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--serve",
        case,
        "--tasks",
        str(tasks),
    ]
    process = subprocess.Popen(
        command,
        cwd=checkout,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Side(name, process)


@contextlib.contextmanager
def databases(kind: str, folder: Path, names: list[str]) -> Iterator[list[str]]:
    """Yield the addresses of new databases, one for each name."""
    if kind == "sqlite":
        yield [f"sqlite:///{folder / f'{place}.sqlite3'}" for place, _ in enumerate(names)]
        return
    import psycopg

    from tests.postgres import private_cluster

    with private_cluster() as cluster:
        parts = urlsplit(cluster.url)
        admin = parts._replace(path="/postgres").geturl()
        with psycopg.connect(admin, autocommit=True) as connection:
            for place, _ in enumerate(names):
                connection.execute(f"CREATE DATABASE bench_{place}")
        yield [parts._replace(path=f"/bench_{place}").geturl() for place, _ in enumerate(names)]


def measure(arguments: argparse.Namespace, kind: str, folder: Path) -> list[Side]:
    """Return the sides, that of the other checkout first, with all their rounds."""
    names = [BEFORE, *CASES]
    tasks = WARM_UP + arguments.submissions * (arguments.rounds + 1)
    with databases(kind, folder, names) as urls, contextlib.ExitStack() as stack:
        sides = []
        for place, (name, url) in enumerate(zip(names, urls, strict=True)):
            home = folder / f"{kind}-{place}"
            home.mkdir()
            checkout = arguments.before if name == BEFORE else ROOT
            case = "time" if name == BEFORE else name
            side = start(name, checkout, case, url, home, tasks)
            stack.callback(side.process.wait)
            stack.callback(side.process.terminate)
            side.round(WARM_UP)
            sides.append(side)
        for number in range(arguments.rounds):
            # Each begins as often as any other.
            for place in range(len(sides)):
                side = sides[(place + number) % len(sides)]
                side.cpu_ms.append(1000 * side.round(arguments.submissions)["cpu"])
        for side in sides:
            side.queries = side.round(arguments.submissions, counts=True)["queries"]
    return sides


def report(kind: str, sides: list[Side]) -> bool:
    """Print the figures of one database; return whether all hold the bar."""
    before, *cases = sides
    print(f"{kind}: {statistics.median(before.cpu_ms):.2f} ms, {before.queries:.1f} queries before")
    held = True
    for side in cases:
        pairs = zip(side.cpu_ms, before.cpu_ms, strict=True)
        low, middle, high = statistics.quantiles([mine / theirs for mine, theirs in pairs], n=4)
        held = held and middle <= BAR
        took = f"{statistics.median(side.cpu_ms):.2f} ms, {side.queries:.1f} queries"
        ratio = f"{middle:.2f} x the CPU time (quartiles {low:.2f}, {high:.2f})"
        print(f"  {side.name:18} {took}; {ratio}", flush=True)
    return held


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--before", type=Path, help="the checkout to compare with")
    add("--rounds", type=int, default=40, help="turns of each process (default 40)")
    add("--submissions", type=int, default=10, help="results in a turn (default 10)")
    add("--databases", nargs="+", default=["sqlite", "postgresql"], metavar="KIND")
    add("--serve", help=argparse.SUPPRESS)
    add("--tasks", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.serve and arguments.before is None:
        parser.error("--before FOLDER is needed: a checkout with what this one is compared to.")
    return arguments


def main() -> int:
    """Return 0 when every case is within the bar, 1 when one is not, 69 without PostgreSQL."""
    arguments = parse_arguments()
    if arguments.serve:
        serve(arguments.serve, arguments.tasks)
        return 0
    from tests.postgres import PostgresUnavailable

    held = True
    for kind in arguments.databases:
        with tempfile.TemporaryDirectory(prefix="bench-submit-") as folder:
            try:
                held = report(kind, measure(arguments, kind, Path(folder))) and held
            except PostgresUnavailable as error:
                print(f"bench_submit: {error}", file=sys.stderr)
                return EXIT_UNAVAILABLE
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
