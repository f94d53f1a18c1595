"""The figures of `make bench ARGS=http`: samples, ratios, tables and bars."""

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed.machine import Cost
from benchmarks.speed.products import ROOT, commit_of
from benchmarks.speed.report import Bar, Report, Table, median, number, paired, percentile

OURS, SQLITE, PARENT, RAW = "XeeNet postgresql", "XeeNet sqlite", "XeeNet parent", "raw"
BATCH = 16
MOST_CONNECTIONS = 32


@dataclass(frozen=True)
class Sample:
    """One turn of one side: `calls` has the seconds of each call by its kind."""

    side: str
    connections: int
    count: int
    tasks: int
    cost: Cost
    calls: Mapping[str, Sequence[float]]

    @property
    def rate(self) -> float:
        return self.tasks / self.cost.seconds

    def cpu_ms(self, *parts: str) -> float:
        """Return the CPU ms of these parts for a task; NaN without a task."""
        spent = sum(self.cost.cpu.get(part, 0.0) for part in parts)
        return 1000 * spent / self.tasks if self.tasks else math.nan


@dataclass(frozen=True)
class Beat:
    """One turn of heartbeats, each for so many leases."""

    side: str
    leases: int
    beats: int
    cost: Cost
    seconds: Sequence[float]

    def cpu_ms(self, *parts: str) -> float:
        spent = sum(self.cost.cpu.get(part, 0.0) for part in parts)
        return 1000 * spent / self.beats if self.beats else math.nan


@dataclass
class Run:
    """Everything that a run has measured."""

    arguments: argparse.Namespace
    postgres: str
    parent: Path | None
    samples: dict[tuple[str, int, int], list[Sample]] = field(
        default_factory=lambda: defaultdict(list)
    )
    beats: list[Beat] = field(default_factory=list)
    # Statements and commits of a call, by side and call.
    calls: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    # RSS and PSS in MiB, by side and process.
    memory: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    # Answers but 200, and lines about locks, at 64 connections on SQLite; None: not tried.
    locks: tuple[int, int, int] | None = None

    def note(self, sample: Sample) -> None:
        """Keep a turn with those of its kind."""
        self.samples[sample.side, sample.connections, sample.count].append(sample)

    def fastest(self, side: str, count: int = 1) -> list[Sample]:
        """Return the side's turns at the number of connections at which it was the fastest."""
        kinds = [
            samples for key, samples in self.samples.items() if key[0] == side and key[2] == count
        ]
        return max(kinds, key=lambda kind: median([one.rate for one in kind]), default=[])

    def ratio(
        self, mine: Sequence[Sample], theirs: Sequence[Sample], of: Callable[[Sample], float]
    ) -> float | None:
        """Return the median of the rounds' ratios; None when one of them was not measured."""
        if not mine or not theirs:
            return None
        return paired([of(one) for one in mine], [of(one) for one in theirs])

    def beat_ratio(self, leases: int) -> float | None:
        """Return our CPU of a heartbeat relative to the parent's; None without a parent."""
        mine, theirs = (
            [beat.cpu_ms("web", "database") for beat in self.beats if _is(beat, side, leases)]
            for side in (OURS, PARENT)
        )
        return paired(mine, theirs) if theirs else None


def _is(beat: Beat, side: str, leases: int) -> bool:
    return beat.side == side and beat.leases == leases


def _rate(sample: Sample) -> float:
    return sample.rate


def _cpu(sample: Sample) -> float:
    return sample.cpu_ms("web", "database")


def bars(run: Run) -> list[Bar]:
    """Return the bars of the hot path with what was measured."""
    single, batches = run.fastest(OURS), run.fastest(OURS, BATCH)
    raw, raw_batches = run.fastest(RAW), run.fastest(RAW, BATCH)
    optuna = max(
        (run.fastest(f"Optuna {sampler}") for sampler in ("random", "tpe")),
        key=lambda kind: median([one.rate for one in kind]) if kind else 0.0,
    )
    no_raw, no_parent = "raw was left out", "no --parent"
    made = [
        _percent("one at a time, of raw PostgreSQL", run.ratio(single, raw, _rate), 10, 20, no_raw),
        Bar(
            "one at a time, times Optuna's best",
            run.ratio(single, optuna, _rate),
            *(8, True, 15, " ×", "Optuna was left out"),
        ),
        _percent(
            "batches of 16, of raw batches", run.ratio(batches, raw_batches, _rate), 13, 20, no_raw
        ),
        Bar("batches, times one at a time", run.ratio(batches, single, _rate), 4, True, unit=" ×"),
        Bar(
            "CPU a task, times raw's",
            run.ratio(single, raw, _cpu),
            *(15, False, None, " ×", no_raw),
        ),
        Bar(
            "CPU a task in batches, times raw's in batches",
            run.ratio(batches, raw_batches, _cpu),
            *(9, False, None, " ×", no_raw),
        ),
    ]
    for call in ("claim", "result"):
        kind = run.samples.get((OURS, MOST_CONNECTIONS, 1), [])
        made.append(
            Bar(
                f"p99 of a {call} at {MOST_CONNECTIONS} connections, times its p50",
                spread(kind, call) if kind else None,
                *(5, False, None, " ×"),
            )
        )
    for leases in sorted({beat.leases for beat in run.beats}):
        made.append(
            Bar(
                f"CPU of a heartbeat for {leases} leases, of the parent's",
                run.beat_ratio(leases),
                *(0.125, False, None, "", no_parent),
            )
        )
    sqlite = run.ratio(run.fastest(SQLITE), single, _rate)
    made.append(_percent("SQLite, of our PostgreSQL", sqlite, 40, None, "SQLite was left out"))
    wrong = None if run.locks is None else float(run.locks[1] + run.locks[2])
    made.append(
        Bar("lock errors at 64 connections on SQLite", wrong, 0, why_not="SQLite was left out")
    )
    made += [
        Bar(f"{name}, PSS when idle, times the parent's", ratio, 1.02, False, None, " ×", no_parent)
        for name, ratio in memory_ratios(run).items()
    ]
    return made


