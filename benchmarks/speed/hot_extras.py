"""Beside the load of `make bench ARGS=http`: statements of a call, memory, locks of SQLite."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.speed.client import Agent, Line, Load, Results, hand_in, open_line, tasks
from benchmarks.speed.machine import memory_mib
from benchmarks.speed.products import Product, Server, Web
from xeenet_site.running.processes import Supervisor

BATCH = 16
CALLS, WARM_UPS = 8, 4
LOCK_CONNECTIONS = 64
# By then the processes of a q-cluster have started, and wait.
CLUSTER_SECONDS = 8.0
LOGGED = "&options=-c%20log_statement%3Dall"
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d .*?\[(\d+)\] (\w+):  (.*)", re.DOTALL)
_STATEMENT = re.compile(r"(?:statement|execute [^:]*): (.*)", re.DOTALL)
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


class Called(Protocol):
    """What is needed of a side: its servers, and who may call."""

    name: str
    web: Web
    product: Product
    agents: list[Agent]
    held: dict[int, list[tuple[Agent, list[str]]]]
    results: Results


@dataclass(frozen=True)
class Counted:
    """Statements without those that only begin and end transactions, and commits that wrote."""

    statements: int
    commits: int


def count_statements(log: str) -> Counted:
    """Return what a part of PostgreSQL's log says was executed, with log_statement=all.

    A commit is the end of a transaction that wrote or locked rows, also of a single statement.
    """
    statements = commits = 0
    writing: dict[str, bool] = {}  # by process, while it is in a transaction
    for text in re.split(r"\n(?=\d{4}-\d\d-\d\d )", log):
        entry = _ENTRY.match(text)
        logged = entry and entry[2] == "LOG" and _STATEMENT.match(entry[3])
        if not entry or not logged:
            continue
        pid, sql = entry[1], logged[1].strip()
        word = sql.split(None, 1)[0].rstrip(";").upper() if sql else ""
        if word == "BEGIN":
            writing[pid] = False
        elif word in {"COMMIT", "ROLLBACK"} and "TO SAVEPOINT" not in sql.upper():
            commits += word == "COMMIT" and writing.pop(pid, False)
            writing.pop(pid, None)
        elif word not in {"SAVEPOINT", "RELEASE", "ROLLBACK"}:
            statements += 1
            writes = bool(_WRITES.search(sql))
            if pid in writing:
                writing[pid] = writing[pid] or writes
            else:
                commits += writes
    return Counted(statements, commits)


def count_calls(
    server: Server, side: Called, supervisor: Supervisor
) -> dict[str, tuple[float, float]]:
    """Return statements and commits of each kind of call, of a web server whose SQL is logged."""
    logged = {"DATABASE_URL": side.product.environment["DATABASE_URL"] + LOGGED}
    with side.product.serving(supervisor, more=logged) as web:
        return asyncio.run(_count_calls(server, side, web))


async def _count_calls(server: Server, side: Called, web: Web) -> dict[str, tuple[float, float]]:
    line = await open_line(web.port)
    figures: dict[str, tuple[float, float]] = {}
    load = Load()

    try:
        await _warm(line, side)
        for count, word in ((1, ""), (BATCH, f" of {BATCH}")):
            before = server.log.stat().st_size
            handed = []
            for agent in side.agents[: CALLS if count == 1 else CALLS // 4]:
                _, body = await line.send(agent.claim(count))
                handed.append((agent, json.loads(body)))
            claimed = count_statements(_log_from(server, before))
            figures[f"claim{word}"] = _means(claimed, len(handed))
            before = server.log.stat().st_size
            for one, reply in handed:
                await hand_in(line, one, reply, side.results, load)
            ended = count_statements(_log_from(server, before))
            figures[f"result{word or ' of one task'}"] = _means(ended, len(handed))
        for leases, held in sorted(side.held.items()):
            before = server.log.stat().st_size
            for agent, lease_ids in held[:CALLS]:
                load.note(*await line.send(agent.heartbeat(lease_ids)))
            beaten = count_statements(_log_from(server, before))
            figures[f"heartbeat for {leases} leases"] = _means(beaten, len(held[:CALLS]))
    finally:
        line.close()
    return figures


def _means(counted: Counted, calls: int) -> tuple[float, float]:
    return counted.statements / max(1, calls), counted.commits / max(1, calls)


def _log_from(server: Server, at: int) -> str:
    with server.log.open("rb") as file:
        file.seek(at)
        return file.read().decode(errors="replace")


def idle_memory(
    sides: Sequence[Called], supervisor: Supervisor
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return RSS and PSS, in MiB, of the idle web server and q-cluster of each side."""
    figures = {}
    for side in sides:
        asyncio.run(_call_once(side))
        web = memory_mib([side.web.pid])
        cluster = supervisor.start(
            f"q-cluster {side.name}", side.web.cluster_command, side.web.environment
        )
        try:
            time.sleep(CLUSTER_SECONDS)
            figures[side.name] = {"web server": web, "q-cluster": memory_mib([cluster.pid])}
        finally:
            supervisor.stop([cluster])
    return figures


async def _call_once(side: Called) -> None:
    line = await open_line(side.web.port)
    try:
        await _warm(line, side)
    finally:
        line.close()


async def _warm(line: Line, side: Called) -> None:
    """Make each kind of call a few times, as a server has that has run for a while."""
    load = Load()
    for agent in side.agents[-WARM_UPS:]:
        for count in (1, BATCH):
            _, body = await line.send(agent.claim(count))
            await hand_in(line, agent, json.loads(body), side.results, load)
        await line.send(agent.heartbeat([]))


def lock_errors(side: Called, *, seconds: float) -> tuple[int, int, int]:
    """Load SQLite with 64 connections; return calls, answers but 200, and log lines about locks."""
    load = asyncio.run(
        tasks(
            side.web.port,
            side.agents,
            side.results,
            connections=LOCK_CONNECTIONS,
            count=1,
            seconds=seconds,
        )
    )
    log = side.web.child.log
    text = log.read_text(errors="replace") if log is not None else ""
    wrong = sum(count for status, count in load.statuses.items() if status != 200)
    return sum(load.statuses.values()), wrong, text.count("database is locked")
