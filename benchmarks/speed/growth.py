"""`make bench ARGS=growth`: what stays quick when a million tasks wait and a million have ended.

Claims go over HTTP to web servers on databases of different sizes, in turns. Launch, export and
expiry are run in processes of their own, and with --parent in turns with the same of that commit.
With --keep FOLDER the databases stay there, so that a later run need not seed them again.
"""

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed.client import Agent, Results, tasks
from benchmarks.speed.machine import Meter
from benchmarks.speed.products import (
    ROOT,
    Product,
    Server,
    Web,
    commit_of,
    durable_server,
    worktree,
)
from benchmarks.speed.report import Bar, Report, Table, median, number, paired, percentile
from xeenet_site.running.processes import Supervisor

QUEUED = (1_000, 100_000, 1_000_000)
FINISHED = 1_000_000
LAUNCHED = EXPORTED = 100_000
# Ten thousand take the commit before this bench minutes; `fleet` has them for the present one.
OVERDUE = 1_000
PAIRS = 2
ROUNDS, ROUND_SECONDS = 7, 2
AGENTS = 64
MOST_EXPIRY_SECONDS = 120.0
# While rows are seeded, not while anything is measured.
QUICK_SEEDING = "&options=-c%20synchronous_commit%3Doff%20-c%20maintenance_work_mem%3D256MB"
SERVER_OPTIONS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
MIGRATED = "migrated"
NO_LIMIT = {"XEENET_STATEMENT_TIMEOUT_SECONDS": "0", "XEENET_IDLE_TRANSACTION_SECONDS": "0"}


