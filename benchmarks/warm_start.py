"""What a warm start saves: set-up, share of a budget, gaps between tasks, and what it costs.

    python -m benchmarks.warm_start [--pairs 3] [--gaps 20] [--budgets 10,60] [--tasks 200]

The catalog's script runs as the agent runs it, cold and in a spare by turns, in both tiers where
bubblewrap works. Then an agent runs small tasks of a small server in this process, cold and warm,
and last many tasks warm, to see what memory they take. The last line is one JSON object. The exit
code is 1 when values differ, when a set-up takes more than a tenth of the cold one, or when the
median gap is above 150 ms.
"""

import argparse
import hashlib
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from experiments import catalog, english_like_corpus
from experiments.calibration import CALIBRATION_DATASET
from tests.agent.server import WORKER_TOKEN, AgentServer, make_lease, running_server, wait_until
from workers.agent.attempt import Attempt
from workers.agent.connection.client import Client
from workers.agent.delivery.outbox import Outbox
from workers.agent.grants import Grant
from workers.agent.loop import Agent, AgentOptions
from workers.agent.processes.process_table import tagged
from workers.agent.processes.process_tree import adopt_orphans
from workers.agent.running.hardware import Machine, usable_cpus
from workers.agent.running.sandbox import Sandbox, SandboxUnavailable, find_sandbox
from workers.agent.state import StateFolder
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.agent.tasks.scripts import CodePolicy

EXPERIMENT: Final = "train_char_lm"
PARAMS: Final = {
    "d_model": 64,
    "n_layers": 2,
    "n_heads": 4,
    "d_ff": 512,
    "batch_size": 32,
    "context_length": 128,
    "lr": 0.005,
    "lr_schedule": "cosine",
    "seed": 48,
}
STEPS: Final = 40
MACHINE: Final = Machine({"torch_version": "installed", "devices": ["cpu"]})
MOST_GAP_SECONDS: Final = 0.15
# A task of a moment: what it prints tells when its first line ran, when it had torch, and its end.
MOMENT: Final = b"""
import time
began = time.time()
import json, sys, torch
ready = time.time()
config = json.load(open(sys.argv[2]))
(torch.ones(64, 64) @ torch.ones(64, 64)).sum().item()
step = {"event": "progress", "elapsed_seconds": 0.1, "step": 1}
print(json.dumps(step), file=sys.stderr, flush=True)
time.sleep(config["seconds"])
print(json.dumps({
    "val_bpb": 2.0, "train_loss": 1.0, "steps_completed": 1, "wall_time_seconds": 0.1,
    "device_used": "cpu", "model_params": 1, "eval_nll_nats": 138.62943611198907,
    "eval_bytes": 100, "eval_tokens": 100, "tokens_trained": 1, "seed": config["seed"],
    "dataset_sha256": config["dataset_sha256"], "stop_reason": "time",
    "began": began, "ready": ready, "over": time.time(),
}))
"""


class NoResult(RuntimeError):
    """A run of the script ended without a result line."""


