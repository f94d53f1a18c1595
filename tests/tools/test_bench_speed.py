"""`make bench`: how it judges and counts, and each part at a tiny size with real processes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks.speed import __main__ as command
from benchmarks.speed import fleet, raw
from benchmarks.speed.client import Agent, Load, Refused, Results, hand_in, open_line
from benchmarks.speed.fleet import Lived, Watch
from benchmarks.speed.growth import Run as GrowthRun
from benchmarks.speed.growth import bars as growth_bars
from benchmarks.speed.hot_extras import count_statements
from benchmarks.speed.hot_report import (
    OURS,
    PARENT,
    RAW,
    SQLITE,
    Beat,
    Run,
    Sample,
    bars,
    make_report,
    spread,
)
from benchmarks.speed.machine import Cost, cpu_seconds
from benchmarks.speed.open_loop import Beats, beat, join
from benchmarks.speed.products import durable_server, worktree
from benchmarks.speed.report import DOCUMENT, Bar, Report, Table, marks, number, paired, percentile
from tests.processes import ROOT
from workers.result_line import metrics_problems

CAMPAIGN = {
    "campaign": 1,
    "dataset_sha256": "d" * 64,
    "code_sha256": "c" * 64,
    "eval_bytes": 111_539,
}


def sample(
    side: str, rate: float, *, connections: int = 8, count: int = 1, cpu: float = 1.0
) -> Sample:
    """Return a turn of ten seconds at this rate, with so many ms of web CPU a task."""
    tasks = round(10 * rate)
    cost = Cost(10.0, {"web": cpu * tasks / 1000, "database": 0.0, "client": 0.0}, 0.5)
    calls = {"claim": [0.01] * 99 + [0.02], "result": [0.01] * 90 + [0.06] * 10}
    return Sample(side, connections, count, tasks, cost, calls)


def run_of(*samples: Sample, **fields: object) -> Run:
    arguments = argparse.Namespace(parent=None, processes=1, seconds=10, agents=8)
    run = Run(arguments, "PostgreSQL", None, **fields)  # type: ignore[arg-type]
    for one in samples:
        run.note(one)
    return run


def bar_of(run: Run, name: str) -> Bar:
    (found,) = [bar for bar in bars(run) if bar.name == name]
    return found


# --- Bars and tables ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (Bar("a", 10.0, 10, at_least=True), "held"),
        (Bar("a", 9.9, 10, at_least=True), "MISSED"),
        (Bar("a", 20.0, 10, at_least=True, stretch=20), "held, and the stretch"),
        (Bar("a", 19.0, 10, at_least=True, stretch=20), "held"),
        (Bar("a", 5.0, 5), "held"),
        (Bar("a", 5.1, 5), "MISSED"),
        (Bar("a", math.nan, 5), "MISSED"),
        (Bar("a", math.nan, 5, at_least=True), "MISSED"),
        (Bar("a", None, 5, why_not="no --parent"), "not measured: no --parent"),
    ],
)
def test_a_bar_is_held_up_to_its_limit_and_never_by_nothing(bar: Bar, verdict: str) -> None:
    assert bar.verdict == verdict
    assert bar.holds == (not verdict.startswith("MISSED"))


def test_figures_have_three_digits() -> None:
    values = (0, 0.012345, 1.005, 99.96, 1234.5, 1e6, math.nan, math.inf)
    written = ["0", "0.0123", "1", "100", "1,234", "1,000,000", "none", "none"]
    assert [number(value) for value in values] == written


def test_a_ratio_is_the_middle_one_of_the_rounds() -> None:
    # The machine became slower for both in the second round: no ratio changes for that.
    assert paired([10.0, 1.0, 30.0], [5.0, 0.5, 10.0]) == 2.0
    assert paired([1.0], [0.0]) == math.inf
    assert math.isnan(paired([], []))
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert math.isnan(percentile([], 0.99))


def test_a_part_replaces_its_own_part_of_the_document(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    lines = [line for part in command.PARTS for line in marks(part)]
    document.write_text("\n".join(["# Title", *lines, "The end"]))
    table = Table("Speed", ("side", "tasks/s"), [["ours", "30"]], "A note.")
    report = Report("fleet", "2 cores", [table], [Bar("rate", 3.0, 2, at_least=True)])

    report.write(document)
    report.write(document)

    text = document.read_text()
    begin, end = marks("fleet")
    written = text.partition(begin)[2].partition(end)[0]
    assert "| side | tasks/s |\n|---|---:|\n| ours | 30 |\n\nA note." in written
    assert "| rate | 3 | at least 2 | held |" in written
    assert text.count("tasks/s") == 1
    assert text.startswith("# Title\n<!-- written by bench http: begin -->\n<!-- written")


def test_the_document_has_a_place_for_each_part() -> None:
    text = DOCUMENT.read_text()
    for part in command.PARTS:
        begin, end = marks(part)
        assert text.count(begin) == text.count(end) == 1
        assert text.index(begin) < text.index(end)


def test_a_report_says_how_many_bars_were_missed() -> None:
    missed = Report("http", "2 cores", [], [Bar("a", 1.0, 2, at_least=True), Bar("b", 1.0, 2)])
    assert missed.text().endswith("1 missed")
    assert not missed.holds
    assert Report("http", "2 cores", [], [Bar("b", 1.0, 2)]).text().endswith("Every bar is held.")


# --- The hot path ---------------------------------------------------------------------------------


def test_each_side_is_judged_where_it_is_fastest() -> None:
    run = run_of(
        sample(OURS, 20, connections=1),
        sample(OURS, 100, connections=8),
        sample(RAW, 500, connections=8),
        sample(RAW, 1_000, connections=32),
        sample("Optuna random", 10, connections=1),
        sample("Optuna tpe", 20, connections=8),
        sample(SQLITE, 45, connections=1),
        sample(OURS, 390, count=16),
        sample(RAW, 3_000, count=16),
    )

    assert bar_of(run, "one at a time, of raw PostgreSQL").value == pytest.approx(10)
    assert bar_of(run, "one at a time, times Optuna's best").value == pytest.approx(5)
    assert bar_of(run, "batches of 16, of raw batches").value == pytest.approx(13)
    assert bar_of(run, "batches, times one at a time").value == pytest.approx(3.9)
    assert bar_of(run, "SQLite, of our PostgreSQL").value == pytest.approx(45)
    held = {bar.name for bar in bars(run) if bar.value is not None and bar.holds}
    assert "one at a time, of raw PostgreSQL" in held
    assert "one at a time, times Optuna's best" not in held
    assert "batches, times one at a time" not in held


def test_cpu_is_compared_for_a_task() -> None:
    run = run_of(sample(OURS, 50, cpu=30.0), sample(RAW, 100, cpu=2.5))

    assert bar_of(run, "CPU a task, times raw's").value == pytest.approx(12)
    assert bar_of(run, "CPU a task in batches, times raw's in batches").value is None


def test_the_spread_is_that_of_a_round_and_judged_for_each_call() -> None:
    run = run_of(sample(OURS, 50, connections=32), sample(OURS, 50, connections=32))

    assert spread(run.samples[OURS, 32, 1], "result") == pytest.approx(6)
    assert bar_of(run, "p99 of a claim at 32 connections, times its p50").holds
    assert not bar_of(run, "p99 of a result at 32 connections, times its p50").holds


def test_heartbeats_and_memory_are_held_to_the_parents() -> None:
    run = run_of(sample(OURS, 50))
    for side, cpu in ((OURS, 1.0), (PARENT, 8.0)):
        cost = Cost(1.0, {"web": cpu, "database": cpu, "client": 0.0}, 0.0)
        run.beats.append(Beat(side, 1, 100, cost, [0.01]))
    run.memory = {
        "postgresql": {"web server": (100.0, 90.0), "q-cluster": (80.0, 60.0)},
        "parent": {"web server": (100.0, 80.0), "q-cluster": (80.0, 60.0)},
    }

    assert bar_of(run, "CPU of a heartbeat for 1 leases, of the parent's").value == 0.125
    assert not bar_of(run, "web server, PSS when idle, times the parent's").holds
    assert bar_of(run, "q-cluster, PSS when idle, times the parent's").holds


def test_what_was_left_out_misses_no_bar_and_shows_in_no_table() -> None:
    run = run_of(sample(OURS, 50, connections=32))

    report = make_report(run)

    assert [bar.verdict for bar in report.bars if bar.name.startswith("SQLite")] == [
        "not measured: SQLite was left out"
    ]
    assert "Memory" not in report.text()


LOG = textwrap.dedent(
    """\
    2026-01-05 12:00:00.000 UTC [7] LOG:  statement: BEGIN
    2026-01-05 12:00:00.001 UTC [8] LOG:  execute <unnamed>: SELECT clock_timestamp()
    2026-01-05 12:00:00.001 UTC [7] LOG:  execute _pg3_1: UPDATE task
    \tSET state = $1
    2026-01-05 12:00:00.001 UTC [7] DETAIL:  parameters: $1 = 'statement: DELETE FROM x'
    2026-01-05 12:00:00.002 UTC [7] LOG:  statement: SAVEPOINT "s1"
    2026-01-05 12:00:00.002 UTC [7] LOG:  statement: INSERT INTO attempt VALUES (1)
    2026-01-05 12:00:00.002 UTC [7] LOG:  statement: ROLLBACK TO SAVEPOINT "s1"
    2026-01-05 12:00:00.003 UTC [7] LOG:  statement: COMMIT
    2026-01-05 12:00:00.004 UTC [8] LOG:  statement: BEGIN
    2026-01-05 12:00:00.004 UTC [8] LOG:  statement: SELECT 1
    2026-01-05 12:00:00.004 UTC [8] LOG:  statement: COMMIT
    2026-01-05 12:00:00.005 UTC [8] LOG:  statement: BEGIN
    2026-01-05 12:00:00.005 UTC [8] LOG:  statement: DELETE FROM task
    2026-01-05 12:00:00.005 UTC [8] LOG:  statement: ROLLBACK
    2026-01-05 12:00:00.006 UTC [8] LOG:  statement: WITH a AS (UPDATE t SET b = 1) SELECT 1
    """
)


def test_statements_and_commits_are_counted_from_the_log_of_the_database() -> None:
    counted = count_statements(LOG)

    # The clock, the update, the insert, SELECT 1, the delete, the last one.
    assert counted.statements == 6
    # Of the two transactions that committed one wrote, and so did the last statement.
    assert counted.commits == 2


def test_the_bodies_of_the_client_are_results_that_a_campaign_believes() -> None:
    results = Results(CAMPAIGN)

    first, second = (json.loads(results.body(seed)) for seed in (5, 6))

    assert metrics_problems(first["metrics"]) == metrics_problems(second["metrics"]) == []
    assert (first["metrics"]["seed"], second["metrics"]["seed"]) == (5, 6)
    assert first["metrics"]["val_bpb"] != second["metrics"]["val_bpb"]
    assert metrics_problems(results.line()) == []


# --- The client, against a small server -----------------------------------------------------------


class Answers:
    """A web server that answers each request with the next body, or always with the last one."""

    def __init__(self, *bodies: str) -> None:
        self._bodies = list(bodies)
        self.requests: list[bytes] = []
        self._calls: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serve on a port, which is yielded; hang up afterwards."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await asyncio.gather(*self._calls)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call
        self._calls.add(call)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                body = self._bodies.pop(0) if len(self._bodies) > 1 else self._bodies[0]
                answer = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
                writer.write(answer[:30])  # in two pieces, as a network may deliver it
                await writer.drain()
                writer.write(answer[30:])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            await writer.wait_closed()


def agent(pk: int = 1) -> Agent:
    return Agent(f"worker-{pk}", "xw_secret", "b" * 8, {}, [], pk)


def lease(number: int) -> dict[str, object]:
    return {"lease_id": f"lease-{number}", "config": {"seed": number}}


def handed_in(features: list[str], answers: Answers, leases: int) -> Load:
    """Hand in results of so many leases; the server's claims name these features."""

    async def work() -> Load:
        load = Load()
        async with answers.serving() as port:
            line = await open_line(port)
            reply = {"leases": [lease(n) for n in range(leases)], "features": features}
            try:
                await hand_in(line, agent(), reply, Results(CAMPAIGN), load)
            finally:
                line.close()
        return load

    return asyncio.run(work())


