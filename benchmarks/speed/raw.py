"""The same work by a few lines of SQL: claim with SKIP LOCKED and complete, sent by pgbench.

Per task it writes what any such queue must: the task moves to leased and to completed, an attempt
begins and ends, a result is stored with its metrics, and the journal has a line for each of the two
moves. Tasks, attempts and results have foreign keys and the indexes that these statements need.
"""

import dataclasses
import json
import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks.speed.products import Server

DATABASE = "raw"
RATE = re.compile(r"tps = ([0-9.]+)")
PROCESSED = re.compile(r"number of transactions actually processed: (\d+)")

SCHEMA = """
CREATE TABLE task (
    id bigserial PRIMARY KEY, params jsonb NOT NULL, seed bigint NOT NULL, state text NOT NULL,
    available_at timestamptz NOT NULL, lease_id uuid UNIQUE, worker_id bigint,
    lease_expires_at timestamptz, deadline_at timestamptz, finished_at timestamptz
);
CREATE INDEX task_pending ON task (available_at, id) WHERE state = 'pending';
CREATE TABLE attempt (
    id bigserial PRIMARY KEY, task_id bigint NOT NULL REFERENCES task, number int NOT NULL,
    lease_id uuid NOT NULL UNIQUE, worker_id bigint NOT NULL, started_at timestamptz NOT NULL,
    ended_at timestamptz, outcome text NOT NULL, exit_code int, wall_time_seconds float8
);
CREATE INDEX attempt_of_task ON attempt (task_id);
CREATE TABLE result (
    id bigserial PRIMARY KEY, task_id bigint NOT NULL UNIQUE REFERENCES task,
    attempt_id bigint NOT NULL UNIQUE REFERENCES attempt, value float8 NOT NULL,
    metrics jsonb NOT NULL, created_at timestamptz NOT NULL
);
CREATE TABLE journal (
    id bigserial PRIMARY KEY, task_id bigint NOT NULL, attempt_id bigint NOT NULL,
    worker_id bigint NOT NULL, from_state text NOT NULL, to_state text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX journal_of_task ON journal (task_id, id);
"""

SEED = """
INSERT INTO task (params, seed, state, available_at)
SELECT '{params}'::jsonb, n, 'pending', now() FROM generate_series(1, {count}) AS n;
VACUUM ANALYZE task;
"""

PARAMS = {
    "lr": 0.00123,
    "lr_schedule": "cosine",
    "n_layers": 2,
    "n_heads": 4,
    "d_model": 64,
    "d_ff": 512,
    "batch_size": 32,
    "context_length": 128,
}

# $COUNT tasks, each with a lease of its own, handed out together.
CLAIM = """
\\set worker random(1, 100000)
WITH next AS (
    SELECT id FROM task WHERE state = 'pending' AND available_at <= now()
    ORDER BY available_at, id LIMIT {count} FOR NO KEY UPDATE SKIP LOCKED
), moved AS (
    UPDATE task SET state = 'leased', lease_id = gen_random_uuid(), worker_id = :worker::bigint,
        lease_expires_at = now() + interval '45 s', deadline_at = now() + interval '145 s'
    FROM next WHERE task.id = next.id
    RETURNING task.id, task.lease_id, task.params, task.seed
), tried AS (
    INSERT INTO attempt (task_id, number, lease_id, worker_id, started_at, outcome)
    SELECT id, 1, lease_id, :worker::bigint, now(), 'running' FROM moved
    RETURNING id, task_id
), noted AS (
    INSERT INTO journal (task_id, attempt_id, worker_id, from_state, to_state, at)
    SELECT task_id, id, :worker::bigint, 'pending', 'leased', now() FROM tried
)
SELECT array_agg(lease_id) AS leases, json_agg(json_build_object('lease', lease_id,
    'params', params, 'seed', seed)) AS config FROM moved \\gset
"""

COMPLETE = """
WITH done AS (
    UPDATE task SET state = 'completed', finished_at = now(), lease_id = NULL, worker_id = NULL,
        lease_expires_at = NULL, deadline_at = NULL
    FROM attempt WHERE attempt.lease_id = ANY (:leases::uuid[])
        AND attempt.worker_id = :worker::bigint AND task.id = attempt.task_id
        AND task.lease_id = attempt.lease_id AND task.state = 'leased' AND task.deadline_at > now()
    RETURNING task.id AS task_id, attempt.id AS attempt_id
), ended AS (
    UPDATE attempt SET outcome = 'completed', ended_at = now(), exit_code = 0,
        wall_time_seconds = 9.6
    FROM done WHERE attempt.id = done.attempt_id
), stored AS (
    INSERT INTO result (task_id, attempt_id, value, metrics, created_at)
    SELECT task_id, attempt_id, 2.5, '{metrics}'::jsonb, now() FROM done
), noted AS (
    INSERT INTO journal (task_id, attempt_id, worker_id, from_state, to_state, at)
    SELECT task_id, attempt_id, :worker::bigint, 'leased', 'completed', now() FROM done
)
SELECT count(*) AS done FROM done;
"""


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a run of pgbench did: its tasks, its seconds, and each transaction's seconds."""

    tasks: int
    seconds: float
    cycle_seconds: list[float]


def prepare(server: Server, tasks: int) -> None:
    """Create the database with so many pending tasks."""
    import psycopg

    url = server.create(DATABASE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        for statement in SEED.format(params=json.dumps(PARAMS), count=tasks).split(";"):
            if statement.strip():
                connection.execute(statement)


def script(count: int, metrics: dict[str, object]) -> str:
    """Return pgbench's script for `count` tasks at a time."""
    return CLAIM.format(count=count) + COMPLETE.format(metrics=_line(metrics))


def _line(metrics: dict[str, object]) -> str:
    # With blanks after colons, which pgbench would take for the start of a variable's name.
    return json.dumps(metrics, separators=(", ", ": ")).replace("'", "''")


def run(
    server: Server, metrics: dict[str, object], *, connections: int, count: int, seconds: int
) -> Ran:
    """Let pgbench claim and complete for so many seconds; raises RuntimeError when it fails."""
    with tempfile.TemporaryDirectory(prefix="bench-raw-") as name:
        file = Path(name) / "task.sql"
        file.write_text(script(count, metrics))
        done = subprocess.run(
            [
                *(server.cluster.binaries / "pgbench", *server.socket_options, "--no-vacuum"),
                *("--file", str(file), "--protocol", "prepared", "--time", str(seconds)),
                *("--client", str(connections), "--jobs", "1", "--log", "--log-prefix", "log"),
                DATABASE,
            ],
            cwd=name,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"pgbench: {done.stderr[-2000:]}")
        cycles = [
            float(line.split()[2]) / 1e6
            for file in Path(name).glob("log.*")
            for line in file.read_text().splitlines()
        ]
    processed, rate = PROCESSED.search(done.stdout), RATE.search(done.stdout)
    assert processed, done.stdout
    assert rate, done.stdout
    transactions = int(processed[1])
    return Ran(transactions * count, transactions / float(rate[1]), cycles)