class Bench:
    """A state folder and a server of its own."""

    def __init__(self, root: Path, server: AgentServer, threads: int) -> None:
        self.server = server
        self.state = StateFolder(root / "state")
        self.client = Client(server.url, WORKER_TOKEN)
        self.grant = Grant(threads, 2**34)
        info = catalog.get_dataset(CALIBRATION_DATASET)
        self.dataset = {"name": info.name, "sha256": info.sha256, "size_bytes": info.size_bytes}
        server.files[info.sha256] = english_like_corpus.generate()

    def runner(self, *, warm: bool, sandbox: Sandbox | None = None) -> Runner:
        settings = RunnerSettings(
            policy=CodePolicy(server_code=True),
            sandbox=sandbox,
            grant=lambda: self.grant,
            warm=warm,
        )
        return Runner(self.state, self.client, MACHINE, settings)

    def lease(self, source: bytes, config: dict[str, Any], seconds: float) -> Any:
        self.server.files[hashlib.sha256(source).hexdigest()] = source
        return make_lease(
            source,
            code_package_ref=EXPERIMENT,
            dataset=self.dataset,
            config=config,
            time_budget_seconds=seconds,
            kill_grace_seconds=15.0,
            deadline_seconds=600.0,
            starts_warm=True,
        )

    def char_lm(self, runner: Runner, seconds: float, **config: Any) -> dict[str, Any]:
        """Run the catalog's script once; wait for a spare first, where the runner keeps any.

        Raises NoResult when the run brought none: its set-up alone may be longer than its budget.
        """
        if runner.warm.spares is not None:
            runner.warm.spares.want(1)
            wait_until(lambda: runner.warm.spares.ready, 120)
            runner.warm.spares.want(0)
        source = catalog.script_source(EXPERIMENT)
        outcome = runner.run(Attempt(self.lease(source, {**PARAMS, **config}, seconds)))
        assert outcome.submission is not None, outcome
        metrics = outcome.submission.get("metrics")
        if metrics is None:
            raise NoResult(outcome.submission.get("message", ""))
        return metrics


@contextmanager
def new_bench(threads: int) -> Iterator[Bench]:
    """Yield a bench whose tasks get so many threads."""
    with tempfile.TemporaryDirectory(prefix="xeenet-warm-") as name, running_server() as server:
        bench = Bench(Path(name), server, threads)
        try:
            yield bench
        finally:
            bench.client.close()


def set_ups(bench: Bench, pairs: int) -> dict[str, Any]:
    """Return, for each tier, set-up seconds and values at fixed steps, cold and warm by turns."""
    sandboxes: dict[str, Sandbox | None] = {"T0": None}
    try:
        tag = bench.state.tag_prefix + "check"
        sandboxes["T1"] = find_sandbox(bench.state.root, bench.state.work, tag)
    except SandboxUnavailable as problem:
        print(f"T1 not measured: {problem}")
    figures: dict[str, Any] = {}
    for tier, sandbox in sandboxes.items():
        runs: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": []}
        runners = {way: bench.runner(warm=way == "warm", sandbox=sandbox) for way in runs}
        for _ in range(pairs):
            for way, runner in runners.items():
                runs[way].append(bench.char_lm(runner, 300.0, max_steps=STEPS))
        if (spares := runners["warm"].warm.spares) is not None:
            spares.close()
        seconds = {way: _median(runs[way], "setup_seconds") for way in runs}
        values = {run["val_bpb"] for way in runs for run in runs[way]}
        figures[tier] = {**seconds, "values": sorted(values)}
        print(
            f"{tier}: set-up {seconds['cold']:.2f} s cold, {seconds['warm']:.3f} s warm "
            f"(medians of {pairs}), values after {STEPS} steps: {sorted(values)}",
            flush=True,
        )
    return figures


def shares(bench: Bench, budgets: list[float]) -> dict[str, Any]:
    """Return which share of time budgets is spent training, cold and warm."""
    figures: dict[str, Any] = {}
    for budget in budgets:
        for way in ("cold", "warm"):
            runner = bench.runner(warm=way == "warm")
            try:
                run = bench.char_lm(runner, budget)
            except NoResult as problem:
                run = {"train_seconds": 0.0, "steps_completed": 0, "val_bpb": f"none: {problem}"}
            finally:
                if runner.warm.spares is not None:
                    runner.warm.spares.close()
            share = run["train_seconds"] / budget
            figures[f"{budget:g} s {way}"] = round(share, 3)
            print(
                f"{budget:g} s {way}: {share:.1%} training, {run['steps_completed']} steps, "
                f"val_bpb {run['val_bpb']}",
                flush=True,
            )
    return figures


