"""Helpers for tests of races: calls at the same time, and a call that waits for a lock of ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connection, connections

from campaigns.lifecycle import LifecycleError

Call = Callable[[], Any]


def in_parallel(calls: Sequence[Call]) -> list[Any]:
    """Run the calls at once, each in a thread with its own connection; return their results.

    A LifecycleError is returned as the result of its call; any other exception is raised.
    """
    barrier = threading.Barrier(len(calls))

    def run(call: Call) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=60)
            return call()
        except LifecycleError as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, call) for call in calls]]


def closing(call: Call) -> Call:
    """Return the call for another thread: it closes that thread's connections afterwards."""

    def run() -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    return run


def wait_until_blocked(future: Future[Any]) -> None:
    """Return once another connection waits for a lock of this one; fail after 20 s without one."""
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        if future.done():
            raise AssertionError(f"the call did not wait for the lock: {future.result()}")
        if waiting_for_us():
            return
        time.sleep(0.01)
    raise AssertionError("nobody waited for the lock within 20 s")


def waiting_for_us() -> int:
    """Return how many sessions wait for a lock of this connection (PostgreSQL)."""
    # Not pg_stat_activity: within a transaction it always shows the state of its first query.
    return count_rows(
        "pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )


def count_rows(query: str) -> int:
    """Return how many rows `query`, what follows FROM, has."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {query}")
        return int(cursor.fetchone()[0])
