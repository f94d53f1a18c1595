"""The agent's loop against a real HTTP server: claims, heartbeats, and every way to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.bench import HANGING, REPORTING, Bench
from tests.agent.server import Reply, error, make_lease, running_server, wait_until
from tests.agent.tasks.bench import MACHINE, SCRIPT
from workers.agent import obstacles
from workers.agent.delivery import outbox as outbox_module
from workers.agent.delivery.outbox import Outbox
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_NOT_AUTHENTICATED, EXIT_OK
from workers.protocol import ErrorCode, FailureClass, HeartbeatAnswer, Outcome


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        yield Bench(tmp_path, server)


def test_all_tasks_are_run_and_the_agent_ends_when_nothing_is_left(bench: Bench) -> None:
    leases = [bench.offer_task() for _ in range(3)]
    assert bench.run(once=True) == EXIT_OK
    assert sorted(bench.server.results) == sorted(leases)
    results = bench.server.results.values()
    assert all(result["outcome"] == Outcome.COMPLETED for result in results)
    assert bench.scripts() == []


def test_a_claim_tells_boot_count_and_hardware(bench: Bench) -> None:
    bench.run(once=True, slots=3)
    (claim,) = bench.server.calls("claim")
    assert claim["count"] == 3
    assert claim["simulate"] is False
    assert claim["hardware"] == MACHINE.hardware
    assert (claim["isolation"], claim["accepts_uploaded_scripts"]) == ("T0", False)
    assert claim["slots"] == 3
    assert claim["boot_id"] != claim["claim_id"]


def test_a_lost_claim_answer_loses_no_lease(bench: Bench) -> None:
    lease_id = bench.offer_task()
    bench.server.scripted["claim"] = [Reply(cut=True)]
    assert bench.run(once=True) == EXIT_OK
    first, second, last = bench.server.calls("claim")
    assert first["claim_id"] == second["claim_id"] != last["claim_id"]
    assert list(bench.server.results) == [lease_id]


def test_parallel_tasks_run_at_the_same_time(bench: Bench, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    waiting = (
        f"import os, pathlib, time; meeting = pathlib.Path({str(meeting)!r})\n"
        "(meeting / str(os.getpid())).touch()\n"
        "while len(list(meeting.iterdir())) < 2: time.sleep(0.01)\n"
    )
    for _ in range(2):
        bench.offer_task(waiting.encode() + SCRIPT)
    assert bench.run(slots=2, once=True) == EXIT_OK
    outcomes = [result["outcome"] for result in bench.server.results.values()]
    assert outcomes == [Outcome.COMPLETED] * 2


def test_max_tasks_ends_the_agent_with_tasks_left(bench: Bench) -> None:
    for _ in range(3):
        bench.offer_task()
    assert bench.run(max_tasks=2, slots=5) == EXIT_OK
    assert len(bench.server.results) == 2


def test_the_servers_wait_is_kept_between_claims(bench: Bench) -> None:
    bench.server.wait_seconds = 0.7
    with bench.running() as run:
        wait_until(lambda: len(bench.server.calls("claim")) == 2)
        run.agent.on_sigterm()
    assert run.exit_code == EXIT_OK
    claims = [arrived_at for path, arrived_at in bench.server.arrivals if path == "leases/claim"]
    first, second = claims[:2]
    assert second - first >= 0.7


def test_retry_after_is_kept_between_claims(bench: Bench) -> None:
    bench.server.scripted["claim"] = [error(429, ErrorCode.THROTTLED, Retry_After="1.3")]
    started_at = time.monotonic()
    assert bench.run(once=True) == EXIT_OK
    assert time.monotonic() - started_at >= 1.3


def test_progress_reaches_the_server_even_when_the_run_ends_between_two_heartbeats(
    bench: Bench,
) -> None:
    bench.server.heartbeat_seconds = 30.0
    lease_id = bench.offer_task(REPORTING)
    bench.run(once=True)
    assert [point["seq"] for point in bench.server.progress[lease_id]] == [0, 1, 2]
    # The result ends the lease, so the last progress must be delivered before it.
    paths = [path for _, path, _ in bench.server.requests]
    assert paths.index("heartbeat") < paths.index(f"leases/{lease_id}/result")


def test_a_progress_point_is_delivered_once(bench: Bench) -> None:
    bench.server.heartbeat_seconds = 0.1
    lease_id = bench.offer_task(REPORTING + b"time.sleep(1.2)")
    bench.run(once=True)
    assert [point["seq"] for point in bench.server.progress[lease_id]] == [0, 1, 2]


@pytest.mark.parametrize("answer", [HeartbeatAnswer.CANCEL, HeartbeatAnswer.LOST])
def test_cancel_and_lost_end_the_script_within_a_heartbeat_and_nothing_is_sent(
    bench: Bench, answer: HeartbeatAnswer
) -> None:
    lease_id = bench.offer_task(HANGING)
    with bench.running(once=True) as run:
        wait_until(bench.scripts)
        bench.server.answers[lease_id] = answer
        answered_at = time.monotonic()
        wait_until(lambda: not bench.scripts())
        assert time.monotonic() - answered_at < bench.server.heartbeat_seconds + 2.0
    assert run.exit_code == EXIT_OK
    assert bench.server.results == {}
    assert bench.server.released == []


def test_a_heartbeat_that_fails_does_not_stop_the_script(bench: Bench) -> None:
    bench.server.scripted["heartbeat"] = [error(500, "oops") for _ in range(3)]
    lease_id = bench.offer_task(REPORTING + b"time.sleep(1.5)\n" + SCRIPT)
    bench.run(once=True)
    assert bench.server.results[lease_id]["outcome"] == Outcome.COMPLETED
    assert len(bench.server.progress[lease_id]) == 3


def test_a_point_that_the_server_cannot_read_does_not_end_the_renewals(bench: Bench) -> None:
    bench.server.scripted["heartbeat"] = [error(400, ErrorCode.INVALID)]
    lease_id = bench.offer_task(REPORTING + b"time.sleep(1.5)")
    bench.run(once=True)
    renewals = [beat for beat in bench.server.calls("heartbeat") if beat["leases"]]
    assert len(renewals) >= 2
    assert renewals[-1]["leases"][0]["lease_id"] == lease_id


def test_a_result_that_waits_for_the_server_keeps_its_lease(bench: Bench) -> None:
    bench.server.scripted["result"] = [error(503, "database_unavailable", Retry_After="1")]
    lease_id = bench.offer_task()
    bench.run(once=True)
    sent = [(path, body) for _, path, body in bench.server.requests]
    first = next(index for index, (path, _) in enumerate(sent) if "result" in path)
    renewed = [
        lease["lease_id"]
        for path, body in sent[first + 1 :]
        if path == "heartbeat"
        for lease in body["leases"]
    ]
    assert lease_id in renewed


def test_sigterm_stops_the_script_and_gives_the_task_back(bench: Bench) -> None:
    lease_id = bench.offer_task(HANGING)
    with bench.running() as run:
        wait_until(bench.scripts)
        run.agent.on_sigterm()
    assert run.exit_code == EXIT_OK
    assert bench.server.released == [lease_id]
    assert bench.server.results == {}
    assert bench.scripts() == []
    assert list(bench.state.work.iterdir()) == []


def test_sigterm_with_time_to_drain_lets_the_script_finish(bench: Bench) -> None:
    bench.offer_task(b"import time; time.sleep(1)\n" + SCRIPT)
    bench.offer_task()
    with bench.running(drain_seconds=15.0) as run:
        wait_until(bench.scripts)
        run.agent.on_sigterm()
    assert len(bench.server.results) == 1
    assert bench.server.released == []


def test_the_first_interrupt_finishes_what_runs_and_claims_no_more(bench: Bench) -> None:
    bench.offer_task(b"import time; time.sleep(1)\n" + SCRIPT)
    bench.offer_task()
    with bench.running() as run:
        wait_until(bench.scripts)
        run.agent.on_interrupt()
    assert len(bench.server.results) == 1
    assert len(bench.server.leases) == 1


def test_the_second_interrupt_stops_at_once_and_gives_the_task_back(bench: Bench) -> None:
    lease_id = bench.offer_task(HANGING)
    with bench.running() as run:
        wait_until(bench.scripts)
        run.agent.on_interrupt()
        run.agent.on_interrupt()
    assert bench.server.released == [lease_id]
    assert bench.scripts() == []


def test_an_unknown_token_ends_the_agent_with_its_own_exit_code(bench: Bench) -> None:
    bench.token = "xw_unknown"
    assert bench.run() == EXIT_NOT_AUTHENTICATED


def test_a_disabled_worker_asks_on_unless_it_runs_once(bench: Bench) -> None:
    bench.server.scripted["claim"] = [error(403, ErrorCode.PERMISSION_DENIED, "Disabled.")]
    assert bench.run(once=True) == EXIT_NOT_AUTHENTICATED


def test_a_draining_worker_claims_no_more(bench: Bench) -> None:
    bench.server.worker_state = "draining"
    bench.server.heartbeat_seconds = 0.1
    with bench.running() as run:
        wait_until(lambda: len(bench.server.calls("heartbeat")) >= 2)
        bench.offer_task()
        time.sleep(0.6)
        run.agent.on_sigterm()
    assert len(bench.server.leases) == 1


@pytest.mark.parametrize("lack", ["outbox", "disk"])
def test_an_agent_without_room_for_results_claims_nothing(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lack: str,
) -> None:
    lease_id = bench.offer_task()
    if lack == "outbox":
        monkeypatch.setattr(outbox_module, "MAX_ENTRIES", 1)
        bench.server.scripted["result"] = [error(503, "away", Retry_After="60")]
        bench.outbox.put("full", {"outcome": Outcome.FAILED})
    else:
        monkeypatch.setattr(obstacles, "MIN_FREE_BYTES", 2**60)
    with bench.running() as run:
        wait_until(lambda: "no new tasks" in caplog.text)
        time.sleep(0.5)  # a few more ticks of the loop
        run.agent.on_interrupt()
        run.agent.on_interrupt()
    assert bench.server.calls("claim") == []
    assert [lease["lease_id"] for lease in bench.server.leases] == [lease_id]


def test_a_machine_at_fault_pauses_instead_of_burning_tasks(bench: Bench) -> None:
    missing = b"raise ModuleNotFoundError(\"No module named 'torch'\")"
    for _ in range(3):
        bench.offer_task(missing)
    with bench.running() as run:
        wait_until(lambda: bench.server.results)
        time.sleep(0.6)
        run.agent.on_sigterm()
    (result,) = bench.server.results.values()
    assert result["failure_class"] == FailureClass.ENV_ERROR


def test_a_task_whose_files_the_server_does_not_deliver_goes_back_and_claiming_waits(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    lease_id = bench.offer_task()
    bench.offer_task()
    bench.server.scripted["packages"] = [error(503, "away", Retry_After="30")]
    with bench.running() as run:
        wait_until(lambda: "claiming paused for 3" in caplog.text)
        time.sleep(0.6)  # a few more ticks of the loop
        run.agent.on_sigterm()
    assert run.exit_code == EXIT_OK
    assert bench.server.released == [lease_id]
    assert bench.server.results == {}
    assert len(bench.server.leases) == 1


def test_a_machine_at_fault_ends_a_single_pass_with_its_own_exit_code(bench: Bench) -> None:
    bench.offer_task(b"raise RuntimeError('CUDA error: uncorrectable ECC error encountered')")
    assert bench.run(once=True) == EXIT_CANNOT_RUN


@pytest.mark.parametrize(
    "changes",
    [
        {"lease_id": "../../etc"},
        {"time_budget_seconds": -1},
        {"time_budget_seconds": "10"},
        {"code_sha256": "../x"},
        {"dataset": {"name": "../x", "sha256": "ab" * 32, "size_bytes": 1}},
        {"config": []},
    ],
)
def test_a_lease_that_cannot_be_run_is_passed_over(bench: Bench, changes: dict[str, Any]) -> None:
    bench.server.leases.append(make_lease(SCRIPT, **changes))
    lease_id = bench.offer_task()
    bench.run(once=True)
    assert list(bench.server.results) == [lease_id]


def test_results_that_no_server_takes_stay_for_the_next_start(bench: Bench) -> None:
    bench.server.scripted["result"] = [error(503, "oops", Retry_After="60") for _ in range(9)]
    lease_id = bench.offer_task()
    with bench.running(max_tasks=1) as run:
        wait_until(lambda: bench.server.calls("result"))
        run.agent.on_interrupt()
        run.agent.on_interrupt()
    assert Outbox(bench.state.outbox).pending_lease_ids() == [lease_id]
    bench.server.scripted.clear()
    bench.outbox = Outbox(bench.state.outbox)
    with bench.running() as run:
        wait_until(lambda: lease_id in bench.server.results)
        run.agent.on_sigterm()
