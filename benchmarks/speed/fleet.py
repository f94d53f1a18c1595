"""`make bench ARGS=fleet`: 10,000 workers live on one small machine, and then all fall silent.

Each holds one lease and beats for it, open loop, at the interval that the server tells it. The
database is asked every few seconds how much of its time each lease has left. A sweep runs all the
while, as claims and the background job do it, so that a lease that runs out is taken back.
"""

import argparse
import asyncio
import contextlib
import math
import os
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmarks.speed.client import Agent
from benchmarks.speed.machine import Cost, Meter
from benchmarks.speed.open_loop import Beats, beat, join
from benchmarks.speed.products import ROOT, Product, commit_of, durable_server
from benchmarks.speed.report import Bar, Report, Table, median, number, percentile
from xeenet_site.running.processes import Supervisor

WORKERS, LEASES = 10_000, 5.0
# A lease lasts so many intervals, as by default.
INTERVALS = 4.5
BEAT_SECONDS = 10.0
CONNECTIONS = 64
SAMPLE_SECONDS, SWEEP_SECONDS = 2.0, 1.0
# While the fleet joins, which is not measured, its leases last for so long.
JOINING_SECONDS = 3_600
MOST_SECONDS = 7.5 * 60
MOST_EXPIRY_SECONDS = 60.0


@dataclass
class Watch:
    """What the database said: of each look the least share that a lease had left, and how many."""

    looks: list[tuple[float, int]] = field(default_factory=list)
    swept: int = 0

    @property
    def least(self) -> float:
        """The least share at any look; NaN without a look."""
        return min((share for share, _ in self.looks), default=math.nan)


@dataclass(frozen=True)
class Lived:
    """A fleet that has lived, and how long the sweep took to take back what it held."""

    beats: Beats
    watch: Watch
    cost: Cost
    seconds: float
    lost: int
    expired: int
    expiry_seconds: float
    expiry_cpu: float


def options(parser: argparse.ArgumentParser) -> None:
    """Add the part's own options."""
    add = parser.add_argument
    add("--workers", type=int, default=WORKERS, help=f"how many (default {WORKERS})")
    add("--leases", type=float, default=LEASES, help="how many lease times they live (default 5)")
    add(
        "--beat-seconds",
        type=float,
        default=BEAT_SECONDS,
        help=f"XEENET_HEARTBEAT_SECONDS of the server (default {BEAT_SECONDS:g})",
    )
    add("--connections", type=int, default=CONNECTIONS, help="of the proxy (default 64)")
    add("--processes", type=int, default=1, help="web server processes (default 1, as `serve`)")


def measure(arguments: argparse.Namespace) -> Report:
    """Let the fleet live, then fall silent; return the report."""
    lease = INTERVALS * arguments.beat_seconds
    environment = {
        "XEENET_HEARTBEAT_SECONDS": str(arguments.beat_seconds),
        "XEENET_LEASE_SECONDS": str(lease),
    }
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-fleet-")))
        server = stack.enter_context(durable_server())
        supervisor = stack.enter_context(Supervisor(folder))
        url = server.create("fleet")
        product = Product("fleet", ROOT, url, folder / "fleet", environment)
        stack.callback(product.close)
        web = stack.enter_context(product.serving(supervisor, processes=arguments.processes))
        known = product.order("workers", prefix="fleet", count=arguments.workers)
        leases = product.order("hold", prefix="fleet", count=1, lease_seconds=JOINING_SECONDS)
        held = [(Agent(**one), own[0]) for one, own in zip(known, leases, strict=True)]
        print(f"{len(held):,} workers hold a lease each", flush=True)
        lived = _live(arguments, server.pid, url, product, web.port, web.pid, held)
    return make_report(arguments, server.cluster.version, lived)


def _live(
    arguments: argparse.Namespace,
    database: int,
    url: str,
    product: Product,
    port: int,
    web: int,
    held: list[tuple[Agent, str]],
) -> Lived:
    joining, watch = Beats([arguments.beat_seconds] * len(held)), Watch()
    asyncio.run(join(port, held, joining, connections=arguments.connections))
    beats = Beats(joining.told_seconds)
    told = median(beats.told_seconds)
    seconds = min((arguments.leases * INTERVALS + 1) * told, MOST_SECONDS)
    print(f"they are told to beat every {told:g} s, and live for {seconds:.0f} s", flush=True)
    times = [INTERVALS * one for one in beats.told_seconds]
    product.order("renew", lease_ids=[lease for _, lease in held], seconds=times)
    meter = Meter({"web": web, "database": database})
    began = time.perf_counter()
    asyncio.run(_beat_and_watch(arguments, url, product, port, held, beats, watch, seconds))
    cost, lived = meter.stop(), time.perf_counter() - began
    left = product.order("let_run_out")
    meter = Meter({"inside": product.inside_pid, "database": database})
    expired = product.timed("expire_all", most_seconds=MOST_EXPIRY_SECONDS)
    spent = meter.stop().cpu
    took = expired["seconds"] * left / max(1, expired["answer"])
    return Lived(
        beats,
        watch,
        cost,
        lived,
        len(held) - left,
        expired["answer"],
        took,
        1000 * (spent["inside"] + spent["database"]) / max(1, expired["answer"]),
    )