def test_results_go_one_by_one_to_servers_that_take_no_lists() -> None:
    answers = Answers('{"verdict": "accepted"}')

    load = handed_in([], answers, 3)

    assert (load.tasks, load.lists, len(load.result_seconds)) == (3, 0, 3)
    assert [request.split()[:2] for request in answers.requests] == [
        [b"PUT", f"/api/v1/leases/lease-{n}/result".encode()] for n in range(3)
    ]


def test_a_result_that_is_not_accepted_ends_the_run() -> None:
    with pytest.raises(Refused, match="not accepted"):
        handed_in([], Answers('{"verdict": "late"}'), 1)


def test_a_fleet_beats_at_the_interval_that_it_is_told() -> None:
    held = [(agent(pk), f"lease-{pk}") for pk in range(6)]
    beats = Beats([0.05] * len(held))
    told = '{"heartbeat_seconds": 1000.0, "leases": [{"answer": "continue"}]}'
    answers = Answers(told.replace("continue", "lost"), told)

    async def work() -> None:
        async with answers.serving() as port:
            chance = random.Random(1)
            await beat(port, held, beats, seconds=1.0, connections=2, chance=chance)

    asyncio.run(work())

    # Each beats once in its first interval, and is then told to wait for a quarter of an hour.
    assert len(answers.requests) == len(held)
    assert beats.told_seconds == [1000.0] * len(held)
    assert beats.answers == {"lost": 1, "continue": 5}
    assert beats.statuses == {200: 6}
    assert beats.waiting == 0