def _percent(
    name: str, ratio: float | None, limit: float, stretch: float | None, why_not: str
) -> Bar:
    value = None if ratio is None else 100 * ratio
    return Bar(name, value, limit, True, stretch, " %", why_not)


def spread(kind: Sequence[Sample], call: str) -> float:
    """Return how many times as long as the middle call the slowest hundredth takes.

    The median over the rounds: in another round the machine may be slower, which is no spread.
    """
    seconds = [sample.calls[call] for sample in kind]
    return median([percentile(one, 0.99) / percentile(one, 0.5) for one in seconds])


def memory_ratios(run: Run) -> dict[str, float | None]:
    """Return the PSS of each kind of process, relative to the parent's; None without a parent."""
    mine, theirs = run.memory.get("postgresql", {}), run.memory.get("parent", {})
    return {
        name: pss / theirs[name][1] if name in theirs else None for name, (_, pss) in mine.items()
    }


def make_report(run: Run) -> Report:
    """Return tables and bars of a run."""
    arguments = run.arguments
    rounds = max((len(kind) for kind in run.samples.values()), default=0)
    conditions = (
        f"{_machine()}, {run.postgres} with the durability of its defaults, commit "
        f"{commit_of(ROOT)}{f' beside {arguments.parent}' if run.parent else ''}; "
        f"{arguments.processes} web server process, as `serve` starts it; {rounds} "
        f"rounds, {arguments.seconds} s for each turn, {arguments.agents} workers call."
    )
    tables = [_load_table(run), _beat_table(run)]
    if run.calls:
        tables.append(_call_table(run))
    if run.memory:
        tables.append(_memory_table(run))
    return Report("http", conditions, tables, bars(run))


def _machine() -> str:
    import os

    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end"


def _load_table(run: Run) -> Table:
    rows = []
    for (side, connections, count), kind in sorted(run.samples.items(), key=_order):
        waits = [
            f"{_ms(kind, call, 0.5)} / {_ms(kind, call, 0.99)}" if call in kind[0].calls else ""
            for call in ("claim", "result", "cycle")
        ]
        rows.append(
            [
                f"{side}, {f'batches of {count}' if count > 1 else 'one at a time'}",
                str(connections),
                number(median([one.rate for one in kind])),
                *[
                    number(median([one.cpu_ms(part) for one in kind]))
                    if part in kind[0].cost.cpu and (part != "database" or side != SQLITE)
                    else ""
                    for part in ("web", "database", "client")
                ],
                *waits,
                number(median([one.cost.foreign_cores for one in kind])),
            ]
        )
    heads = ("claim + complete", "connections", "tasks/s", "web CPU ms", "PostgreSQL CPU ms")
    more = ("client CPU ms", "claim ms", "result ms", "task ms", "cores of others")
    note = (
        "CPU is for a task. Waits are p50 / p99: of a claim, of a result, and of a whole task "
        "where claim and completion are one transaction of pgbench or one trial of Optuna."
    )
    return Table("Claim and complete", (*heads, *more), rows, note)


def _order(item: tuple[tuple[str, int, int], list[Sample]]) -> tuple[int, str, int, int]:
    (side, connections, count), _ = item
    first = [OURS, SQLITE, PARENT, RAW]
    return (first.index(side) if side in first else len(first), side, count, connections)


def _ms(kind: Sequence[Sample], call: str, share: float) -> str:
    return number(1000 * median([percentile(one.calls[call], share) for one in kind]))


def _beat_table(run: Run) -> Table:
    kinds: dict[tuple[str, int], list[Beat]] = defaultdict(list)
    for beat in run.beats:
        kinds[beat.side, beat.leases].append(beat)
    rows = [
        [
            f"{side}, {leases} leases",
            number(median([one.beats / one.cost.seconds for one in kind])),
            number(median([one.cpu_ms("web") for one in kind])),
            number(median([one.cpu_ms("database") for one in kind])),
            number(median([one.cpu_ms("client") for one in kind])),
            number(1000 * median([percentile(one.seconds, 0.5) for one in kind])),
            number(1000 * median([percentile(one.seconds, 0.99) for one in kind])),
            number(median([one.cost.foreign_cores for one in kind])),
        ]
        for (side, leases), kind in sorted(kinds.items())
    ]
    heads = ("heartbeat", "a second", "web CPU ms", "PostgreSQL CPU ms", "client CPU ms")
    more = ("p50 ms", "p99 ms", "cores of others")
    note = "On 8 connections. Every worker beats once in a round, so its presence is always due."
    return Table("Heartbeats", (*heads, *more), rows, note)


def _call_table(run: Run) -> Table:
    rows = [
        [f"XeeNet {side}, {call}", number(statements), number(commits)]
        for side, calls in run.calls.items()
        for call, (statements, commits) in calls.items()
    ]
    note = (
        "Means of some calls, from PostgreSQL's log of statements; a commit is a transaction that "
        "writes or locks rows."
    )
    return Table("Statements", ("call", "statements", "commits"), rows, note)


def _memory_table(run: Run) -> Table:
    rows = [
        [f"XeeNet {side}, {name}", number(rss), number(pss)]
        for side, processes in run.memory.items()
        for name, (rss, pss) in processes.items()
    ]
    return Table("Memory when idle", ("processes", "RSS MiB", "PSS MiB"), rows)
