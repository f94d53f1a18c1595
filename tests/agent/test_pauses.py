"""The owner's pause: what runs is finished, nothing else is claimed, and its time ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.bench import HANGING, Bench
from tests.agent.server import running_server, wait_until
from workers.agent.pauses import Pauses
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import PausedBy, State

SLOW = b"import time\nprint('waits', flush=True)\ntime.sleep(1.5)\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        yield Bench(tmp_path, server)


def test_a_pause_finishes_what_runs_and_claims_nothing_until_it_ends(bench: Bench) -> None:
    first = bench.offer_task(SLOW)
    with bench.running() as run:
        board = run.agent.board
        wait_until(lambda: board.status.tasks)
        run.agent.pauses.by_owner()
        second = bench.offer_task()
        wait_until(lambda: list(bench.server.results) == [first])
        wait_until(lambda: board.status.state is State.PAUSED)
        claims = len(bench.server.calls("claim"))
        beats = len(bench.server.calls("heartbeat"))
        # Many claims would come meanwhile: one is due every 0.2 s, as a heartbeat is.
        wait_until(lambda: len(bench.server.calls("heartbeat")) > beats + 5)
        assert len(bench.server.calls("claim")) == claims
        run.agent.pauses.end_by_owner()
        wait_until(lambda: second in bench.server.results)
        run.agent.on_sigterm()
    assert run.exit_code == 0
    assert board.status.pauses == ()


def test_to_stop_now_gives_the_task_back_although_time_to_drain_is_left(bench: Bench) -> None:
    lease_id = bench.offer_task(HANGING)
    with bench.running(drain_seconds=600.0) as run:
        wait_until(bench.scripts)
        run.agent.stop_now()
    assert (run.exit_code, bench.server.released) == (0, [lease_id])
    assert run.agent.board.status.totals.given_back == 1


def test_a_pause_ends_by_itself_and_the_longest_counts() -> None:
    board = StatusBoard()
    pauses = Pauses(board)
    pauses.by_owner(0.0)
    assert not pauses.hold()
    assert board.status.pauses == ()
    pauses.by_owner(3600.0, "tea")
    pauses.after_trouble("no script")
    pause = board.status.pause_by(PausedBy.OWNER)
    assert pauses.hold()
    assert pause is not None
    assert pause.until is not None
    assert 3590 < pause.until - time.time() <= 3600
    pauses.end_by_owner()
    assert pauses.hold()  # its own goes on
    assert [each.by for each in board.status.pauses] == [PausedBy.AGENT]
