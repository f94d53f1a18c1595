"""A whole agent against a server that answers nonsense: it says so, goes on, and keeps its results.

The shapes themselves are in test_replies.py, single answers in test_client.py.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.bench import HANGING, REPORTING, Bench
from tests.agent.connection.test_client import bomb
from tests.agent.server import Reply, error, make_lease, running_server, wait_until
from tests.agent.tasks.bench import SCRIPT
from tests.standstills import within
from workers.agent.connection import client as client_module
from workers.agent.delivery.heartbeat import Heartbeat
from workers.agent.exits import EXIT_OK
from workers.agent.plain_text import PlainFormatter
from workers.protocol import ErrorCode, Outcome

PAGE = b"<html>Please log in</html>"
ODD_CLAIMS: list[Any] = [
    {"leases": None, "heartbeat_seconds": 10, "wait_seconds": 3},
    {"leases": [], "heartbeat_seconds": 10, "wait_seconds": "soon"},
    {"leases": [], "heartbeat_seconds": [], "wait_seconds": 3},
    {"leases": [], "heartbeat_seconds": 1e300, "wait_seconds": 3},
    {"leases": {"a": 1}, "heartbeat_seconds": 10, "wait_seconds": 3},
    {"leases": [], "heartbeat_seconds": 10, "wait_seconds": 3, "reason": {"a": 1}},
    {"leases": [None] * 500, "heartbeat_seconds": 10, "wait_seconds": 3},
    [],
    "leases",
]
ODD_HEARTBEATS: list[Any] = [
    {"leases": None, "heartbeat_seconds": 0.2},
    {"leases": [5], "heartbeat_seconds": 0.2},
    {"leases": [{"lease_id": None, "answer": "lost"}], "heartbeat_seconds": 0.2},
    {"leases": [], "heartbeat_seconds": "soon"},
    {"leases": [], "heartbeat_seconds": 0.2, "worker_state": ["active"]},
    5,
]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        yield Bench(tmp_path, server)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("reply", ODD_CLAIMS)
def test_a_claim_with_a_wrong_type_is_refused_clearly_and_tried_again(
    bench: Bench, logged: io.StringIO, reply: Any
) -> None:
    bench.server.scripted["claim"] = [Reply(200, reply)]
    lease_id = bench.offer_task()
    assert bench.run(once=True) == EXIT_OK
    assert bench.server.results[lease_id]["outcome"] == Outcome.COMPLETED
    assert "does not answer like a XeeNet server" in logged.getvalue()
    assert "Traceback" not in logged.getvalue()
    first, second, *_ = bench.server.calls("claim")
    assert first["claim_id"] == second["claim_id"]  # a lease that was granted is granted again


def test_heartbeats_with_wrong_types_neither_stop_a_script_nor_end_the_renewals(
    bench: Bench, logged: io.StringIO
) -> None:
    bench.server.scripted["heartbeat"] = [Reply(200, reply) for reply in ODD_HEARTBEATS]
    lease_id = bench.offer_task(REPORTING + b"time.sleep(2)\n" + SCRIPT)
    bench.run(once=True)
    assert bench.server.results[lease_id]["outcome"] == Outcome.COMPLETED
    assert len(bench.server.calls("heartbeat")) > len(ODD_HEARTBEATS)
    assert "Traceback" not in logged.getvalue()


def test_a_bug_in_a_heartbeat_does_not_end_the_renewals(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []

    def beat(_: Heartbeat) -> None:
        beats.append(1)
        raise RuntimeError("a bug")

    monkeypatch.setattr(Heartbeat, "beat", beat)
    bench.server.heartbeat_seconds = 0.1
    with bench.running() as run:
        wait_until(lambda: len(beats) > 2)
        run.agent.on_sigterm()


def test_the_same_lease_twice_runs_once(bench: Bench) -> None:
    lease_id = bench.offer_task()
    bench.server.leases *= 2
    bench.run(once=True, slots=2)
    assert list(bench.server.results) == [lease_id]
    assert bench.server.results[lease_id]["outcome"] == Outcome.COMPLETED


def test_a_measured_result_survives_what_others_answer_in_the_servers_place(bench: Bench) -> None:
    lease_id = bench.offer_task()
    bench.server.scripted["result"] = [Reply(408, PAGE), Reply(200, PAGE), Reply(403, PAGE)]
    bench.run(once=True)
    results = bench.server.calls("result")
    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert bench.server.results[lease_id]["outcome"] == Outcome.COMPLETED


def test_a_proxy_that_drops_the_token_does_not_end_the_agent_and_is_named(
    bench: Bench, logged: io.StringIO
) -> None:
    bench.server.scripted["claim"] = [error(401, ErrorCode.NO_CREDENTIALS, "None arrived.")] * 2
    lease_id = bench.offer_task()
    assert bench.run(once=True) == EXIT_OK
    assert lease_id in bench.server.results
    assert "A proxy on the way drops or replaces the Authorization header" in logged.getvalue()
    assert "Enrol this machine again" not in logged.getvalue()


def test_a_redirected_agent_names_the_address_to_use_and_goes_on(
    bench: Bench, logged: io.StringIO
) -> None:
    target = "https://xeenet.example/lab/api/v1/leases/claim"
    bench.server.scripted["claim"] = [Reply(301, b"", {"Location": target})]
    lease_id = bench.offer_task()
    assert bench.run(once=True) == EXIT_OK
    assert lease_id in bench.server.results
    assert "Use that address: --server https://xeenet.example/lab" in logged.getvalue()


@pytest.mark.parametrize("drips_head", [False, True], ids=["body", "head"])
@pytest.mark.parametrize("path", ["claim", "datasets", "packages", "result", "release"])
def test_a_dripping_answer_does_not_keep_the_agent_from_stopping(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, path: str, drips_head: bool
) -> None:
    monkeypatch.setattr(client_module, "_RELEASE_SECONDS", 1.0)
    drip = Reply(200, b" " * 10_000, drip_seconds=0.1, drips_head=drips_head)
    bench.server.scripted[path] = [drip] * 1_000
    bench.offer_task(HANGING if path == "release" else SCRIPT)
    with bench.running() as run:
        wait_until(lambda: bench.scripts() if path == "release" else bench.server.calls(path))
        time.sleep(0.2)
        run.agent.on_sigterm()
        run.agent.on_interrupt()
        with within(8.0):
            run.thread.join(60)
    assert run.exit_code == EXIT_OK
    assert bench.scripts() == []


def test_a_dripping_heartbeat_neither_stops_the_script_nor_the_result(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_HEARTBEAT_SECONDS", 0.5)
    bench.server.scripted["heartbeat"] = [Reply(200, b" " * 10_000, drip_seconds=0.1)] * 1_000
    lease_id = bench.offer_task(REPORTING + b"time.sleep(1)\n" + SCRIPT)
    bench.run(once=True)
    assert bench.server.results[lease_id]["outcome"] == Outcome.COMPLETED


def test_bombs_and_drips_leave_neither_threads_nor_sockets_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_CALL_SECONDS", 0.3)
    monkeypatch.setattr(client_module, "_HEARTBEAT_SECONDS", 0.3)
    before = threading.active_count()
    large = Reply(200, bomb(20), {"Content-Encoding": "gzip"})
    drip = Reply(200, b" " * 10_000, drip_seconds=0.05, drips_head=True)
    bench.server.scripted["claim"] = [large, drip, large]
    bench.server.scripted["heartbeat"] = [drip, large] * 5
    lease_id = bench.offer_task()
    bench.run(once=True)
    assert lease_id in bench.server.results
    names: list[str] = []

    def exchanges_ended() -> bool:
        names[:] = [thread.name for thread in threading.enumerate()]
        return "exchange" not in names and threading.active_count() <= before + 1

    wait_until(exchanges_ended, 10)


@pytest.mark.parametrize("size", [10**15, "many", -1])
def test_a_hostile_size_of_a_data_set_empties_no_cache(bench: Bench, size: Any) -> None:
    kept = bench.state.data / "kept"
    kept.write_bytes(b"x")
    lease = make_lease(SCRIPT)
    bench.server.leases.append({**lease, "dataset": {**lease["dataset"], "size_bytes": size}})
    bench.run(max_tasks=1) if size == 10**15 else bench.run(once=True)
    assert kept.exists()
    assert bench.server.calls("datasets") == []
