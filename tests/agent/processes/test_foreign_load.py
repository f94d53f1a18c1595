"""How many cores others used during a run: the run's own processes are taken out, all of them."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.runs import Run, linux_only
from workers.agent.processes.enclosure import own_cgroup, process_namespace
from workers.agent.processes.foreign_load import ForeignLoad, foreign_cores
from workers.agent.processes.guarded import NO_ENCLOSURE, Enclosure, EnclosureKind
from workers.agent.processes.process_tree import ProcessTree
from workers.protocol import IsolationTier

# Works for a while in itself, in a child that ends, and in one that detaches.
BUSY_FAMILY = """
import os, time

def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

work(0.2)
if os.fork() == 0:
    work(0.2)
    os._exit(0)
os.wait()
ended, end = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        work(0.2)
        os._exit(0)
    os._exit(0)
os.wait()
os.close(end)
os.read(ended, 1)  # until the detached one has ended
"""
BUSY_NEIGHBOUR = """
import time
while time.process_time() < 0.5:
    pass
print(time.process_time())
"""


@linux_only
@pytest.mark.parametrize(
    ("find", "tier"),
    [
        (own_cgroup, IsolationTier.T0),
        (process_namespace, IsolationTier.T0),
        (lambda: NO_ENCLOSURE, IsolationTier.T0),
        (lambda: NO_ENCLOSURE, IsolationTier.T1),
    ],
    ids=["cgroup", "namespace", "no enclosure", "sandbox"],
)
def test_ended_and_detached_processes_count_as_the_runs_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    find: Callable[[], Enclosure],
    tier: IsolationTier,
) -> None:
    enclosure = find()
    if find in (own_cgroup, process_namespace) and enclosure.kind is EnclosureKind.NONE:
        pytest.skip(enclosure.why_not)
    used: list[float | None] = []
    kill = ProcessTree.kill

    def noting(tree: ProcessTree) -> list[int]:
        survivors = kill(tree)
        used.append(tree.cpu_seconds)
        return survivors

    run = Run(tmp_path, BUSY_FAMILY, tier, enclosure)
    monkeypatch.setattr(ProcessTree, "kill", noting)
    execution = run.execute(time_budget_seconds=30.0)
    assert execution.exit_code == 0, execution.stderr_tail
    assert used[0] is not None
    assert 0.6 <= used[0] < 1.6  # and the starts of Python
    assert execution.foreign_load is not None


def test_a_busy_neighbour_is_seen() -> None:
    load = ForeignLoad()
    neighbour = subprocess.run(
        [sys.executable, "-c", BUSY_NEIGHBOUR], capture_output=True, check=True, text=True
    )
    cores = load.cores(0.0)
    own = load.cores(float(neighbour.stdout))
    if cores is None or own is None:
        pytest.skip("the kernel of this machine does not tell how busy its cores are")
    assert cores > 0.3  # half a second of work in little more than half a second
    assert own < cores


@pytest.mark.parametrize(
    ("own_seconds", "busy", "cores"),
    [
        (1.0, {"user": 3.0, "system": 0.5, "steal": 0.5, "iowait": 9.0, "idle": 9.0}, 1.5),
        (1.0, {"user": 3.0, "guest": 3.0, "nice": 1.0, "irq": 1.0, "softirq": 1.0}, 2.5),
        (9.0, {"user": 3.0, "idle": 1.0}, 0.0),  # clocks of different grains
        (1.0, {}, None),  # clocks that stand still
    ],
)
def test_what_counts_as_busy(
    own_seconds: float, busy: dict[str, float], cores: float | None
) -> None:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest")
    times = namedtuple("times", names)  # noqa: PYI024 - as psutil gives them on Linux
    before = times(*range(10, 100, 10))
    after = times(*(getattr(before, name) + busy.get(name, 0.0) for name in names))
    assert foreign_cores(before, after, own_seconds, 2.0) == cores
    assert foreign_cores(before, after, own_seconds, 0.0) is None