def gaps(bench: Bench, count: int, *, warm: bool) -> list[tuple[float, float]]:
    """Let an agent run ``count`` + 1 tasks; return for each gap the seconds until it had torch.

    The first number of a pair counts until the next script's first line.
    """
    runner = bench.runner(warm=warm)
    outbox = Outbox(bench.state.outbox)
    agent = Agent(bench.client, outbox, runner, MACHINE.hardware, AgentOptions(once=True))
    bench.server.results.clear()
    for number in range(count + 1):
        # Its only step is done at once: the rest is as long as the import of the next spare takes.
        config = {"seed": number, "seconds": 8.0 if warm else 0.5, "max_steps": 1}
        bench.server.leases.append(bench.lease(MOMENT, config, 60.0))
    thread = threading.Thread(target=agent.run)
    thread.start()
    thread.join()
    runs = [result["metrics"] for result in bench.server.results.values()]
    runs = sorted(runs, key=lambda run: run["began"])
    return [
        (after["began"] - before["over"], after["ready"] - before["over"])
        for before, after in itertools.pairwise(runs)
    ]


def _median(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def memory(bench: Bench, tasks: int) -> dict[str, Any]:
    """Return the memory of this process, the agent, and of its spares, over many tasks (MiB)."""
    own, spare = [], []
    runner = bench.runner(warm=True)
    source = MOMENT
    for number in range(tasks):
        assert runner.warm.spares is not None
        runner.warm.spares.want(1)
        wait_until(lambda: runner.warm.spares.ready, 120)
        members = tagged(runner.warm.spares.ready[0].tag, time.monotonic() + 10)
        spare.append(sum(process.memory_info().rss for process in members) / 2**20)
        attempt = Attempt(bench.lease(source, {"seed": number, "seconds": 0.0}, 60.0))
        outcome = runner.run(attempt)
        assert outcome.submission is not None, outcome
        own.append(psutil.Process().memory_info().rss / 2**20)
    assert runner.warm.spares is not None
    runner.warm.spares.close()
    tenth = max(1, tasks // 10)
    figures = {
        "tasks": tasks,
        "agent_first": round(statistics.median(own[:tenth]), 1),
        "agent_last": round(statistics.median(own[-tenth:]), 1),
        "spare_first": round(statistics.median(spare[:tenth]), 1),
        "spare_last": round(statistics.median(spare[-tenth:]), 1),
        "threads": threading.active_count(),
        "files": psutil.Process().num_fds(),
    }
    print(f"memory (MiB) over {tasks} tasks: {figures}", flush=True)
    return figures


def main() -> int:
    """Measure, print, and say whether the bars are kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--gaps", type=int, default=20)
    parser.add_argument("--budgets", default="10,60", help="seconds, separated by commas")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--threads", type=int, default=usable_cpus())
    options = parser.parse_args()
    adopt_orphans()
    figures: dict[str, Any] = {"run": uuid.uuid4().hex[:8], "load": psutil.getloadavg()}
    broken = []
    with new_bench(options.threads) as bench:
        if options.pairs:
            figures["set_up"] = set_ups(bench, options.pairs)
        for tier, of_tier in figures.get("set_up", {}).items():
            if len(of_tier["values"]) != 1:
                broken.append(f"{tier}: values differ")
            if of_tier["warm"] > of_tier["cold"] / 10:
                broken.append(f"{tier}: the set-up takes more than a tenth of the cold one")
        if options.budgets:
            budgets = [float(text) for text in options.budgets.split(",")]
            figures["shares"] = shares(bench, budgets)
        if options.gaps:
            for way in ("warm", "cold"):
                pairs = gaps(bench, options.gaps, warm=way == "warm")
                first, torch = (statistics.median(column) for column in zip(*pairs, strict=True))
                figures[f"gap_{way}"] = {"first_line": round(first, 3), "torch": round(torch, 3)}
                print(f"gap {way}: median {first:.3f} s to the first line, {torch:.3f} s to torch")
            if figures["gap_warm"]["torch"] > MOST_GAP_SECONDS:
                broken.append(f"the median gap is above {MOST_GAP_SECONDS:g} s")
        if options.tasks:
            figures["memory"] = memory(bench, options.tasks)
    print("\n".join(broken) or "every bar is kept")
    print(json.dumps(figures))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
