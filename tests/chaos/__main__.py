"""``make chaos``: inject faults for some minutes, then check that nothing was lost or doubled.

Exit status: 0 if everything held, 1 if not, `EXIT_UNAVAILABLE` if there is no PostgreSQL to run on.
Only processes started by this run are killed, each by its own id.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.chaos.services import SHORT_TIMES
from tests.postgres import DURABLE_OPTIONS, EXIT_UNAVAILABLE, PostgresUnavailable, private_cluster
from tests.processes import ROOT

SEED_VARIABLE = "XEENET_CHAOS_SEED"
DOCUMENT = ROOT / "docs" / "reliability.md"
# Thirty agents share a machine with everything else. So they poll less often than agents in single
# tests, and leases last longer, so that they survive some seconds of high load.
TIMES = SHORT_TIMES | {
    "XEENET_HEARTBEAT_SECONDS": "1",
    "XEENET_LEASE_SECONDS": "5",
    "XEENET_IDLE_WAIT_SECONDS": "2",
}
LEAST_TASKS_PER_MINUTE = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lab with the options of the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    seed = options.seed
    if seed is None:
        seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(1_000_000))
    _say(f"seed {seed}; the same again: make chaos ARGS='--seed {seed}' or {SEED_VARIABLE}={seed}")
    folder = Path(tempfile.mkdtemp(prefix="xeenet-chaos-"))
    try:
        return _run(options, seed, folder)
    except PostgresUnavailable as error:
        print(f"PostgreSQL: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    finally:
        if options.keep:
            _say(f"logs and states are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(options: argparse.Namespace, seed: int, folder: Path) -> int:
    with private_cluster(DURABLE_OPTIONS) as cluster:
        _make_site(cluster.url, folder)
        # These import models, which is possible only now that Django is set up.
        from tests.chaos.lab import Lab, Plan
        from tests.chaos.misbehaviour import misbehave
        from tests.chaos.report import write_between_marks

        plan = Plan(
            seed=seed,
            seconds=0.0 if options.each_once else options.minutes * 60.0,
            kinds=options.faults,
            period_seconds=options.period,
            fleets=options.fleets,
            agents_per_fleet=options.agents // options.fleets,
            worker_programs=options.programs,
            tasks_per_second=options.pace,
            least_tasks=round(options.minutes * LEAST_TASKS_PER_MINUTE),
            herd=options.herd,
        )
        report = Lab(plan, cluster, folder, _say).run()
        if not options.no_scripts:
            report.scripts = misbehave(_say)
    print("\n".join(["", *report.lines()]), flush=True)
    if options.report:
        report.write_json(options.report)
    if options.write_docs:
        write_between_marks(DOCUMENT, f"On {time.strftime('%Y-%m-%d')}:\n\n{report.markdown()}")
    return 0 if report.holds else 1


def _make_site(url: str, folder: Path) -> None:
    """Create a database with tables, and configure this process and its children for it."""
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE xeenet")
    os.environ |= TIMES | {
        "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
        "XEENET_ENV": "development",
        "DATABASE_URL": url,
        "XEENET_HOME": str(folder / "home"),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(ROOT),
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _say(line: str) -> None:
    print(line, flush=True)


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(kind.strip() for kind in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="how long faults are injected (default 10)")
    add("--each-once", action="store_true", help="inject every kind of fault once instead")
    add("--faults", type=_kinds, default=(), help="only these kinds, separated by commas")
    add("--seed", type=int, help="seed of the faults and times (default: random, printed)")
    add("--period", type=float, default=5.0, help="seconds between two faults (default 5)")
    add("--agents", type=int, default=30, help="agents in all fleets (default 30)")
    add("--fleets", type=int, default=3, help="processes that the agents share (default 3)")
    add("--programs", type=int, default=2, help="additional worker programs (default 2)")
    add("--pace", type=float, default=5.0, help="new tasks per second (default 5)")
    add("--herd", type=int, default=1000, help="agents that come back at once at the end (1000)")
    add("--no-scripts", action="store_true", help="leave out the misbehaving scripts")
    add("--report", type=Path, help="write the figures to this JSON file")
    add("--write-docs", action="store_true", help="write the tables into docs/reliability.md")
    add("--keep", action="store_true", help="keep logs and state folders, and print their place")
    return parser


if __name__ == "__main__":
    sys.exit(main())
