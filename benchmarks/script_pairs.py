"""Compare two training scripts at equal steps, paired by seed: their values, and a step's time.

    python -m benchmarks.script_pairs OLD NEW --dataset-file tinyshakespeare.txt
        [--steps 200 800] [--seeds 5] [--other-seeds 2] [--shapes 3] [--results FILE] [--no-times]

Both scripts train every shape for the same steps on the same seeds: `--seeds` of them with the
cosine schedule, `--other-seeds` with each other one. The table gives the mean difference of
val_bpb, new minus old, with its standard error over the pairs: below 0 the new script is better.
A value of fixed steps does not depend on what else the machine does; `--results` keeps the values
in a file, from which an interrupted comparison goes on.

The time is that of the process (CPU time), of one thread. Both scripts are loaded into this process
and make their steps in turns, so that other work on the machine slows both down; the ratio is the
median over the turns. Exit code 1 when the new script is no better on average.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from experiments import catalog, english_like_corpus

SCHEDULES = ("cosine", "linear", "step_decay")
MOST_SECONDS = 3600  # of a run
TURNS, STEPS_A_TURN = 9, 4


def shape(lr: float, **sizes: int) -> dict[str, Any]:
    """Return the params of a shape; those left out are the first shape's."""
    first = {"n_layers": 2, "n_heads": 4, "d_model": 64, "d_ff": 256, "batch_size": 32}
    return {**first, "context_length": 128, **sizes, "lr": lr}


SHAPES = (
    shape(0.003),
    shape(0.003, d_model=128, batch_size=16),
    shape(0.003, d_model=128, n_layers=4, d_ff=512, batch_size=16, context_length=64),
)
# Larger ones of the default space: only their steps are timed.
TIMED = (
    *SHAPES,
    shape(0.003, n_layers=6, d_ff=512),
    shape(0.003, d_model=256, d_ff=512),
    shape(0.003, d_model=256, d_ff=256, batch_size=64, context_length=256),
)


