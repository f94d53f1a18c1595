"""`make bench ARGS=training`: how much of a budget is spent training, and how fast that is.

The shares are those of an agent that runs the catalog's script, cold and warm by turns. The speed
is that of the script's own process beside a plain GPT-2 loop (`nanogpt_loop`) of the same shape, in
turns. With --dataset-file (TinyShakespeare) the cases of `bench_train` run too, with their bars.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import bench_train
from benchmarks.speed.machine import busy_seconds, own_seconds
from benchmarks.speed.products import ROOT, commit_of
from benchmarks.speed.report import Bar, Report, Table, median, number, paired

SCRIPT = ROOT / "experiments" / "train_char_lm.py"
LOOP = Path(__file__).with_name("nanogpt_loop.py")
OURS, LOOP_32, LOOP_16 = "train_char_lm", "nanoGPT-style, float32", "nanoGPT-style, bfloat16"
ROUNDS, SECONDS = 3, 8.0
SHORT, SHORT_PAIRS = 10.0, 3
FEWEST_STEPS, MOST_SECONDS = 10, 600.0


def _shape(width: int, layers: int, heads: int, batch: int, context: int) -> dict[str, int]:
    sizes = {"d_model": width, "n_layers": layers, "n_heads": heads, "d_ff": 4 * width}
    return {**sizes, "batch_size": batch, "context_length": context}


SHAPES = {
    "d_model 64, 2 layers, 32 × 128": _shape(64, 2, 4, 32, 128),
    "d_model 128, 4 layers, 16 × 64": _shape(128, 4, 4, 16, 64),
    "d_model 128, 4 layers, 64 × 256": _shape(128, 4, 4, 64, 256),
}


@dataclass
class Run:
    """Everything that a run has measured."""

    arguments: argparse.Namespace
    threads: int
    dtype: str = ""
    # Tokens a second of each turn, by shape and side.
    speeds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    foreign: list[float] = field(default_factory=list)
    cases: dict[str, bool] = field(default_factory=dict)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the part's own options."""
    add = parser.add_argument
    add("--dataset-file", type=Path, help="TinyShakespeare: run the cases of bench_train, too")
    add("--case", choices=bench_train.CASES, action="append", help="of bench_train (default: all)")
    add("--repeats", type=int, default=2, help="of each case (default 2)")
    add("--budgets", default="10,60", help="seconds whose share is measured, with commas; or none")
    add("--rounds", type=int, default=ROUNDS, help=f"turns of each shape (default {ROUNDS})")
    add("--seconds", type=float, default=SECONDS, help=f"of a turn (default {SECONDS:g})")


def measure(arguments: argparse.Namespace) -> Report:
    """Measure and return the report."""
    from workers.agent.running.hardware import usable_cpus

    run = Run(arguments, usable_cpus())
    busy, own = busy_seconds(), own_seconds()
    began = os.times().elapsed
    with tempfile.TemporaryDirectory(prefix="bench-training-") as name:
        _speeds(run, Path(name))
    if budgets := [float(word) for word in arguments.budgets.split(",") if word]:
        _shares(run, budgets)
    elapsed = max(os.times().elapsed - began, 1e-9)
    others = (busy_seconds() - busy) - (own_seconds() - own)
    run.foreign.append(max(0.0, others / elapsed))
    if arguments.dataset_file is not None:
        _cases(run)
    return make_report(run)


