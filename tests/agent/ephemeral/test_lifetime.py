"""When an agent ends by itself: without work for a while, or before a task could outlast it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.bench import HANGING, Bench
from tests.agent.runs import linux_only
from tests.agent.server import Reply, error, running_server, wait_until
from tests.agent.tasks.bench import MACHINE, SCRIPT, SERVER_CODE
from tests.agent.test_places import SHORT, WarmBench, held, is_ahead
from tests.versions.old_server import OldServer
from workers.agent import shutdown
from workers.agent.attempt import Attempt
from workers.agent.connection.client import Client
from workers.agent.ephemeral.lifetime import Lifetime
from workers.agent.exits import EXIT_OK, EXIT_WORKER_IN_USE
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.features import Feature
from workers.protocol import ErrorCode, Outcome


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        yield Bench(tmp_path, server)


def test_a_task_must_be_over_ten_seconds_before_the_agent() -> None:
    lifetime = Lifetime(most_seconds=1000.0)
    assert 989.0 < lifetime.room() <= 990.0
    assert 89.0 < lifetime.room(900.0) <= 90.0
    assert Lifetime(most_seconds=20.0).room() > 17.0  # of a short life a tenth
    assert Lifetime().room() == float("inf")
    assert not lifetime.why_over(is_idle=True)


def test_what_is_claimed_says_how_long_it_may_take(bench: Bench) -> None:
    bench.run(once=True, lifetime=Lifetime(most_seconds=1000.0))
    bench.run(once=True)
    limited, free = bench.server.calls("claim")
    assert 900.0 < limited["longest_seconds"] <= 990.0
    assert "longest_seconds" not in free


def test_an_idle_agent_ends_after_its_time_and_work_begins_that_anew(bench: Bench) -> None:
    lease_id = bench.offer_task(b"import time; time.sleep(1.5)\n" + SCRIPT)
    began = time.monotonic()
    assert bench.run(lifetime=Lifetime(idle_seconds=0.8)) == EXIT_OK
    assert list(bench.server.results) == [lease_id]
    assert time.monotonic() - began >= 1.5 + 0.8


def test_results_that_wait_are_no_idleness(bench: Bench) -> None:
    bench.offer_task()
    bench.server.wait_seconds = 0.1
    bench.server.scripted["/result"] = [Reply(503, {}, {"Retry-After": "4"})]
    assert bench.run(lifetime=Lifetime(idle_seconds=0.01), ephemeral=True) == EXIT_OK
    assert len(bench.server.results) == 1
    paths = [path for _, path, _ in bench.server.requests]
    first, second = (at for at, path in enumerate(paths) if path.endswith("/result"))
    assert paths[first:second].count("leases/claim") > 3  # it worked on meanwhile


def test_at_the_end_of_its_life_what_runs_goes_back(bench: Bench) -> None:
    """A server that does not count budgets as this agent does cannot make it live longer."""
    lease_id = bench.offer_task(HANGING, time_budget_seconds=1.0, kill_grace_seconds=0.5)
    lifetime = Lifetime(most_seconds=600.0)
    with bench.running(lifetime=lifetime) as run:
        wait_until(bench.scripts)
        lifetime._ends_at = time.monotonic()
    assert run.exit_code == EXIT_OK
    assert bench.server.released == [lease_id]


def test_with_two_slots_only_what_fits_begins(bench: Bench) -> None:
    fits = bench.offer_task(time_budget_seconds=20.0)
    long = bench.offer_task(time_budget_seconds=100.0)
    assert bench.run(slots=2, once=True, lifetime=Lifetime(most_seconds=60.0)) == EXIT_OK
    assert list(bench.server.results) == [fits]
    assert bench.server.released == [long]
    # It was not even begun.
    assert bench.server.calls("/release") == [
        {"reason": "it may take longer than this agent lives"}
    ]


def test_a_server_that_cannot_count_on_it_is_not_asked_again(tmp_path: Path) -> None:
    with running_server(OldServer) as server:
        bench = Bench(tmp_path, server)
        long = bench.offer_task(time_budget_seconds=100.0)
        bench.offer_task(time_budget_seconds=100.0)
        assert bench.run(lifetime=Lifetime(most_seconds=60.0)) == EXIT_OK
        assert server.unknown_keys == set()
        assert server.released == [long]
        assert len(server.calls("claim")) == 1


def test_a_set_up_that_took_too_long_for_the_agent_gives_the_task_back(bench: Bench) -> None:
    bench.offer_task(time_budget_seconds=5.0)
    (lease,) = bench.server.leases
    client = Client(bench.server.url, bench.token)
    runner = Runner(bench.state, client, MACHINE, RunnerSettings(policy=SERVER_CODE))
    in_time = runner.run(Attempt(lease, ends_by=time.monotonic() + 3600.0))
    late = runner.run(Attempt(lease, ends_by=time.monotonic() + 5.9))  # 5 s and 1 s of grace
    client.close()
    assert in_time.submission is not None
    assert late.submission is None
    assert late.release_reason == "the set-up took too long for this agent's lifetime"


def test_a_claim_without_an_answer_does_not_delay_what_goes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "LAST_REQUEST_SECONDS", 600.0)  # it would wait for the claim
    lease_id = bench.offer_task(HANGING)
    with bench.running(slots=2) as run:
        wait_until(bench.scripts)
        claims = len(bench.server.calls("claim"))
        bench.server.scripted["claim"] = [Reply(200, {}, drip_seconds=600.0)]
        wait_until(lambda: len(bench.server.calls("claim")) > claims)
        run.agent.on_sigterm()
        wait_until(lambda: bench.server.released == [lease_id])
        bench.server.ended.set()  # the answer breaks off
    assert run.exit_code == EXIT_OK
    assert bench.scripts() == []


@linux_only
def test_a_task_claimed_ahead_has_room_after_the_one_that_runs(tmp_path: Path) -> None:
    with running_server() as server:
        bench = WarmBench(tmp_path, server)
        first = bench.offer_task(held(tmp_path / "gate"), **SHORT)
        second = bench.offer_task(**SHORT)
        with bench.running(once=True, lifetime=Lifetime(most_seconds=300.0)) as run:
            wait_until(lambda: is_ahead(bench, first, second))
            (tmp_path / "gate").touch()
        assert run.exit_code == EXIT_OK
    claims = server.calls("claim")
    # The first run may take 29 s, and the second waits for it.
    assert claims[0]["longest_seconds"] - claims[1]["longest_seconds"] > 25.0
    assert list(server.results) == [first, second]
    assert {result["outcome"] for result in server.results.values()} == {Outcome.COMPLETED}


@linux_only
def test_a_task_claimed_ahead_that_would_outlast_the_agent_goes_back(tmp_path: Path) -> None:
    with running_server() as server:
        bench = WarmBench(tmp_path, server)
        first = bench.offer_task(held(tmp_path / "gate"), **SHORT)
        second = bench.offer_task(**{**SHORT, "time_budget_seconds": 60.0})
        assert Feature.LIFETIMES in server.features
        with bench.running(once=True, lifetime=Lifetime(most_seconds=60.0)) as run:
            wait_until(lambda: server.released == [second])
            assert server.results == {}
            (tmp_path / "gate").touch()
        assert run.exit_code == EXIT_OK
    assert list(server.results) == [first]


@linux_only
def test_an_agent_that_a_newer_one_replaces_gives_back_what_it_claimed_ahead(
    tmp_path: Path,
) -> None:
    with running_server() as server:
        bench = WarmBench(tmp_path, server)
        source = held(tmp_path / "gate")
        running = [bench.offer_task(source, **SHORT) for _ in range(2)]
        ahead = bench.offer_task(**SHORT)
        with bench.running(slots=2) as run:
            wait_until(lambda: ahead in reported(bench))
            in_use = error(409, ErrorCode.WORKER_IN_USE, "Another agent started later.")
            server.scripted["claim"] = [in_use]
            wait_until(lambda: server.released == [ahead])
            assert server.results == {}
            (tmp_path / "gate").touch()
        assert run.exit_code == EXIT_WORKER_IN_USE
    assert sorted(server.results) == sorted(running)


def reported(bench: Bench) -> set[str]:
    """Return the leases of the newest heartbeat."""
    beats = bench.server.calls("heartbeat")
    return {lease["lease_id"] for lease in beats[-1]["leases"]} if beats else set()
