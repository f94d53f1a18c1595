"""Measure what a task costs the owner of a machine: programs that want all of a core beside it.

    python -m benchmarks.owner_cost [--windows 12] [--loops 0 1 2]

Beside so many busy loops it runs the catalog's script as the agent does, in each priority, with the
threads that the agent chooses there and with all cores. The task is stopped every other moment (an
agent never does that): what the loops lose is the median over the pairs, so that other work on the
machine, which comes and goes, weighs little. A row takes about half a minute. Run it with
`taskset -c 0,1` to see a machine of two cores.
"""

import argparse
import contextlib
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Final, NamedTuple

import psutil

from experiments import catalog, english_like_corpus
from experiments.calibration import CALIBRATION_DATASET
from workers.agent.attempt import StopReason, StopRequest
from workers.agent.grants import Priority
from workers.agent.limits.load import LoadMeter
from workers.agent.limits.options import machine_defaults
from workers.agent.limits.threads import threads_of_free
from workers.agent.output.progress import ProgressBuffer
from workers.agent.processes.process_table import tagged
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Limits, execute
from workers.agent.tasks.datasets import store_generated
from workers.protocol import DatasetReference

EXPERIMENT: Final = "train_char_lm"
PARAMS: Final = {
    "d_model": 128,
    "n_layers": 2,
    "n_heads": 2,
    "d_ff": 256,
    "batch_size": 32,
    "context_length": 128,
    "lr": 0.002,
    "lr_schedule": "cosine",
    "seed": 42,
}
# The script tells ten times a run how far it is; here it tells after each step.
REPORTS: Final = b"PROGRESS_EVAL_SHARE, PROGRESS_POINTS = 0.02, 10 "
OFTEN: Final = b"PROGRESS_EVAL_SHARE, PROGRESS_POINTS = 0.0, 1_000_000 "
COUNTER_BYTES: Final = 8
LOAD_SECONDS: Final = 4.0
WINDOW_SECONDS: Final = 0.8
START_SECONDS: Final = 90.0  # until the first step
MOST_SECONDS: Final = 600.0
# Counts its rounds where the parent can read them. A program of the owner, in a session of its own.
LOOP: Final = """
import mmap, os, struct, sys
parent = os.getppid()
with open(sys.argv[1], "r+b") as file:
    counter = mmap.mmap(file.fileno(), 8)
rounds = 0
while os.getppid() == parent:  # it ends with the benchmark, however that ends
    for _ in range(10_000):
        pass
    rounds += 1
    struct.pack_into("Q", counter, 0, rounds)
"""


class BusyLoops:
    """Programs of the owner, each of which takes all of a core that it can get."""

    def __init__(self, count: int, folder: Path) -> None:
        self._counters = []
        self._processes = []
        for number in range(count):
            path = folder / f"loop-{number}"
            path.write_bytes(bytes(COUNTER_BYTES))
            with path.open("r+b") as file:
                self._counters.append(mmap.mmap(file.fileno(), COUNTER_BYTES))
            words = [sys.executable, "-c", LOOP, str(path)]
            self._processes.append(subprocess.Popen(words, start_new_session=True))

    def rounds(self) -> int:
        """Return how many rounds all loops have made."""
        return sum(struct.unpack_from("Q", counter)[0] for counter in self._counters)

    def rate(self, seconds: float) -> float:
        """Return the rounds a second over so many seconds from now on."""
        began, before = time.monotonic(), self.rounds()
        time.sleep(seconds)
        return (self.rounds() - before) / (time.monotonic() - began)

    def stop(self) -> None:
        """End the loops."""
        for process in self._processes:
            process.kill()
            process.wait()


class Row(NamedTuple):
    """What a task of a priority and with so many threads cost beside the loops."""

    loops: int
    threads: int
    is_chosen: bool
    priority: Priority
    lost: float | None  # share of the loops' rounds; None without loops
    others: float | None  # cores that other programs used meanwhile; the loops are none of them
    steps_per_second: float | None  # None: the task made no step


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[BusyLoops]:
    """Run so many busy loops during the block."""
    with tempfile.TemporaryDirectory() as name:
        loops = BusyLoops(count, Path(name))
        try:
            yield loops
        finally:
            loops.stop()


