"""The next task is claimed while the last one ends, and goes back at once when it may not begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.bench import Bench
from tests.agent.runs import linux_only
from tests.agent.server import running_server, wait_until
from tests.agent.tasks.bench import MACHINE, SCRIPT, SERVER_CODE
from tests.standstills import within
from workers.agent.connection.client import Client
from workers.agent.exits import EXIT_OK
from workers.agent.grants import Grant
from workers.agent.loop import Agent, AgentOptions
from workers.agent.running.hardware import Machine
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.protocol import Outcome

pytestmark = linux_only
# The budgets are shorter than the last seconds of a run.
SHORT = {"time_budget_seconds": 9.0, "kill_grace_seconds": 20.0, "starts_warm": True}


class WarmBench(Bench):
    """A bench whose agent keeps spares; their torch is an empty module."""

    def agent(self, client: Client, **options: Any) -> Agent:
        torch = self.state.root / "packages" / "torch"
        torch.mkdir(parents=True, exist_ok=True)
        (torch / "__init__.py").write_text("__version__ = '1'\ndef set_num_threads(_): pass\n")
        (torch / "version.py").touch()
        settings = RunnerSettings(
            policy=SERVER_CODE, grant=lambda: Grant(2, memory_bytes=2**32), warm=True
        )
        machine = Machine(MACHINE.hardware, {"PYTHONPATH": str(torch.parent)})
        runner = Runner(self.state, client, machine, settings)
        return Agent(client, self.outbox, runner, MACHINE.hardware, AgentOptions(**options))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WarmBench]:
    with running_server() as server:
        yield WarmBench(tmp_path, server)


def held(gate: Path) -> bytes:
    """Return a script that ends when the gate is there, and says when it began and ended."""
    return (
        b"import pathlib, time\n"
        + f"gate = pathlib.Path({str(gate)!r})\n".encode()
        + b"while not gate.exists(): time.sleep(0.02)\n"
        + SCRIPT
    )


def offer_two(bench: WarmBench, gate: Path) -> tuple[str, str]:
    return bench.offer_task(held(gate), **SHORT), bench.offer_task(**SHORT)


def is_ahead(bench: WarmBench, first: str, second: str) -> bool:
    """Return whether the second task is here, too, while the first one's script runs."""
    beats = bench.server.calls("heartbeat")
    leases = {lease["lease_id"] for lease in beats[-1]["leases"]} if beats else set()
    return leases == {first, second} and bool(bench.scripts())


def test_the_next_task_is_claimed_ahead_and_begins_when_the_last_script_is_gone(
    bench: WarmBench, tmp_path: Path
) -> None:
    first, second = offer_two(bench, tmp_path / "gate")
    with bench.running(once=True) as run:
        wait_until(lambda: is_ahead(bench, first, second))
        claims = bench.server.calls("claim")
        assert [claim["slots"] for claim in claims[:2]] == [1, 2]
        assert bench.server.results == {}
        (tmp_path / "gate").touch()
    assert run.exit_code == EXIT_OK
    assert list(bench.server.results) == [first, second]
    outcomes = {result["outcome"] for result in bench.server.results.values()}
    assert outcomes == {Outcome.COMPLETED}
    assert len(bench.server.calls("/result")) == 2
    assert bench.server.released == []
    assert bench.scripts() == []
    assert list(bench.state.work.iterdir()) == []


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda agent: agent.pauses.by_owner(None, "by the test"), id="pause"),
        pytest.param(lambda agent: agent.drain(), id="drain"),
        pytest.param(lambda agent: agent.on_sigterm(), id="sigterm"),
    ],
)
def test_a_task_claimed_ahead_goes_back_within_a_second(
    bench: WarmBench, tmp_path: Path, end: Callable[[Agent], None]
) -> None:
    first, second = offer_two(bench, tmp_path / "gate")
    with bench.running(drain_seconds=60.0) as run:
        wait_until(lambda: is_ahead(bench, first, second))
        with within(1.0):
            end(run.agent)
            wait_until(lambda: bench.server.released == [second])
        (tmp_path / "gate").touch()
        wait_until(lambda: list(bench.server.results) == [first])
        run.agent.on_sigterm()
    assert bench.server.results[first]["outcome"] == Outcome.COMPLETED
    assert bench.scripts() == []


def test_an_agent_that_starts_cold_claims_nothing_ahead(bench: WarmBench, tmp_path: Path) -> None:
    first, second = bench.offer_task(held(tmp_path / "gate"), **SHORT), bench.offer_task(**SHORT)
    client = Client(bench.server.url, bench.token)
    agent = Bench.agent(bench, client, once=True)
    bench.agent = lambda *_args, **_options: agent  # type: ignore[method-assign]
    with bench.running():
        wait_until(lambda: len(bench.server.calls("heartbeat")) > 3)
        assert [lease["lease_id"] for lease in bench.server.leases] == [second]
        (tmp_path / "gate").touch()
    client.close()
    assert list(bench.server.results) == [first, second]
