"""`make bench ARGS=fleet`: 10,000 workers live on one small machine, and then all fall silent.

Each holds one lease and beats for it, open loop, at the interval that the server tells it. The
database is asked every few seconds how much of its time each lease has left. A sweep runs all the
while, as claims and the background job do it, so that a lease that runs out is taken back.
"""

import argparse
import asyncio
import contextlib
import os
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmarks.speed.client import Agent, heartbeats
from benchmarks.speed.machine import Cost, Meter
from benchmarks.speed.open_loop import Beats, beat
from benchmarks.speed.products import ROOT, Product, commit_of, durable_server
from benchmarks.speed.report import Bar, Report, Table, median, number, percentile
from xeenet_site.running.processes import Supervisor

WORKERS, LEASES = 10_000, 5.0
# A lease lasts so many intervals, as by default.
INTERVALS = 4.5
BEAT_SECONDS = 10.0
CONNECTIONS = 64
# A worker claims at most so many leases at once; those that claim hand them over.
AT_ONCE = 64
SAMPLE_SECONDS, SWEEP_SECONDS = 2.0, 1.0
# After so many intervals every agent has been told how large its fleet is.
SETTLING_INTERVALS = 2.0
MOST_SECONDS = 8 * 60.0
MOST_EXPIRY_SECONDS = 60.0


@dataclass
class Watch:
    """What the database said: of each look the least share that a lease had left, and how many."""

    looks: list[tuple[float, float, int]] = field(default_factory=list)
    swept: int = 0

    def least(self, since: float) -> float:
        """Return the least share at the looks from `since` seconds on."""
        return min((share for at, share, _ in self.looks if at >= since), default=float("nan"))


@dataclass(frozen=True)
class Lived:
    """A fleet that has lived, and how long the sweep took to take back what it held."""

    beats: Beats
    watch: Watch
    cost: Cost
    seconds: float
    settled_seconds: float
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
        agents = _seed(product, arguments.workers)
        product.order("settle")
        by_pk = {agent.pk: agent for agent in agents}
        pairs = product.order("spread", lease_seconds=lease)
        held = [(by_pk[pk], lease_id) for pk, lease_id in pairs]
        # The first beat tells the interval that suits the fleet.
        asyncio.run(heartbeats(web.port, [(held[0][0], [held[0][1]])], connections=1))
        print(f"{len(held):,} workers hold a lease each", flush=True)
        lived = _live(arguments, server.pid, url, product, web.port, web.pid, held)
    return make_report(arguments, server.cluster.version, lived)


def _seed(product: Product, count: int) -> list[Agent]:
    agents = [Agent(**one) for one in product.order("workers", prefix="fleet", count=count)]
    claimers = -(-count // AT_ONCE)
    product.order("workers", prefix="claims", count=claimers)
    product.order("campaign", name="held", tasks=count + AT_ONCE, budget_seconds=7_200)
    product.order("hold", prefix="claims", count=AT_ONCE)
    return agents


def _live(
    arguments: argparse.Namespace,
    database: int,
    url: str,
    product: Product,
    port: int,
    web: int,
    held: list[tuple[Agent, str]],
) -> Lived:
    beats, watch = Beats([arguments.beat_seconds] * len(held)), Watch()
    meter = Meter({"web": web, "database": database})
    began = time.perf_counter()
    seconds = asyncio.run(_beat_and_watch(arguments, url, product, port, held, beats, watch))
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
        seconds,
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
) -> float:
    """Let the fleet live for its lease times; return after how many seconds it had settled."""
    place_of = {agent.pk: place for place, (agent, _) in enumerate(held)}
    began = time.perf_counter()
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
                at = time.perf_counter() - began
                watch.looks.append((at, min(shares, default=float("nan")), len(shares)))
                await _nap(over, SAMPLE_SECONDS)

    async def sweep() -> None:
        while not over.is_set():
            watch.swept += await asyncio.to_thread(product.order, "sweep")
            await _nap(over, SWEEP_SECONDS)

    async def live(seconds: float) -> None:
        await beat(
            port,
            held,
            beats,
            seconds=seconds,
            connections=arguments.connections,
            chance=random.Random(7),
        )

    watchers = [asyncio.create_task(look()), asyncio.create_task(sweep())]
    try:
        # How long a lease is depends on the size of the fleet, which the first beats tell.
        usual = arguments.beat_seconds * SETTLING_INTERVALS
        await live(min(usual, MOST_SECONDS))
        told = median(beats.told_seconds)
        settled = time.perf_counter() - began + told
        rest = min(arguments.leases * INTERVALS * told + told, MOST_SECONDS - usual)
        print(f"they are told to beat every {told:g} s, and live {rest:.0f} s more", flush=True)
        await live(rest)
    finally:
        over.set()
        await asyncio.gather(*watchers)
    return settled


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
                for value in (percentile(late, 0.5), percentile(late, 0.99), max(late))
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
        ["least share that a lease had left, at the start included", number(lived.watch.least(0))],
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
            lived.watch.least(lived.settled_seconds),
            0.5,
            at_least=True,
        ),
        Bar("told interval", max(beats.told_seconds), 30, unit=" s"),
        Bar(overdue, lived.expiry_seconds, 10, unit=" s"),
    ]
    return Report("fleet", conditions, [Table("A fleet", ("", "measured"), rows, note)], bars)