class Bench:
    """A folder with the data set, in which scripts run, and the values that are known."""

    def __init__(self, folder: Path, text: bytes, results: Path | None) -> None:
        self.folder, self.results, self.text = folder, results, text
        sha256 = hashlib.sha256(text).hexdigest()
        (folder / catalog.dataset_cache_name("text", sha256)).write_bytes(text)
        self.common = {"dataset": "text", "dataset_sha256": sha256, "device": "cpu", "threads": 1}
        self.common["time_budget_seconds"] = MOST_SECONDS
        kept = results.read_text().splitlines() if results and results.exists() else []
        self.known: dict[str, float] = {
            each["key"]: each["val_bpb"] for each in map(json.loads, kept)
        }

    def value(self, script: Path, params: dict[str, Any]) -> float:
        """Return the val_bpb of a config, nan when it diverged; runs the script unless known."""
        config = self.common | params
        parts = [
            hashlib.sha256(script.read_bytes()).hexdigest(),
            json.dumps(config, sort_keys=True),
        ]
        key = " ".join(parts)
        if key not in self.known:
            self.known[key] = self._run(script, config)
            if self.results:
                with self.results.open("a") as file:
                    file.write(json.dumps({"key": key, "val_bpb": self.known[key]}) + "\n")
        return self.known[key]

    def _run(self, script: Path, config: dict[str, Any]) -> float:
        config_file = self.folder / "config.json"
        config_file.write_text(json.dumps(config))
        done = subprocess.run(
            [sys.executable, str(script), "--config-file", str(config_file)],
            env=os.environ | {"XEENET_DATA_DIR": str(self.folder), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        result = json.loads(done.stdout)
        if result["steps_completed"] != config["max_steps"] and not result["diverged"]:
            raise RuntimeError(f"only {result['steps_completed']} steps: the machine is too slow")
        return math.nan if result["val_bpb"] is None else float(result["val_bpb"])

    def ratio(self, scripts: Sequence[Path], params: dict[str, Any]) -> tuple[float, float]:
        """Return the CPU milliseconds of a step of the old script, and new divided by old."""
        runs = [self._loaded(script, params) for script in scripts]
        turns = [[_step_seconds(run) for run in runs] for _ in range(TURNS)]
        old = statistics.median(turn[0] for turn in turns)
        return 1000 * old, statistics.median(turn[1] / turn[0] for turn in turns)

    def _loaded(self, script: Path, params: dict[str, Any]) -> Any:
        spec = importlib.util.spec_from_file_location("script", script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with warnings.catch_warnings():  # torch warns that numpy is missing
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
        config = self.common | params | {"seed": 1, "max_steps": 10**6, "lr_schedule": "linear"}
        run = module.Run(config, self.text, time.monotonic())
        _step_seconds(run)  # the first steps are slower
        return run


def _step_seconds(run: Any) -> float:
    """Return the CPU seconds of a step."""
    began = time.process_time()
    for _ in range(STEPS_A_TURN):
        gradient, _loss = run.gradient()
        run.optimiser.step(gradient, 1e-4)
    return (time.process_time() - began) / STEPS_A_TURN


def words(params: dict[str, Any]) -> str:
    """Return a shape in short words."""
    return (
        f"d_model {params['d_model']}, {params['n_layers']} layers, d_ff {params['d_ff']}, "
        f"{params['batch_size']} x {params['context_length']}"
    )


def summary(differences: Sequence[float]) -> str:
    """Return mean and standard error of paired differences."""
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return f"{mean:+.3f} (one pair)"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean:+.3f} ± {error:.3f}"


def compare(bench: Bench, scripts: Sequence[Path], options: argparse.Namespace) -> list[float]:
    """Train every pair, print a line for each cell of the table; return all differences."""
    everything: list[float] = []
    for steps, params, schedule in product(options.steps, SHAPES[: options.shapes], SCHEDULES):
        seeds = options.seeds if schedule == SCHEDULES[0] else options.other_seeds
        pairs = [
            [
                bench.value(
                    script, params | {"lr_schedule": schedule, "max_steps": steps, "seed": seed}
                )
                for script in scripts
            ]
            for seed in range(1, seeds + 1)
        ]
        if not pairs:
            continue
        differences = [new - old for old, new in pairs]
        everything += differences
        old = statistics.mean(old for old, _ in pairs)
        print(
            f"| {words(params)} | {steps} | {schedule} | {len(pairs)} | {old:.3f} "
            f"| {summary(differences)} |",
            flush=True,
        )
    return everything


def main() -> int:
    """Return 0 when the new script is better on average."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("old", type=Path, help="the script to compare with")
    add("new", type=Path)
    add("--dataset-file", type=Path, help="TinyShakespeare (default: the generated corpus)")
    add("--steps", type=int, nargs="+", default=[200, 800])
    add("--seeds", type=int, default=5, help="pairs with the cosine schedule (5)")
    add("--other-seeds", type=int, default=2, help="pairs with each other schedule (2)")
    add("--shapes", type=int, default=len(SHAPES), help=f"so many of them ({len(SHAPES)})")
    add("--results", type=Path, help="file in which the values are kept")
    add("--no-times", action="store_true", help="do not time the steps")
    options = parser.parse_args()
    file, scripts = options.dataset_file, (options.old, options.new)
    text = file.read_bytes() if file else english_like_corpus.generate()
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), text, options.results)
        print("| shape | steps | schedule | pairs | old | new - old |\n|---|---|---|---|---|---|")
        differences = compare(bench, scripts, options)
        print(f"all {len(differences)} pairs: {summary(differences)}", flush=True)
        if not options.no_times:
            print("| shape | old, CPU ms a step | new / old |\n|---|---|---|")
            for params in TIMED:
                old, ratio = bench.ratio(scripts, params)
                print(f"| {words(params)} | {old:.1f} | {ratio:.2f} |", flush=True)
    return 0 if statistics.mean(differences) < 0 else 1


if __name__ == "__main__":
    sys.exit(main())
