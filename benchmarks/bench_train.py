"""Measure the training script against its bar: quality, speed and use of the budget.

    python benchmarks/bench_train.py --dataset-file tinyshakespeare.txt [--case 10s-step]

Each case runs in its own process, as an agent would start it, with two threads and seed 48 on
TinyShakespeare. The bar was set on a quiet 2-core machine with AVX512-BF16; on another machine or a
busy one the numbers say more about the machine. Exit code 1 when a median misses its bar.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "train_char_lm.py"
BASE: dict[str, Any] = {
    "lr": 0.005,
    "lr_schedule": "cosine",
    "n_layers": 2,
    "n_heads": 4,
    "d_model": 64,
    "d_ff": 512,
    "batch_size": 32,
    "context_length": 128,
    "seed": 48,
    "time_budget_seconds": 10,
    "threads": 2,
    "device": "cpu",
}


@dataclass(frozen=True)
class Case:
    """One configuration and its bars: val_bpb, and the share of the budget not spent training."""

    config: dict[str, Any]
    max_val_bpb: float | None = None
    max_other_share: float | None = None


CASES = {
    "10s-step": Case({"lr": 0.001248, "lr_schedule": "step_decay"}, 3.35, 0.26),
    "10s-cosine": Case({}, 3.05, 0.26),
    "60s-cosine": Case({"d_model": 128, "n_heads": 2, "time_budget_seconds": 60}, 2.50),
    "10s-largest": Case({"n_layers": 6, "d_model": 256, "batch_size": 128, "context_length": 256}),
}


def run(config: dict[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
    """Run the script once; return its result and the wall time of its process in seconds."""
    config_file = folder / "config.json"
    config_file.write_text(json.dumps(config))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--config-file", str(config_file)],
        env={**os.environ, "XEENET_DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=config["time_budget_seconds"] + 60,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result, time.monotonic() - began


def judge(name: str, case: Case, results: list[dict[str, Any]], outside: list[float]) -> bool:
    """Print the medians of a case; return whether they meet its bar."""
    budget = (BASE | case.config)["time_budget_seconds"]
    values = [result["val_bpb"] for result in results if result["val_bpb"] is not None]
    bpb = statistics.median(values) if values else None
    not_training = statistics.median(1 - result["train_seconds"] / budget for result in results)
    steps = statistics.median(result["steps_completed"] for result in results)
    step_ms = 1000 * statistics.median(r["train_seconds"] for r in results) / max(1, steps)
    misses = []
    if case.max_val_bpb is not None and (bpb is None or bpb > case.max_val_bpb):
        misses.append(f"val_bpb above {case.max_val_bpb}")
    if case.max_other_share is not None and not_training > case.max_other_share:
        misses.append(f"more than {case.max_other_share:.0%} not training")
    if max(outside) > budget:
        misses.append(f"longest run {max(outside):.2f} s is over its budget")
    print(
        f"{name:12s} val_bpb {f'{bpb:.3f}' if bpb else 'none':>6s}  "
        f"steps {steps:6.0f}  {step_ms:7.1f} ms/step  "
        f"not training {not_training:4.0%}  wall {max(outside):6.2f} s  "
        f"{'MISSED: ' + ', '.join(misses) if misses else 'met'}",
        flush=True,
    )
    return not misses


def main() -> int:
    """Run the chosen cases and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset-file", type=Path, required=True, help="TinyShakespeare")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    arguments = parser.parse_args()
    common = BASE | {"dataset_urls": [str(arguments.dataset_file.resolve())]}
    met = True
    with tempfile.TemporaryDirectory() as folder:
        # An uncounted first run copies the data and warms the disk cache.
        run(common | {"max_steps": 1}, Path(folder))
        for name in arguments.case or CASES:
            case = CASES[name]
            runs = [run(common | case.config, Path(folder)) for _ in range(arguments.repeats)]
            results, outside = [result for result, _ in runs], [wall for _, wall in runs]
            met = judge(name, case, results, outside) and met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
