"""The memory of a run counts pages that its processes share once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil

from tests.agent.runs import MIB, Run, in_both_tiers, linux_only
from workers.agent.processes.memory import used_bytes
from workers.agent.running.execution import Ending
from workers.protocol import IsolationTier

SHARING = """
    import os, sys, time
    data = bytearray(b"x") * ({mib} * 2**20)
    children = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            {child}
            sum(data[::4096])
            time.sleep(2.5)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    """


class Process:
    """A process with invented figures in MiB; None for one whose pages cannot be looked into."""

    def __init__(self, rss: int, uss: int | None, pss: int | None = None) -> None:
        self._figures = {"rss": rss * MIB, "uss": uss}
        if uss is not None:
            self._figures["uss"] = uss * MIB
        if pss is not None:
            self._figures["pss"] = pss * MIB

    def memory_info(self) -> Any:
        return SimpleNamespace(**self._figures)

    def memory_full_info(self) -> Any:
        if self._figures["uss"] is None:
            raise psutil.AccessDenied
        return SimpleNamespace(**self._figures)


def measured(*processes: Process, limit_mib: int = 0) -> float:
    return used_bytes(cast(list[psutil.Process], processes), limit_mib * MIB) / MIB


@linux_only
@in_both_tiers
def test_what_loaders_share_is_counted_once(tmp_path: Path, tier: IsolationTier) -> None:
    run = Run(tmp_path, SHARING.format(mib=150, child="pass"), tier)
    execution = run.execute(time_budget_seconds=30.0, memory_bytes=400 * MIB)
    assert (execution.ending, execution.exit_code) == (Ending.EXITED, 0)
    assert 150 * MIB < execution.peak_memory_bytes < 400 * MIB


@linux_only
def test_what_loaders_copy_is_counted_for_each(tmp_path: Path) -> None:
    run = Run(tmp_path, SHARING.format(mib=150, child="data = bytearray(data)"))
    execution = run.execute(time_budget_seconds=30.0, memory_bytes=400 * MIB)
    assert execution.ending is Ending.MEMORY


@linux_only
def test_a_real_process_uses_no_more_than_its_resident_size() -> None:
    process = psutil.Process()
    assert 0 < used_bytes([process], 0) <= process.memory_info().rss + MIB


def test_without_proportional_sizes_the_largest_shared_part_is_added_once() -> None:
    assert measured(Process(700, 50), Process(620, 20), Process(610, 10)) == 80 + 650


def test_a_process_that_cannot_be_looked_into_counts_in_full() -> None:
    assert measured(Process(700, None), Process(620, 20, pss=30)) == 730


def test_a_kernel_that_reports_no_proportional_size_is_not_believed() -> None:
    assert measured(Process(700, 700, pss=0)) == 700


def test_below_the_limit_the_sum_of_the_resident_sizes_is_enough() -> None:
    assert measured(Process(100, None), Process(100, None), limit_mib=200) == 200