def test_each_agent_joins_once_and_is_told_its_interval() -> None:
    held = [(agent(pk), f"lease-{pk}") for pk in range(5)]
    beats = Beats([10.0] * len(held))
    answers = Answers('{"heartbeat_seconds":20.5,"leases":[{"answer":"continue"}]}')

    async def work() -> None:
        async with answers.serving() as port:
            await join(port, held, beats, connections=3)

    asyncio.run(work())

    assert beats.told_seconds == [20.5] * len(held)
    assert sum(b'"lease-' in request for request in answers.requests) == len(held)


def test_a_fleet_is_judged_by_its_worst_moment() -> None:
    watch = Watch(looks=[(0.9, 10), (0.6, 10), (0.7, 9)], swept=1)
    beats = Beats([20.0, 35.0], [0.1, 0.2, 0.3], Counter(["continue", "continue", "lost"]))
    beats.statuses = Counter([200, 200, 200, 503])
    cost = Cost(10.0, {"web": 0.3, "database": 0.6, "client": 0.1}, 0.5)
    arguments = argparse.Namespace(processes=1, workers=2, connections=1)

    report = fleet.make_report(arguments, "PostgreSQL", Lived(beats, watch, cost, 10, 1, 1, 12, 5))

    assert [bar.value for bar in report.bars] == [1, 2, 0.6, 35.0, 12]
    assert [bar.holds for bar in report.bars] == [False, False, True, False, False]
    assert ["web CPU ms of a heartbeat", "100"] in report.tables[0].rows
    assert math.isnan(Watch().least)


