"""`make bench ARGS=http`: claim and complete over HTTP, beside raw SQL and Optuna, in one run.

Every side gets a short turn in each round, so that a machine that becomes slower does so for all;
a figure is the median over the rounds, a ratio the median of the rounds' ratios. CPU is that of the
processes themselves: web server, PostgreSQL with all its sessions, and the client apart.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import optuna_side, raw
from benchmarks.speed.client import Agent, Load, Results, heartbeats, tasks
from benchmarks.speed.hot_extras import count_calls, idle_memory, lock_errors
from benchmarks.speed.hot_report import Beat, Run, Sample, make_report
from benchmarks.speed.machine import Cost, Meter
from benchmarks.speed.products import ROOT, Product, Server, Web, durable_server, worktree
from benchmarks.speed.report import Report
from xeenet_site.running.processes import Supervisor

CONNECTIONS = (1, 8, 32)
BATCH = 16
# More processes of Optuna than this make no more trials on a small machine, and 32 take minutes.
MOST_OPTUNA = 8
# Batches and heartbeats come on so many connections.
MIDDLE = 8
AGENTS = 512
# So many workers only beat, for no lease and for one; for BATCH leases each there are fewer.
HOLDERS, FEWER = 300, 9
# Leases last as long as a run: the leases of those that only beat must outlast the rounds between.
LEASE_SECONDS = 900
ROUND_SECONDS = 3
ROUNDS = 5
MINUTES = 6.0
# So many tasks wait at the start, for each second that a side claims: no side may run dry.
WAITING = {"ours": 1_500, "raw": 8_000, "raw batches": 25_000}


@dataclasses.dataclass
class Side:
    """One XeeNet that is measured: its web server, and whoever calls it."""

    name: str
    web: Web
    product: Product
    campaign: dict[str, Any]
    agents: list[Agent]
    held: dict[int, list[tuple[Agent, list[str]]]]

    def __post_init__(self) -> None:
        self.results = Results(self.campaign)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the part's own options."""
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, help=f"turns of each side (default {ROUNDS})")
    add(
        "--seconds",
        type=int,
        default=ROUND_SECONDS,
        help=f"of a turn (default {ROUND_SECONDS})",
    )
    add("--minutes", type=float, default=MINUTES, help="begin no round after so long (default 6)")
    add("--parent", help="a commit whose heartbeats and memory are measured beside")
    add("--processes", type=int, default=1, help="web server processes (default 1, as `serve`)")
    add("--agents", type=int, default=AGENTS, help=f"workers that call (default {AGENTS})")
    add("--holders", type=int, default=HOLDERS, help=f"that only beat (default {HOLDERS})")
    add("--no-optuna", action="store_true", help="leave Optuna out")
    add("--no-sqlite", action="store_true", help="leave XeeNet on SQLite out")
    add("--no-raw", action="store_true", help="leave raw PostgreSQL out")


