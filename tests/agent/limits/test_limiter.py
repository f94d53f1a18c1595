"""A working agent follows its owner's rules: it pauses, gives back or finishes, and goes on."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agent.bench import HANGING, Bench
from tests.agent.server import make_lease, running_server, wait_until
from tests.agent.tasks.bench import MACHINE, SCRIPT, SERVER_CODE
from workers.agent import loop as loop_module
from workers.agent.attempt import Attempt, StopReason
from workers.agent.connection.client import Client
from workers.agent.grants import Priority
from workers.agent.limits.decisions import Defaults, Pause
from workers.agent.limits.facts import Facts
from workers.agent.limits.hours import Window
from workers.agent.limits.limiter import NOW_FILE_NAME, Limiter, give_back, told_to_server
from workers.agent.limits.rules import Rules
from workers.agent.limits.rules_file import FILE_NAME, store
from workers.agent.loop import Agent, AgentOptions
from workers.agent.status.model import PausedBy
from workers.agent.tasks.runner import Runner, RunnerSettings

NOON = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
DEFAULTS = Defaults(cores=2, memory_bytes=2**32, priority=Priority.NORMAL)
NEVER_NOW = Rules(hours=(Window(0, 1),))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        yield Bench(tmp_path, server)


def limiter(root: Path, **overrides: Any) -> Limiter:
    """A limiter of a quiet machine on which it is always noon."""
    return Limiter(root, DEFAULTS, overrides, probe=lambda _: Facts(0.0, 2.0), now=lambda: NOON)


@contextmanager
def working_agent(bench: Bench, limits: Limiter, *, simulate: bool = False) -> Iterator[Agent]:
    """Run an agent with the limits during the block; end it after the block."""
    client = Client(bench.server.url, bench.token)
    settings = RunnerSettings(policy=SERVER_CODE, simulate=simulate, grant=limits.grant)
    runner = Runner(bench.state, client, MACHINE, settings)
    options = AgentOptions(simulate=simulate)
    agent = Agent(client, bench.outbox, runner, MACHINE.hardware, options, limits=limits)
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        yield agent
    finally:
        agent.on_sigterm()
        thread.join(60)
        client.close()
    assert not thread.is_alive()


def test_an_agent_pauses_when_a_rule_changes_and_goes_on_when_it_goes(bench: Bench) -> None:
    root = bench.state.root
    bench.server.wait_seconds = 0.05
    with working_agent(bench, limiter(root), simulate=True) as agent:
        first = bench.offer_task(time_budget_seconds=1.0)
        wait_until(lambda: first in bench.server.results)
        store(root, NEVER_NOW)
        wait_until(lambda: agent._limits.pause is not None)
        claims = len(bench.server.calls("claim"))
        beats = len(bench.server.calls("heartbeat"))
        second = bench.offer_task(time_budget_seconds=1.0)
        # It stays known to the server, but asks for nothing: one claim may have been under way.
        wait_until(lambda: len(bench.server.calls("heartbeat")) > beats)
        assert len(bench.server.calls("claim")) <= claims + 1
        told = json.loads((root / NOW_FILE_NAME).read_text())
        assert told["pause"]["rule"] == "hours"
        wait_until(lambda: agent.board.status.pauses)
        (pause,) = agent.board.status.pauses
        assert (pause.by, pause.reason) == (PausedBy.RULE, "it works 00:00-00:01")
        assert pause.until is not None
        store(root, Rules())
        wait_until(lambda: second in bench.server.results)
        wait_until(lambda: not agent.board.status.pauses)
    assert not (root / NOW_FILE_NAME).exists()


def test_a_pause_gives_a_long_task_back_and_says_why(bench: Bench) -> None:
    root = bench.state.root
    with working_agent(bench, limiter(root)):
        lease = bench.offer_task(HANGING, time_budget_seconds=600.0, deadline_seconds=900.0)
        wait_until(bench.scripts)
        store(root, NEVER_NOW)
        wait_until(lambda: bench.server.released == [lease])
        wait_until(lambda: not bench.scripts())
    (release,) = bench.server.calls("release")
    assert release["reason"].startswith(
        "paused by its owner's rules: it works 00:00-00:01, until Tuesday"
    )
    assert bench.server.results == {}


def test_a_pause_lets_a_task_finish_that_is_nearly_done(bench: Bench) -> None:
    root = bench.state.root
    with working_agent(bench, limiter(root)):
        source = b"import time; time.sleep(3)\n" + SCRIPT
        lease = bench.offer_task(source, time_budget_seconds=20.0)
        wait_until(bench.scripts)
        store(root, NEVER_NOW)
        wait_until(lambda: lease in bench.server.results)
    assert bench.server.released == []


def test_an_agent_with_unreadable_rules_claims_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "_DEFAULT_HEARTBEAT_SECONDS", 0.3)
    root = bench.state.root
    (root / FILE_NAME).write_text("threads=2")
    limits = limiter(root)
    lease = bench.offer_task(time_budget_seconds=1.0)
    with working_agent(bench, limits, simulate=True):
        wait_until(lambda: bench.server.calls("heartbeat") != [])
        assert limits.pause is not None
        assert "limits reset" in limits.pause.reason
        assert bench.server.calls("claim") == []
        store(root, Rules())
        wait_until(lambda: lease in bench.server.results)


@pytest.mark.parametrize(
    ("lease", "began", "step", "goes_back"),
    [
        ({"time_budget_seconds": 100.0}, True, 0, False),
        ({"time_budget_seconds": 600.0}, True, 0, True),
        ({"time_budget_seconds": 100.0}, False, 0, True),  # nothing is lost yet
        # The guard of a work budget is long; its steps tell how much is left.
        ({"time_budget_seconds": 600.0, "config": {"max_steps": 10}}, True, 9, False),
        ({"time_budget_seconds": 600.0, "config": {"max_steps": 10}}, True, 0, True),
    ],
)
def test_what_is_finished_and_what_goes_back(
    lease: dict[str, Any], began: bool, step: int, goes_back: bool
) -> None:
    attempt = Attempt(make_lease(SCRIPT, **lease))
    if began:
        attempt.begin()
    attempt.progress.add_line({"event": "progress", "elapsed_seconds": 1.0, "step": step})
    give_back([attempt], Pause("hours", "it works 22:00-07:00"))
    assert (attempt.stop.reason is StopReason.OWNER) is goes_back


def test_the_command_line_outranks_a_rule_and_is_named(tmp_path: Path) -> None:
    store(tmp_path, Rules(slots=3, threads=1))
    limits = limiter(tmp_path, slots=2)
    limits.look()
    told = json.loads((tmp_path / NOW_FILE_NAME).read_text())
    assert (told["slots"], told["threads"], told["from_command_line"]) == (2, 1, ["slots"])


def test_a_look_that_fails_does_not_end_the_rules(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.agent.limits.limiter.LOOK_SECONDS", 0.01)
    looks: list[int] = []

    def probe(_: Rules) -> Facts:
        looks.append(1)
        if len(looks) == 2:
            raise OSError("a sensor")
        return Facts(0.0, 2.0)

    limits = Limiter(tmp_path, DEFAULTS, {}, probe=probe)
    limits.start()
    wait_until(lambda: len(looks) > 3)
    limits.stop()
    assert "a look at the owner's rules failed" in caplog.text


def test_the_server_hears_how_long_a_pause_lasts_and_no_reason() -> None:
    now = dt.datetime(2026, 1, 5, 21, tzinfo=dt.UTC)
    assert told_to_server(None, now) is None
    assert told_to_server(Pause("presence", "the person is there"), now) == {"seconds": None}
    night = Pause("hours", "outside of its hours", now + dt.timedelta(hours=1))
    assert told_to_server(night, now) == {"seconds": 3600.0}
    assert told_to_server(night, now + dt.timedelta(hours=2)) == {"seconds": 0.0}
    endless = Pause("pause", "paused by hand", now + dt.timedelta(days=999))
    assert told_to_server(endless, now) == {"seconds": None}