# --- Growth, processes, worktrees -----------------------------------------------------------------


def test_claims_are_compared_between_the_shortest_and_the_longest_queue() -> None:
    run = GrowthRun(argparse.Namespace(), "PostgreSQL", None)
    for size, p50 in ((1_000, 10.0), (100_000, 50.0), (1_000_000, 13.0)):
        run.claims[size].append((p50, 1.0, 1.0))
    run.seconds["launch", "present"] += [1.0, 2.0]
    run.seconds["launch", "parent"] += [9.0, 10.0]

    claims, launch, export, _ = growth_bars(run)

    assert claims.value == pytest.approx(1.3)
    assert not claims.holds
    assert launch.value == pytest.approx(7)
    assert export.verdict == "not measured: no --parent"


def test_cpu_includes_that_of_children_that_have_ended() -> None:
    before = cpu_seconds(os.getpid())
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)

    assert cpu_seconds(os.getpid()) - before >= 0.25


def test_a_commit_is_checked_out_for_as_long_as_it_is_needed() -> None:
    with worktree("HEAD") as checkout:
        assert checkout is not None
        assert (checkout / "dev.py").exists()
    assert not checkout.exists()
    with worktree(None) as checkout:
        assert checkout is None
    with (
        pytest.raises(SystemExit, match="no checkout of 'no-such-commit'"),
        worktree("no-such-commit"),
    ):
        pass


