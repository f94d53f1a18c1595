"""Runs of hostile scripts: both deadlines hold and no process is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.agent.runs import (
    BUDGET_SECONDS,
    DETACH,
    GRACE_SECONDS,
    IGNORE_SIGTERM,
    MIB,
    MemorySampler,
    Run,
    in_both_tiers,
    linux_only,
    script,
)
from tests.processes import ROOT
from tests.standstills import within
from workers.agent.attempt import StopReason
from workers.agent.processes.guarded import NO_ENCLOSURE
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending
from workers.protocol import IsolationTier

SLACK_SECONDS = 2.0  # the contract allows so much
# The full row of the fault matrix uses 1024. That takes under a second on an idle machine, and half
# a minute on a busy one.
FLOOD_MIB = int(os.environ.get("XEENET_TEST_FLOOD_MIB", "128"))


def test_a_script_that_ends_in_time_is_left_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, 'print("{\\"a\\": 1}")')
    execution = run.execute(time_budget_seconds=20.0)
    assert execution.ending is Ending.EXITED
    assert execution.exit_code == 0
    assert execution.result == {"a": 1}
    assert execution.wall_time_seconds < 15


@in_both_tiers
def test_a_script_that_hangs_gets_sigterm_at_its_budget(
    tmp_path: Path, tier: IsolationTier
) -> None:
    execution = Run(tmp_path, "import time; time.sleep(20)", tier).execute()
    assert execution.ending is Ending.EXITED_AFTER_SIGTERM
    assert execution.exit_code == -15
    assert BUDGET_SECONDS <= execution.wall_time_seconds < BUDGET_SECONDS + GRACE_SECONDS


@in_both_tiers
def test_a_script_that_ignores_sigterm_is_killed_at_budget_plus_grace(
    tmp_path: Path, tier: IsolationTier
) -> None:
    run = Run(tmp_path, script(IGNORE_SIGTERM, "announce(); time.sleep(20)"), tier)
    execution = run.execute()
    deadline = BUDGET_SECONDS + GRACE_SECONDS
    assert execution.ending is Ending.TIMEOUT
    assert execution.exit_code == -9
    assert deadline <= execution.wall_time_seconds < deadline + SLACK_SECONDS
    assert run.leftovers() == []


@in_both_tiers
def test_a_script_that_answers_sigterm_with_its_result_has_one(
    tmp_path: Path, tier: IsolationTier
) -> None:
    source = """
        def finish(*_):
            print('{"a": 1}', flush=True)
            os._exit(0)
        signal.signal(signal.SIGTERM, finish)
        time.sleep(20)
        """
    execution = Run(tmp_path, script(source), tier).execute()
    assert execution.ending is Ending.EXITED_AFTER_SIGTERM
    assert (execution.exit_code, execution.result) == (0, {"a": 1})


@in_both_tiers
def test_forked_children_that_ignore_sigterm_die_with_the_script(
    tmp_path: Path, tier: IsolationTier
) -> None:
    source = """
        for _ in range(5):
            if os.fork() == 0:
                break
        announce()
        time.sleep(20)
        """
    run = Run(tmp_path, script(IGNORE_SIGTERM, source), tier)
    execution = run.execute()
    assert execution.ending is Ending.TIMEOUT
    assert run.announced() == 6
    assert run.leftovers() == []


@in_both_tiers
def test_a_detached_grandchild_dies_with_the_script(tmp_path: Path, tier: IsolationTier) -> None:
    run = Run(
        tmp_path, script(IGNORE_SIGTERM, DETACH, "detach(); announce(); time.sleep(20)"), tier
    )
    started_at = time.monotonic()
    execution = run.execute()
    assert execution.ending is Ending.TIMEOUT
    assert time.monotonic() - started_at < BUDGET_SECONDS + GRACE_SECONDS + 2.0
    assert run.announced() == 2
    assert run.leftovers() == []


def test_what_a_script_leaves_running_after_its_result_is_killed_without_delay(
    tmp_path: Path,
) -> None:
    # The detached process holds the pipe open: reading to its end would take 20 seconds.
    source = """
        detach()
        while len(list(pathlib.Path().glob("[0-9]*"))) < 1:
            time.sleep(0.01)
        print('{"a": 1}')
        """
    run = Run(tmp_path, script(DETACH, source))
    with within(5):
        execution = run.execute(time_budget_seconds=20.0)
    assert (execution.ending, execution.result) == (Ending.EXITED, {"a": 1})
    assert run.leftovers() == []


@linux_only
def test_a_detached_process_that_strips_its_environment_is_found_by_adoption(
    tmp_path: Path,
) -> None:
    # In a separate process, because the test process should not adopt orphans. The guardian would
    # find it, too, so the script kills its guardian.
    source = script(
        DETACH,
        'detach(["/bin/sleep", "20"])\n',
        'while not list(pathlib.Path().glob("[0-9]*")): time.sleep(0.01)\n',
        "announce(); os.kill(os.getppid(), signal.SIGKILL); time.sleep(20)",
    )
    program = f"""
        from pathlib import Path
        from tests.agent.runs import Run
        from workers.agent.processes.guarded import NO_ENCLOSURE
        from workers.agent.processes.process_tree import adopt_orphans
        assert adopt_orphans()
        run = Run(Path({str(tmp_path)!r}), {source!r}, enclosure=NO_ENCLOSURE)
        print(run.execute(time_budget_seconds=20.0).exit_code)
        """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**script_environment(tmp_path, tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    assert answer.stdout.strip() == "-9", answer.stderr
    run = Run(tmp_path, "")
    assert run.announced() == 2
    assert run.leftovers() == []


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_endless_output_is_cut_off_and_costs_the_agent_little_memory(
    tmp_path: Path, stream: str
) -> None:
    run = Run(tmp_path, f"import sys\nwhile True: sys.{stream}.buffer.write(b'\\xff' * 65536)")
    sampler = MemorySampler()
    with sampler:
        execution = run.execute(time_budget_seconds=20.0)
    assert execution.ending is Ending.OUTPUT_FLOOD
    assert len(execution.stderr_tail.encode()) <= 16 * 1024
    assert sampler.growth_bytes < 20 * MIB
    assert run.leftovers() == []


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_without_a_newline_that_is_read_to_its_end_costs_little_memory(
    tmp_path: Path, stream: str
) -> None:
    source = f"import sys\nfor _ in range({FLOOD_MIB}): sys.{stream}.buffer.write(b'\\x80' * 2**20)"
    run = Run(tmp_path, source)
    sampler = MemorySampler()
    with sampler:
        execution = run.execute(time_budget_seconds=100.0, output_bytes=2**31)
    assert (execution.ending, execution.exit_code, execution.result) == (Ending.EXITED, 0, None)
    assert len(execution.stderr_tail.encode()) == (16 * 1024 // 3 * 3 if stream == "stderr" else 0)
    assert sampler.growth_bytes < 20 * MIB


def test_an_output_of_short_lines_costs_the_agent_little_memory(tmp_path: Path) -> None:
    run = Run(tmp_path, "import sys\nwhile True: sys.stdout.write('{}\\n' * 20_000)")
    sampler = MemorySampler()
    with sampler:
        execution = run.execute(time_budget_seconds=20.0, output_bytes=4 * MIB)
    assert execution.ending is Ending.OUTPUT_FLOOD
    assert sampler.growth_bytes < 20 * MIB


@in_both_tiers
def test_a_script_that_takes_more_memory_than_allowed_is_killed(
    tmp_path: Path, tier: IsolationTier
) -> None:
    run = Run(tmp_path, "import time; held = b'x' * 300_000_000; time.sleep(20)", tier)
    execution = run.execute(time_budget_seconds=20.0, memory_bytes=150 * MIB)
    assert execution.ending is Ending.MEMORY
    assert execution.peak_memory_bytes > 150 * MIB
    assert execution.wall_time_seconds < 15


@in_both_tiers
def test_a_stop_request_ends_the_whole_tree_at_once(tmp_path: Path, tier: IsolationTier) -> None:
    run = Run(
        tmp_path, script(IGNORE_SIGTERM, DETACH, "detach(); announce(); time.sleep(20)"), tier
    )

    def cancel_when_running() -> None:
        while run.announced() < 2:
            time.sleep(0.02)
        run.stop.request(StopReason.CANCEL)

    canceller = threading.Thread(target=cancel_when_running)
    canceller.start()
    execution = run.execute(time_budget_seconds=20.0)
    canceller.join()
    assert execution.ending is Ending.STOPPED
    assert execution.wall_time_seconds < 15
    assert run.leftovers() == []


def test_progress_lines_arrive_while_the_script_runs(tmp_path: Path) -> None:
    line = json.dumps({"event": "progress", "elapsed_seconds": 0.1, "step": 3})
    run = Run(tmp_path, f"import sys, time; print({line!r}, file=sys.stderr); time.sleep(20)")
    run.execute()
    assert [point["step"] for point in run.progress.pending()] == [3]


@linux_only
def test_the_script_dies_when_the_agent_is_killed(tmp_path: Path) -> None:
    program = f"""
        from pathlib import Path
        from tests.agent.runs import ANNOUNCE, Run
        source = ANNOUNCE + "announce(); time.sleep(20)"
        Run(Path({str(tmp_path)!r}), source).execute(time_budget_seconds=60.0)
        """
    agent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env={**script_environment(tmp_path, tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    end = time.monotonic() + 60
    while not (pids := list(tmp_path.glob("[0-9]*"))) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(pids) == 1
    (script_process,) = Run(tmp_path, "").leftovers()
    agent.kill()
    agent.wait()
    gone, _ = psutil.wait_procs([script_process], timeout=5)
    assert gone or script_process.status() == psutil.STATUS_ZOMBIE


@linux_only
def test_the_kernel_out_of_memory_chooses_the_script_before_the_agent(tmp_path: Path) -> None:
    source = (
        "import json; print(json.dumps({'score': int(open('/proc/self/oom_score_adj').read())}))"
    )
    execution = Run(tmp_path, source).execute(time_budget_seconds=20.0)
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert execution.result is not None
    assert execution.result["score"] > own


@linux_only
def test_a_script_leads_a_session_without_the_agents_terminal(tmp_path: Path) -> None:
    source = "import json, os; print(json.dumps({'session': os.getsid(0), 'group': os.getpgid(0)}))"
    execution = Run(tmp_path, source, enclosure=NO_ENCLOSURE).execute(time_budget_seconds=20.0)
    assert execution.result is not None
    assert execution.result["session"] == execution.result["group"]
    assert execution.result["session"] not in (os.getsid(0), 0)