def measure(arguments: argparse.Namespace) -> Report:
    """Measure every side in turns, and return the report."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-http-")))
        server = stack.enter_context(durable_server())
        parent = stack.enter_context(worktree(arguments.parent))
        supervisor = stack.enter_context(Supervisor(folder))
        run = Run(arguments, server.cluster.version, parent)
        waiting = WAITING["ours"] * arguments.seconds * arguments.rounds
        start = _Start(stack, supervisor, folder, arguments)
        ours = start.side("postgresql", ROOT, server.create("xeenet"), waiting)
        sides = [ours]
        if parent is not None:
            sides.append(start.side("parent", parent, server.create("parent"), waiting // 4))
        sqlite = None
        if not arguments.no_sqlite:
            url = f"sqlite:///{folder / 'xeenet.sqlite3'}"
            sqlite = start.side("sqlite", ROOT, url, waiting // 2, holds=False)
        others = None
        if not arguments.no_optuna:
            url = server.create("optuna")
            others = stack.enter_context(optuna_side.processes(url, MOST_OPTUNA))
        metrics = None
        if not arguments.no_raw:
            turns = arguments.seconds * arguments.rounds
            rows = turns * (len(CONNECTIONS) * WAITING["raw"] + WAITING["raw batches"])
            raw.prepare(server, rows)
            metrics = ours.results.line()
        print("every side is ready", flush=True)
        run.memory = idle_memory(sides, supervisor)
        run.calls = {side.name: count_calls(server, side, supervisor) for side in sides}
        turns = _turns(arguments, server, sides, sqlite, metrics, others)
        end = time.monotonic() + 60 * arguments.minutes
        for number in range(arguments.rounds):
            if number and time.monotonic() > end:
                print(f"the time is up after {number} rounds", flush=True)
                break
            # Each side comes first as often as any other.
            at = number * len(turns) // arguments.rounds
            for turn in (*turns[at:], *turns[:at]):
                turn(run)
            print(f"round {number + 1} of {arguments.rounds} is over", flush=True)
        if sqlite is not None:
            run.locks = lock_errors(sqlite, seconds=2 * arguments.seconds)
    return make_report(run)


Turn = Callable[[Run], None]


def _turns(
    arguments: argparse.Namespace,
    server: Server,
    sides: Sequence[Side],
    sqlite: Side | None,
    metrics: dict[str, Any] | None,
    others: optuna_side.Processes | None,
) -> list[Turn]:
    """Return the turns of a round: those that are compared come one after the other."""
    seconds = arguments.seconds
    ours, *parents = sides
    turns: list[Turn] = []

    def add_xeenet(side: Side, connections: int, count: int) -> None:
        turns.append(lambda run: _load(run, server, side, connections, count, seconds))

    def add_raw(connections: int, count: int) -> None:
        turns.append(lambda run: _raw(run, server, metrics or {}, connections, count, seconds))

    def add_optuna(sampler: str, count: int) -> None:
        assert others is not None
        turns.append(lambda run: _optuna(run, server, others, sampler, count, seconds))

    for connections, count in [*((n, 1) for n in CONNECTIONS), (MIDDLE, BATCH)]:
        add_xeenet(ours, connections, count)
        if metrics is not None:
            add_raw(connections, count)
        if sqlite is not None:
            add_xeenet(sqlite, connections, count)
        if others is not None and count == 1 and connections <= MOST_OPTUNA:
            for sampler in optuna_side.SAMPLERS:
                add_optuna(sampler, connections)
        if connections == MIDDLE:
            for side in parents:
                add_xeenet(side, connections, count)
    for leases, side in itertools.product(ours.held, sides):
        turns.append(lambda run, of=side, n=leases: _beat(run, server, of, n))
    return turns


def _parts(side: Side, server: Server) -> dict[str, int]:
    return {"web": side.web.pid, "database": server.pid}


def _load(
    run: Run, server: Server, side: Side, connections: int, count: int, seconds: float
) -> None:
    meter = Meter(_parts(side, server))
    load = asyncio.run(
        tasks(
            side.web.port,
            side.agents,
            side.results,
            connections=connections,
            count=count,
            seconds=seconds,
        )
    )
    cost = meter.stop()
    _check(side, load)
    run.note(
        Sample(
            *(f"XeeNet {side.name}", connections, count, load.tasks, cost),
            calls={"claim": load.claim_seconds, "result": load.result_seconds},
        )
    )


def _check(side: Side, load: Load) -> None:
    """Say what was not answered with 200: such a run measures something else."""
    wrong = {status: n for status, n in load.statuses.items() if status != 200}
    if wrong:
        print(f"XeeNet {side.name} answered {wrong}: {load.refusals}", flush=True)


def _raw(
    run: Run,
    server: Server,
    metrics: dict[str, Any],
    connections: int,
    count: int,
    seconds: int,
) -> None:
    meter = Meter({"database": server.pid})
    ran = raw.run(server, metrics, connections=connections, count=count, seconds=seconds)
    cost = dataclasses.replace(meter.stop(), seconds=ran.seconds)
    run.note(Sample("raw", connections, count, ran.tasks, cost, calls={"cycle": ran.cycle_seconds}))


def _optuna(
    run: Run,
    server: Server,
    others: optuna_side.Processes,
    sampler: str,
    count: int,
    seconds: float,
) -> None:
    meter, before = Meter({"database": server.pid}), others.cpu_seconds()
    ran = others.run(sampler, count=count, seconds=seconds)
    cost, spent = meter.stop(), others.cpu_seconds() - before
    cost = Cost(
        ran.seconds,
        {**cost.cpu, "client": spent},
        max(0.0, cost.foreign_cores - spent / cost.seconds),
    )
    calls = {"cycle": ran.trial_seconds}
    run.note(Sample(f"Optuna {sampler}", count, 1, ran.tasks, cost, calls=calls))


def _beat(run: Run, server: Server, side: Side, leases: int) -> None:
    meter = Meter(_parts(side, server))
    load = asyncio.run(heartbeats(side.web.port, side.held[leases], connections=MIDDLE))
    cost = meter.stop()
    _check(side, load)
    run.beats.append(
        Beat(f"XeeNet {side.name}", leases, len(load.beat_seconds), cost, load.beat_seconds)
    )


class _Start:
    """Starts sides: database, workers, a campaign, a web server."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        supervisor: Supervisor,
        folder: Path,
        arguments: argparse.Namespace,
    ) -> None:
        self._stack = stack
        self._supervisor = supervisor
        self._folder = folder
        self._arguments = arguments

    def side(
        self, name: str, checkout: Path, url: str, waiting: int, *, holds: bool = True
    ) -> Side:
        product = Product(
            name,
            checkout,
            url,
            self._folder / name,
            {"XEENET_LEASE_SECONDS": str(LEASE_SECONDS)},
        )
        self._stack.callback(product.close)
        web = self._stack.enter_context(
            product.serving(self._supervisor, processes=self._arguments.processes)
        )
        held = {}
        many = self._arguments.holders
        holders = {0: many, 1: many, BATCH: max(1, many // FEWER)}
        for leases, count in holders.items() if holds else ():
            agents = [
                Agent(**one)
                for one in product.order("workers", prefix=f"holds{leases}", count=count)
            ]
            lists: list[list[str]] = [[] for _ in agents]
            if leases:
                lists = product.order(
                    "hold", prefix=f"holds{leases}", count=leases, lease_seconds=LEASE_SECONDS
                )
            held[leases] = list(zip(agents, lists, strict=True))
        campaign = product.order("campaign", name="claimed", tasks=waiting)
        agents = product.order("workers", prefix="agent", count=self._arguments.agents)
        product.order("classes", campaign_id=campaign["campaign"], prefix="agent")
        product.order("settle")
        return Side(name, web, product, campaign, [Agent(**one) for one in agents], held)
