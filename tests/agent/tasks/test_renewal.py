"""An agent that runs takes a newly set-up Python between two tasks, once that has worked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.bench import Bench, RunningAgent
from tests.agent.server import running_server, wait_until
from tests.agent.tasks.bench import MACHINE
from workers.agent.connection.client import Client
from workers.agent.exits import EXIT_CANNOT_RUN, StartError
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import State
from workers.agent.tasks import renewal
from workers.agent.tasks.renewal import Equipment, Renewal
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import IsolationTier, Outcome

NEW = Equipment(
    replace(MACHINE, hardware={**MACHINE.hardware, "torch_version": "9.9"}),
    None,
    {**MACHINE.hardware, "torch_version": "9.9"},
    IsolationTier.T0,
    CodePolicy(server_code=True),
)


def never() -> Equipment:
    raise AssertionError("it was tried")


def ended(follower: Renewal) -> Equipment | None:
    """Let it try, and return what came of it."""
    assert follower.step(is_idle=True) is None
    thread = follower._thread
    assert thread is not None
    thread.join(30)
    return follower.step(is_idle=True)


def test_another_choice_waits_for_the_tasks_and_is_tried_before_it_is_used() -> None:
    board, choices, used = StatusBoard(), ["old"], list[Equipment]()
    board.setting_up("")
    follower = Renewal(board, lambda: choices[-1], lambda: NEW, used.append)
    follower._try_chosen = never
    assert follower.step(is_idle=True) is None
    assert not follower.keeps_from_claiming
    choices.append("new")
    follower._next_look_at = 0.0
    assert follower.keeps_from_claiming  # so that the running tasks end
    assert follower.step(is_idle=False) is None
    follower._try_chosen = lambda: NEW
    assert ended(follower) is NEW
    assert used == [NEW]
    assert board.status.state is State.IDLE
    assert not follower.keeps_from_claiming


def test_one_that_does_not_work_leaves_what_was_there_and_says_why() -> None:
    board, choices = StatusBoard(), ["old"]
    board.setting_up("")

    def fail() -> Equipment:
        raise StartError("torch finds no CUDA", EXIT_CANNOT_RUN)

    follower = Renewal(board, lambda: choices[-1], fail, lambda _: None)
    choices.append("new")
    assert ended(follower) is None
    (trouble,) = board.status.troubles
    assert "the one of before is: torch finds no CUDA" in trouble.text
    assert trouble.advice
    assert not follower.keeps_from_claiming  # it is not tried again and again


def test_a_running_agent_works_on_with_the_new_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "_LOOK_SECONDS", 0.0)
    choices = ["old"]
    with running_server() as server:
        bench = Bench(tmp_path, server)
        client = Client(server.url, bench.token)
        agent = bench.agent(client, max_tasks=2)
        agent.renewal = Renewal(agent.board, lambda: choices[-1], lambda: NEW, lambda _: None)
        first = bench.offer_task()
        run = RunningAgent(agent)
        run.thread.start()
        wait_until(lambda: first in server.results)
        choices.append("new")
        wait_until(lambda: server.calls("claim")[-1]["hardware"].get("torch_version") == "9.9")
        second = bench.offer_task()
        run.thread.join(60)
        client.close()
    assert server.results[second]["outcome"] == Outcome.COMPLETED
    assert agent._runner._machine is NEW.machine
