"""Which tasks start in a spare, and that every other starts cold and gives the same result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agent.runs import linux_only
from tests.agent.server import wait_until
from tests.agent.tasks.bench import MACHINE, SERVER_CODE, Bench, metrics_of
from workers.agent.attempt import Attempt
from workers.agent.grants import Grant
from workers.agent.processes.process_table import TAG_VARIABLE
from workers.agent.running.hardware import Machine
from workers.agent.tasks.runner import Runner, RunnerSettings

pytestmark = linux_only
TORCH = "__version__ = '2.13.0'\ndef set_num_threads(_count): pass\n"


@pytest.fixture
def runner(bench: Bench, tmp_path: Path) -> Iterator[Runner]:
    torch = tmp_path / "packages" / "torch"
    torch.mkdir(parents=True)
    (torch / "__init__.py").write_text(TORCH)
    (torch / "version.py").touch()
    machine = Machine(MACHINE.hardware, {"PYTHONPATH": str(torch.parent)})
    settings = RunnerSettings(policy=SERVER_CODE, grant=lambda: Grant(2, 2**32), warm=True)
    runner = Runner(bench.state, bench.client, machine, settings)
    yield runner
    assert runner.warm.spares is not None
    runner.warm.spares.close()
    assert list(bench.state.work.iterdir()) == []


def have_spare(runner: Runner, bench: Bench) -> None:
    """Return when a spare is there, or under way."""
    assert runner.warm.spares is not None
    runner.warm.spares.want(1)
    wait_until(lambda: list(bench.state.work.iterdir()))


def tag_in(runner: Runner, attempt: Attempt) -> str:
    """Run the attempt; return the kind of process in which its script ran."""
    metrics: dict[str, Any] = metrics_of(runner.run(attempt))
    name = metrics["environment"][TAG_VARIABLE].rpartition("/")[2]
    assert metrics["cwd"].endswith(name)
    return "cold" if name == attempt.lease_id else name.partition("-")[0]


def test_only_a_script_that_was_checked_starts_in_a_spare(runner: Runner, bench: Bench) -> None:
    assert tag_in(runner, bench.attempt(starts_warm=True)) == "cold"  # there is none yet
    have_spare(runner, bench)
    assert tag_in(runner, bench.attempt()) == "cold"
    assert tag_in(runner, bench.attempt(starts_warm="yes")) == "cold"
    assert tag_in(runner, bench.attempt(starts_warm=True)) == "spare"


def test_a_spare_that_takes_no_script_costs_nothing_but_the_warm_start(
    runner: Runner, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_spare(runner, bench)
    placed = runner._place_dataset

    def kill_first(attempt: Attempt, place: Any, *paths: Path) -> None:
        assert place.spare is not None
        tree = place.spare._tree
        psutil.Process(tree.pid).kill()
        wait_until(tree.has_exited)
        placed(attempt, place, *paths)

    monkeypatch.setattr(runner, "_place_dataset", kill_first)
    outcome = runner.run(bench.attempt(starts_warm=True))
    assert metrics_of(outcome)["val_bpb"] == 2.0


def test_a_task_that_was_stopped_before_its_script_began_leaves_no_spare_behind(
    runner: Runner, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_spare(runner, bench)
    attempt = bench.attempt(starts_warm=True)

    def no_data(*_: Any) -> None:
        raise OSError("the disk is broken")

    monkeypatch.setattr(runner, "_place_dataset", no_data)
    assert "the disk is broken" in runner.run(attempt).pause_reason
    assert runner.warm.spares is not None
    runner.warm.spares.rest()  # one for the next task may be under way
    wait_until(lambda: not list(bench.state.work.iterdir()))
