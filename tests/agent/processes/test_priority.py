"""Scripts stand back behind the owner's programs, in both tiers; the agent itself does not."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tests.agent.runs import Run, in_both_tiers, linux_only
from workers.agent.grants import Priority
from workers.agent.processes.priority import lower
from workers.agent.processes.process_tree import ProcessTree
from workers.protocol import IsolationTier

LOOK = """
import json, os, subprocess, sys
words = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
child = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
print(json.dumps({"val_bpb": 1.0, "nice": os.getpriority(os.PRIO_PROCESS, 0),
                  "child": int(child.stdout)}), flush=True)
"""


@linux_only
@in_both_tiers
def test_a_script_and_its_children_stand_back_and_the_agent_does_not(
    tmp_path: Path, tier: IsolationTier
) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    execution = Run(tmp_path, LOOK, tier).execute(time_budget_seconds=60.0, priority=Priority.LOW)
    assert execution.result is not None, execution.stderr_tail
    assert (execution.result["nice"], execution.result["child"]) == (10, 10)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


# Looked at from outside: on a busy machine an idle script may wait for minutes before it can tell.
@linux_only
@pytest.mark.parametrize(
    ("priority", "nice", "policy", "disk"),
    [
        (Priority.NORMAL, 0, "SCHED_OTHER", "IOPRIO_CLASS_NONE"),
        (Priority.LOW, 10, "SCHED_OTHER", "IOPRIO_CLASS_BE"),
        (Priority.IDLE, 19, "SCHED_IDLE", "IOPRIO_CLASS_IDLE"),
    ],
)
def test_processor_and_disk_are_set_before_the_script_begins(
    tmp_path: Path, priority: Priority, nice: int, policy: str, disk: str
) -> None:
    words = ["/bin/sleep", "60"]
    tree = ProcessTree(
        words, tag="test/priority", environment={}, folder=tmp_path, priority=priority
    )
    try:
        process = psutil.Process(tree.pid)
        own = max(nice, os.getpriority(os.PRIO_PROCESS, 0))
        assert (process.nice(), os.sched_getscheduler(tree.pid)) == (own, getattr(os, policy))
        assert process.ionice().ioclass == getattr(psutil, disk)
        assert tree.priority_problem == ""
        guardian = os.getpriority(os.PRIO_PROCESS, process.ppid())
        assert guardian == os.getpriority(os.PRIO_PROCESS, 0)
    finally:
        tree.kill()
        tree.stdout.close()
        tree.stderr.close()


def test_without_a_guardian_the_process_is_lowered_after_its_start() -> None:
    with psutil.Popen(["sleep", "30"]) as process:
        assert lower(process.pid, Priority.NORMAL) == ""
        assert process.nice() == psutil.Process().nice()
        assert lower(process.pid, Priority.LOW) == ""
        assert process.nice() == 10
        process.kill()
    assert lower(process.pid, Priority.LOW) == ""  # it has ended already