class Task:
    """The script, run in a thread as the agent runs it."""

    def __init__(self, folder: Path, threads: int, priority: Priority) -> None:
        dataset = catalog.get_dataset(CALIBRATION_DATASET)
        config = {
            **PARAMS,
            "time_budget_seconds": MOST_SECONDS,
            "dataset": dataset.name,
            "dataset_sha256": dataset.sha256,
        }
        work = folder / "work"
        work.mkdir(exist_ok=True)
        source = catalog.script_source(EXPERIMENT)
        if REPORTS not in source:
            raise ValueError(f"{EXPERIMENT} reports its progress in another way than before")
        (work / "script.py").write_bytes(source.replace(REPORTS, OFTEN))
        (work / "config.json").write_text(json.dumps(config))
        self.progress = ProgressBuffer()
        self._stop = StopRequest()
        self._tag = f"owner-cost/{os.getpid()}/{time.monotonic()}"
        self._thread = threading.Thread(
            target=execute,
            args=([sys.executable, "-u", "script.py", "--config-file", "config.json"],),
            kwargs={
                "tag": self._tag,
                "environment": script_environment(work, folder, threads=threads),
                "folder": work,
                "limits": Limits(MOST_SECONDS, 1.0, 4 * 2**30, priority=priority),
                "stop": self._stop,
                "progress": self.progress,
            },
        )
        self._thread.start()

    def is_training(self) -> bool:
        """Return whether it has made a step."""
        return self.progress.last_step > 0

    def send(self, number: int) -> None:
        """Send the signal to the script's own process."""
        for process in tagged(self._tag, time.monotonic() + 5.0):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def stop(self) -> None:
        """End it."""
        self.send(signal.SIGCONT)
        self._stop.request(StopReason.DRAIN)
        self._thread.join()


def measure(count: int, windows: int, folder: Path, cores: int) -> Iterator[Row]:
    """Yield the rows beside so many loops."""
    with busy_loops(count) as loops:
        meter = LoadMeter()
        time.sleep(LOAD_SECONDS)
        load = meter.read()
        # The meter takes this program's children for its own; these loops are the owner's.
        free = None if load.free_cores is None else max(0.0, load.free_cores - count)
        chosen = threads_of_free(free, 1, cores)
        for threads in sorted({chosen, cores}):
            for priority in Priority:
                task = Task(folder, threads, priority)
                beside = LoadMeter()
                try:
                    lost, steps = _beside(loops, task, windows)
                    others = beside.read().foreign_cores
                finally:
                    task.stop()
                yield Row(count, threads, threads == chosen, priority, lost, others, steps)


def _beside(loops: BusyLoops, task: Task, windows: int) -> tuple[float | None, float | None]:
    """Return the share that the loops lost while the task ran, and its steps a second."""
    give_up_at = time.monotonic() + START_SECONDS
    while not task.is_training():
        if time.monotonic() > give_up_at:
            return None, None
        time.sleep(0.1)
    lost, steps = [], []
    for _ in range(windows):
        before, began = task.progress.last_step, time.monotonic()
        beside = loops.rate(WINDOW_SECONDS)
        steps.append((task.progress.last_step - before) / (time.monotonic() - began))
        task.send(signal.SIGSTOP)
        alone = loops.rate(WINDOW_SECONDS)
        task.send(signal.SIGCONT)
        if alone:
            lost.append(1 - beside / alone)
    return median(lost) if lost else None, mean(steps)


def text_of(row: Row) -> str:
    """Return the row as a line of a table."""
    lost = "" if row.lost is None else f"{row.lost:.0%}"
    others = "" if row.others is None else f"{row.others:.1f}"
    steps = "no step" if row.steps_per_second is None else f"{row.steps_per_second:.1f}"
    threads = f"{row.threads}{' (chosen)' if row.is_chosen else ''}"
    return f"| {row.loops} | {threads} | {row.priority} | {lost} | {steps} | {others} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=12, help="pairs of moments for each row")
    parser.add_argument("--loops", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(arguments)
    cores = machine_defaults().cores
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{cores} cores, load average before: {load}\n")
    print("| busy loops | threads | priority | the loops lost | steps a second | others' cores |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = catalog.get_dataset(CALIBRATION_DATASET)
        reference: DatasetReference = {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "size_bytes": dataset.size_bytes,
        }
        store_generated(folder, reference, english_like_corpus.generate())
        for count in options.loops:
            for row in measure(count, options.windows, folder, cores):
                print(text_of(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