def test_without_a_part_the_parts_are_listed() -> None:
    listed = bench()
    assert listed.returncode == 0
    assert all(f"\n    {part} " in listed.stdout for part in command.PARTS)


# --- Each part at a tiny size ---------------------------------------------------------------------


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `make bench` with these arguments, as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *arguments],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
        timeout=880,
    )


def reported(part: str, *arguments: str) -> str:
    """Run a part that only reports; return what it printed."""
    answer = bench(part, "--only-report", *arguments)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return answer.stdout


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.postgresql_only
@pytest.mark.django_db
def test_raw_sql_writes_the_rows_of_each_task_once() -> None:
    with durable_server() as server:
        raw.prepare(server, 5_000)
        metrics = Results(CAMPAIGN).line()
        single = raw.run(server, metrics, connections=2, count=1, seconds=1)
        batches = raw.run(server, metrics, connections=1, count=16, seconds=1)
        tables = ("attempt", "result", "journal")
        with psycopg.connect(server.url(raw.DATABASE)) as connection:

            def count(what: str) -> int:
                row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()
                assert row
                return int(row[0])

            done = count("task WHERE state = 'completed'")
            rows = [count(table) for table in tables]
            leased = count("task WHERE state = 'leased'")

    assert done == single.tasks + batches.tasks
    assert rows == [done, done, 2 * done]
    assert leased == 0
    assert len(single.cycle_seconds) == single.tasks
    assert len(batches.cycle_seconds) == batches.tasks // 16


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.postgresql_only
@pytest.mark.django_db
def test_a_tiny_run_of_http_measures_every_side() -> None:
    sizes = ("--rounds=1", "--seconds=1", "--agents=8", "--holders=9")
    text = reported("http", *sizes)

    for side in ("postgresql", "sqlite"):
        assert f"XeeNet {side}, one at a time" in text
    assert "raw, batches of 16" in text
    assert "Optuna tpe, one at a time" in text
    assert "XeeNet postgresql, 16 leases" in text
    assert "XeeNet postgresql, result of 16" in text
    assert "XeeNet postgresql, q-cluster" in text
    unmeasured = [line for line in text.splitlines() if "not measured" in line]
    assert all("not measured: no --parent" in line for line in unmeasured)
    # Any answer but 200 is told.
    assert " answered {" not in text


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.postgresql_only
@pytest.mark.django_db
def test_a_tiny_fleet_lives_and_expires() -> None:
    text = reported("fleet", "--workers=40", "--leases=1", "--beat-seconds=2")

    assert "40 workers hold a lease each" in text
    # Whatever is left at the end expires, and so the sweep takes back.
    assert "expiry of 40 overdue leases" in text
    assert "none" not in text


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Yield a folder that the user who runs PostgreSQL may enter; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.postgresql_only
@pytest.mark.django_db
def test_tiny_queues_grow_and_stay_in_their_folder(shared_folder: Path) -> None:
    kept = shared_folder / "kept"
    sizes = ("--queued=300,600", "--finished=500", "--launched=40", "--exported=500")
    more = ("--overdue=10", "--pairs=1", "--rounds=1", "--seconds=1", f"--keep={kept}")

    text = reported("growth", *sizes, *more)

    assert "600 wait, 500 have ended" in text
    assert "export of 500" in text
    assert "launch of 40" in text
    assert "expiry of 10 leases" in text
    assert (kept / "data" / "PG_VERSION").exists()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_tiny_training_measures_both_loops() -> None:
    text = reported("training", "--rounds=1", "--seconds=0.2", "--budgets=")

    assert "nanoGPT-style, float32" in text
    assert "d_model 128, 4 layers, 64 × 256" in text
    assert "none" not in text