@dataclass
class Run:
    """Everything that a run has measured."""

    arguments: argparse.Namespace
    postgres: str
    parent: Path | None
    # Of each round the p50 of a claim in ms, and web and PostgreSQL CPU ms of a task, by queue.
    claims: dict[int, list[tuple[float, float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    foreign: list[float] = field(default_factory=list)
    # Seconds of each turn, by what was done and which side did it.
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def ratio(self, what: str) -> float | None:
        """Return how many times as fast as the parent this commit is; None without a parent."""
        mine, theirs = self.seconds[what, "present"], self.seconds[what, "parent"]
        return paired(theirs, mine) if theirs and mine else None


def options(parser: argparse.ArgumentParser) -> None:
    """Add the part's own options."""
    add = parser.add_argument
    add("--parent", help="a commit whose launch, export and expiry are measured beside")
    add("--keep", type=Path, help="folder in which the seeded databases stay")
    add("--queued", type=_numbers, default=list(QUEUED), help="waiting tasks, with commas")
    add("--finished", type=int, default=FINISHED, help="ended tasks beside the longest queue")
    add("--launched", type=int, default=LAUNCHED, help="tasks of the launch (default 100,000)")
    add("--exported", type=int, default=EXPORTED, help="results exported (default 100,000)")
    add("--overdue", type=int, default=OVERDUE, help="leases that expire (default 1,000)")
    add("--pairs", type=int, default=PAIRS, help="turns of launch, export and expiry (default 2)")
    add("--rounds", type=int, default=ROUNDS, help=f"turns of claims (default {ROUNDS})")
    add("--seconds", type=int, default=ROUND_SECONDS, help="of a turn of claims (default 2)")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def measure(arguments: argparse.Namespace) -> Report:
    """Seed, measure and return the report."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-growth-")))
        server = stack.enter_context(durable_server(SERVER_OPTIONS, keep=arguments.keep))
        parent = stack.enter_context(worktree(arguments.parent))
        supervisor = stack.enter_context(Supervisor(folder))
        run = Run(arguments, server.cluster.version, parent)
        _migrate(server, folder, stack)
        _measure_claims(run, server, supervisor, folder)
        _measure_pairs(run, server, folder)
    return make_report(run)


def _migrate(server: Server, folder: Path, stack: contextlib.ExitStack) -> None:
    """Make the database that those of this commit are copies of: migrations take long."""
    server.drop(MIGRATED)
    stack.callback(server.drop, MIGRATED)
    product = Product(MIGRATED, ROOT, server.create(MIGRATED), folder / MIGRATED, NO_LIMIT)
    product.order("prepare", port=1)
    product.close()


# --- Claims ---------------------------------------------------------------------------------------


@dataclass
class _Queue:
    web: Web
    agents: list[Agent]
    results: Results


def _measure_claims(run: Run, server: Server, supervisor: Supervisor, folder: Path) -> None:
    arguments = run.arguments
    with contextlib.ExitStack() as stack:
        queues = {}
        for size in sorted(arguments.queued):
            finished = arguments.finished if size == max(arguments.queued) else 0
            name = f"queue_{size}_{finished}"
            began = time.monotonic()
            if not server.has(name):
                _seed_queue(server, name, folder, size, finished)
            product = Product(name, ROOT, server.url(name), folder / name)
            stack.callback(product.close)
            web = stack.enter_context(product.serving(supervisor))
            prefix = f"run{os.getpid()}-{time.time_ns()}"
            agents = product.order("workers", prefix=prefix, count=AGENTS)
            campaign = product.order("results_of", name="waiting")
            product.order("classes", campaign_id=campaign["campaign"], prefix=prefix)
            queues[size] = _Queue(web, [Agent(**one) for one in agents], Results(campaign))
            print(f"{size:,} tasks wait after {time.monotonic() - began:.0f} s", flush=True)
        sizes = list(queues)
        for number_of_round in range(-1, arguments.rounds):
            for place in range(len(sizes)):
                size = sizes[(place + number_of_round) % len(sizes)]
                _claim(run, server, size, queues[size], keeps=number_of_round >= 0)


def _seed_queue(server: Server, name: str, folder: Path, size: int, finished: int) -> None:
    url = server.create(name, like=MIGRATED)
    try:
        product = Product(name, ROOT, url + QUICK_SEEDING, folder / f"seed-{name}", NO_LIMIT)
        try:
            if finished:
                product.order("workers", prefix="before", count=AGENTS)
                product.order("finished", name="ended", tasks=finished, prefix="before")
            # More than are claimed in a run: a queue that runs dry has nothing to measure.
            product.order("campaign", name="waiting", tasks=size)
            product.order("settle")
        finally:
            product.close()
    except BaseException:
        server.drop(name)
        raise


def _claim(run: Run, server: Server, size: int, queue: _Queue, *, keeps: bool) -> None:
    meter = Meter({"web": queue.web.pid, "database": server.pid})
    load = asyncio.run(
        tasks(
            queue.web.port,
            queue.agents,
            queue.results,
            connections=1,
            count=1,
            seconds=run.arguments.seconds,
        )
    )
    cost = meter.stop()
    if keeps:
        each = [1000 * cost.cpu[part] / max(1, load.tasks) for part in ("web", "database")]
        run.claims[size].append((1000 * percentile(load.claim_seconds, 0.5), each[0], each[1]))
        run.foreign.append(cost.foreign_cores)


# --- Launch, export, expiry -----------------------------------------------------------------------


def _measure_pairs(run: Run, server: Server, folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        sides: dict[str, tuple[Product, int]] = {}
        for side, checkout in (("present", ROOT), ("parent", run.parent)):
            if checkout is not None:
                sides[side] = _pair_side(run, server, folder, stack, side, checkout)
        for turn in range(run.arguments.pairs):
            order = list(sides)[:: 1 if turn % 2 == 0 else -1]
            for side in order:
                _launch(run, side, sides[side][0], turn)
            for side in order:
                product, campaign = sides[side]
                file = str(folder / f"{side}.csv")
                took = product.order("export", campaign_id=campaign, file=file)
                run.seconds["export", side].append(took["seconds"])
            for side in order:
                _expire(run, side, sides[side][0], turn)
            print(f"pair {turn + 1} of {run.arguments.pairs} is over", flush=True)


def _pair_side(
    run: Run,
    server: Server,
    folder: Path,
    stack: contextlib.ExitStack,
    side: str,
    checkout: Path,
) -> tuple[Product, int]:
    """Return the side's process, and its campaign that is exported."""
    name, arguments = f"pairs_{side}", run.arguments
    server.drop(name)
    is_parent = checkout != ROOT
    url = server.create(name) if is_parent else server.create(name, like=MIGRATED)
    seeding = Product(name, checkout, url + QUICK_SEEDING, folder / f"seed-{name}", NO_LIMIT)
    stack.callback(server.drop, name)
    try:
        if is_parent:
            seeding.order("prepare", port=1)
        seeding.order("workers", prefix="before", count=AGENTS)
        campaign = seeding.order(
            "finished", name="exported", tasks=arguments.exported, prefix="before"
        )
        for turn in range(arguments.pairs):
            seeding.order("workers", prefix=f"lost{turn}", count=arguments.overdue)
        seeding.order("settle")
    finally:
        seeding.close()
    product = Product(side, checkout, url, folder / side, NO_LIMIT)
    stack.callback(product.close)
    return product, campaign


def _launch(run: Run, side: str, product: Product, turn: int) -> None:
    name = f"launched {turn}"
    took = product.order("launch", name=name, tasks=run.arguments.launched)
    run.seconds["launch", side].append(took["launch"])
    run.seconds["launch, until all tasks are made", side].append(took["all"])


def _expire(run: Run, side: str, product: Product, turn: int) -> None:
    product.order("hold", prefix=f"lost{turn}", count=1, lease_seconds=600)
    overdue = product.order("let_run_out")
    took = product.timed("expire_all", most_seconds=MOST_EXPIRY_SECONDS)
    run.seconds["expiry", side].append(took["seconds"] * overdue / max(1, took["answer"]))


# --- Report ---------------------------------------------------------------------------------------


def bars(run: Run) -> list[Bar]:
    """Return the bars with what was measured."""
    sizes = sorted(run.claims)
    growth = None
    if len(sizes) > 1:
        small, large = ([p50 for p50, _, _ in run.claims[size]] for size in (sizes[0], sizes[-1]))
        growth = paired(large, small)
    no_parent = "no --parent"
    return [
        Bar(
            f"p50 of a claim with {sizes[-1]:,} waiting, times that with {sizes[0]:,}"
            if sizes
            else "p50 of a claim",
            growth,
            1.2,
            unit=" ×",
        ),
        *[
            Bar(
                f"{what}, times as fast as the parent",
                run.ratio(what),
                5,
                at_least=True,
                unit=" ×",
                why_not=no_parent,
            )
            for what in ("launch", "export", "expiry")
        ],
    ]


def make_report(run: Run) -> Report:
    """Return tables and bars of a run."""
    arguments = run.arguments
    conditions = (
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end, {run.postgres} "
        f"with the durability of its defaults and 1 GB of buffers, commit {commit_of(ROOT)}"
        f"{f' beside {arguments.parent}' if run.parent else ''}; claims: {arguments.rounds} "
        f"rounds of {arguments.seconds} s on one connection; the rest: {arguments.pairs} turns."
    )
    longest = max(arguments.queued)
    claim_rows = [
        [
            f"{size:,} wait" + (f", {arguments.finished:,} have ended" if size == longest else ""),
            *[number(median([one[place] for one in rounds])) for place in range(3)],
        ]
        for size, rounds in sorted(run.claims.items())
    ]
    heads = ("tasks", "claim p50 ms", "web CPU ms", "PostgreSQL CPU ms")
    note = (
        "CPU is for a task, claimed and completed. Other programs used "
        f"{number(median(run.foreign))} cores meanwhile."
    )
    what_rows = [
        [
            f"{what} of {count:,}{'' if what != 'expiry' else ' leases'}",
            *[_seconds(run, what, side) for side in ("present", "parent")],
        ]
        for what, count in (
            ("launch", arguments.launched),
            ("launch, until all tasks are made", arguments.launched),
            ("export", arguments.exported),
            ("expiry", arguments.overdue),
        )
    ]
    more = Table("Large campaigns", ("seconds", "this commit", "parent"), what_rows)
    return Report("growth", conditions, [Table("Claims", heads, claim_rows, note), more], bars(run))


def _seconds(run: Run, what: str, side: str) -> str:
    seconds: Any = run.seconds[what, side]
    return number(median(seconds)) if seconds else ""