def _speeds(run: Run, folder: Path) -> None:
    from experiments import catalog, english_like_corpus

    info = catalog.get_dataset("english_like")
    text = folder / f"{info.name}-{info.sha256[:12]}.txt"
    text.write_bytes(english_like_corpus.generate())
    common = {"seed": 48, "threads": run.threads}
    for turn in range(run.arguments.rounds):
        for shape, sizes in SHAPES.items():
            sides = [LOOP_32, LOOP_16, OURS]
            tokens = sizes["batch_size"] * sizes["context_length"]
            for place in range(len(sides)):
                side = sides[(place + turn) % len(sides)]
                config: dict[str, Any] = common | sizes
                rate = median(run.speeds[shape, LOOP_32]) / tokens if turn or place else 0.0
                if side == OURS:
                    config |= {
                        "lr": 0.001,
                        "lr_schedule": "cosine",
                        "dataset": info.name,
                        "dataset_sha256": info.sha256,
                        "device": "cpu",
                        # Steps for about the seconds of a turn, whatever its set-up takes.
                        "max_steps": max(FEWEST_STEPS, int(run.arguments.seconds * rate)),
                        "time_budget_seconds": MOST_SECONDS,
                    }
                    line = _run(SCRIPT, ["--config-file"], config, folder)
                    run.dtype = line["dtype"]
                    speed = line["tokens_trained"] / line["train_seconds"]
                else:
                    config |= {
                        "seconds": run.arguments.seconds,
                        "dtype": "bfloat16" if side == LOOP_16 else "float32",
                        "dataset_file": str(text),
                    }
                    line = _run(LOOP, [], config, folder)
                    speed = line["tokens"] / line["seconds"]
                run.speeds[shape, side].append(speed)
        print(f"round {turn + 1} of {run.arguments.rounds} of the speeds is over", flush=True)


def _run(script: Path, options: list[str], config: dict[str, Any], folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, str(script), *options, str(file)],
        env={**os.environ, "XEENET_DATA_DIR": str(folder), "GOMP_SPINCOUNT": "2000"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} ended with {done.returncode}: {done.stderr[-1000:]}")
    line: dict[str, Any] = json.loads(done.stdout)
    return line


def _shares(run: Run, budgets: list[float]) -> None:
    from benchmarks.warm_start import new_bench, shares
    from workers.agent.processes.process_tree import adopt_orphans

    adopt_orphans()
    with new_bench(run.threads) as bench:
        for budget in budgets:
            for _ in range(SHORT_PAIRS if budget <= SHORT else 1):
                for name, share in shares(bench, [budget]).items():
                    run.shares[name].append(share)


def _cases(run: Run) -> None:
    dataset = [str(run.arguments.dataset_file.resolve())]
    common = bench_train.BASE | {"dataset_urls": dataset}
    with tempfile.TemporaryDirectory(prefix="bench-training-") as name:
        folder = Path(name)
        # An uncounted first run copies the data and warms the disk cache.
        bench_train.run(common | {"max_steps": 1}, folder)
        for case_name in run.arguments.case or bench_train.CASES:
            case = bench_train.CASES[case_name]
            runs = [
                bench_train.run(common | case.config, folder) for _ in range(run.arguments.repeats)
            ]
            results, outside = [result for result, _ in runs], [wall for _, wall in runs]
            run.cases[case_name] = bench_train.judge(case_name, case, results, outside)


def make_report(run: Run) -> Report:
    """Return tables and bars of a run."""
    conditions = (
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end, others used "
        f"{number(median(run.foreign))} cores; {run.threads} threads, commit {commit_of(ROOT)}; "
        f"the script trains in {run.dtype}; {run.arguments.rounds} rounds of "
        f"{run.arguments.seconds:g} s."
    )
    rows = []
    for shape in SHAPES:
        ours = run.speeds[shape, OURS]
        cells = [number(median(ours))]
        for side in (LOOP_32, LOOP_16):
            theirs = run.speeds[shape, side]
            cells += [number(median(theirs)), f"{number(paired(ours, theirs))} ×"]
        rows.append([shape, *cells])
    heads = ("tokens a second", OURS, LOOP_32, "ours ÷ it", LOOP_16, "ours ÷ it")
    note = (
        "The feed-forward layer is four times as wide as d_model. The recipe trains in float32 on "
        "a CPU. Ours spends a part of each step on Muon, which needs fewer steps."
    )
    tables = [Table("Speed", heads, rows, note)]
    if run.shares:
        shares = [
            [name, f"{100 * median(values):.1f} %", str(len(values))]
            for name, values in run.shares.items()
        ]
        tables.append(
            Table("Share of a budget spent training", ("budget", "share", "runs"), shares)
        )
    bars = [
        Bar(f"case {name} of bench_train misses", 0.0 if met else 1.0, 0)
        for name, met in run.cases.items()
    ]
    return Report("training", conditions, tables, bars)