async def _beat_and_watch(
    arguments: argparse.Namespace,
    url: str,
    product: Product,
    port: int,
    held: list[tuple[Agent, str]],
    beats: Beats,
    watch: Watch,
    seconds: float,
) -> None:
    """Let the fleet live for so long, and look at its leases meanwhile."""
    place_of = {agent.pk: place for place, (agent, _) in enumerate(held)}
    over = asyncio.Event()

    async def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.is_set():
                rows = await asyncio.to_thread(_left, connection)
                shares = [
                    left / (INTERVALS * beats.told_seconds[place_of[worker]])
                    for worker, left in rows
                    if worker in place_of
                ]
                watch.looks.append((min(shares, default=math.nan), len(shares)))
                await _nap(over, SAMPLE_SECONDS)

    async def sweep() -> None:
        while not over.is_set():
            watch.swept += await asyncio.to_thread(product.order, "sweep")
            await _nap(over, SWEEP_SECONDS)

    watchers = [asyncio.create_task(look()), asyncio.create_task(sweep())]
    try:
        await beat(
            port,
            held,
            beats,
            seconds=seconds,
            connections=arguments.connections,
            chance=random.Random(7),
        )
    finally:
        over.set()
        await asyncio.gather(*watchers)


async def _nap(over: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


def _left(connection: "psycopg.Connection[tuple[int, float]]") -> list[tuple[int, float]]:
    """Return worker and seconds left of each lease."""
    return connection.execute(
        "SELECT worker_id, extract(epoch FROM lease_expires_at - clock_timestamp())::float8 "
        "FROM campaigns_task WHERE state = 'leased'"
    ).fetchall()


def make_report(arguments: argparse.Namespace, postgres: str, lived: Lived) -> Report:
    """Return figures and bars of a fleet that has lived."""
    beats, cost = lived.beats, lived.cost
    answered = len(beats.late_seconds)
    wrong = sum(count for status, count in beats.statuses.items() if status != 200)
    told = median(beats.told_seconds)
    conditions = (
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end, {postgres} "
        f"with the durability of its defaults, commit {commit_of(ROOT)}; {arguments.processes} web "
        f"server process; {arguments.workers:,} workers over {arguments.connections} connections "
        f"for {lived.seconds:.0f} s, that is {lived.seconds / (INTERVALS * told):.1f} leases of "
        f"{INTERVALS * told:g} s."
    )
    late = beats.late_seconds

    def cpu(part: str) -> str:
        return number(1000 * cost.cpu[part] / max(1, answered))

    rows = [
        ["heartbeats a second", number(answered / lived.seconds)],
        ["interval that agents are told, s", number(told)],
        [
            "answered after, p50 / p99 / longest, s",
            " / ".join(
                number(value)
                for value in (percentile(late, 0.5), percentile(late, 0.99), percentile(late, 1.0))
            ),
        ],
        ["web CPU ms of a heartbeat", cpu("web")],
        ["PostgreSQL CPU ms of a heartbeat", cpu("database")],
        ["client CPU ms of a heartbeat", cpu("client")],
        [
            "cores of web server and PostgreSQL",
            number((cost.cpu["web"] + cost.cpu["database"]) / cost.seconds),
        ],
        ["cores of others", number(cost.foreign_cores)],
        ["not answered at the end", number(beats.waiting)],
        ["CPU ms of an expiry, PostgreSQL included", number(lived.expiry_cpu)],
    ]
    note = (
        "Heartbeats are counted from the moment at which an agent wants to beat. All leases were "
        "looked at every 2 s; a sweep ran every second."
    )
    overdue = f"expiry of {arguments.workers:,} overdue leases"
    bars = [
        Bar(
            "leases that ran out although their worker lived", max(lived.lost, lived.watch.swept), 0
        ),
        Bar("heartbeats without their answer", wrong + beats.answers["lost"], 0),
        Bar(
            "least share of its time that a lease had left",
            lived.watch.least,
            0.5,
            at_least=True,
        ),
        Bar("told interval", max(beats.told_seconds), 30, unit=" s"),
        Bar(overdue, lived.expiry_seconds, 10, unit=" s"),
    ]
    return Report("fleet", conditions, [Table("A fleet", ("", "measured"), rows, note)], bars)
