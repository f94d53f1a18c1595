"""Measure how far the value of fixed steps moves with the machine: threads, load, number type.

    python -m benchmarks.value_shift [--dataset-file tinyshakespeare.txt] [--configs 5] [--known]

Each config is really trained for its steps: with 1 and 2 threads, alone and beside two busy loops,
in the number type of this CPU and in float32 held to AVX2, as on a CPU of ten years ago. Without a
file the data is the generated corpus. Exit code 1 when a value moves further than its bar.
`--known` instead prints the values that the catalog records of its calibration.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from experiments import catalog, english_like_corpus
from experiments.calibration import CALIBRATION_SEED

EXPERIMENT = catalog.get("train_char_lm")
BAR = 0.01  # bits per byte
BUSY_LOOPS = 2
SEED = 48
# Of the data, so that evaluation takes little of a run.
DATA_BYTES = 300_000
# The script asks torch what the CPU can do. Here it gets the answer of an old one.
WITHOUT_BFLOAT16 = """
import runpy, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.cpu.get_capabilities = dict
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
OLD_CPU = {
    "GOMP_SPINCOUNT": "2000",  # as the script sets it, but torch is imported before
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def config(steps: int, lr: float, schedule: str, **sizes: int) -> dict[str, Any]:
    """Return a config with small sizes, but for those given."""
    small = {"n_layers": 2, "n_heads": 2, "d_model": 64, "d_ff": 256, "batch_size": 16}
    small |= {"context_length": 128}
    return {**small, **sizes, "max_steps": steps, "lr": lr, "lr_schedule": schedule}


CONFIGS = (
    config(40, 0.003, "cosine"),
    config(40, 0.01, "linear", n_heads=4, d_ff=512),
    config(30, 0.005, "step_decay", d_model=128, n_heads=4),
    config(30, 0.003, "linear", n_layers=4, context_length=256),
    config(30, 0.002, "cosine", d_model=256),
)


def train(folder: Path, params: dict[str, Any], *, held: bool, threads: int) -> dict[str, Any]:
    """Run the script and return its result line; `held`: in float32 on AVX2."""
    config_file = folder / "config.json"
    config_file.write_text(json.dumps(params | {"threads": threads, "device": "cpu"}))
    start = [sys.executable, "-c", WITHOUT_BFLOAT16] if held else [sys.executable]
    done = subprocess.run(
        [*start, str(EXPERIMENT.script_path), "--config-file", str(config_file)],
        env=os.environ | {"XEENET_DATA_DIR": str(folder)} | (OLD_CPU if held else {}),
        capture_output=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if result["steps_completed"] != params["max_steps"]:
        raise RuntimeError(f"only {result['steps_completed']} steps: the machine is too slow")
    return result


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep so many processes computing."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def shift_of(folder: Path, params: dict[str, Any]) -> float:
    """Run a config under every condition, print what came out, and return the largest shift."""
    values: dict[tuple[str, int, int], float] = {}
    for held, threads, loops in product((False, True), (1, 2), (0, BUSY_LOOPS)):
        with busy_loops(loops):
            result = train(folder, params, held=held, threads=threads)
        values[(result["dtype"], threads, loops)] = result["val_bpb"]
    shift = max(values.values()) - min(values.values())
    equal = all(
        value == values[(dtype, threads, BUSY_LOOPS)]
        for (dtype, threads, loops), value in values.items()
        if not loops
    )
    means = {
        dtype: sum(value for (kind, *_), value in values.items() if kind == dtype) / 4
        for dtype in sorted({kind for kind, *_ in values})
    }
    print(
        f"{params['max_steps']} steps, d_model {params['d_model']}, {params['n_layers']} layers: "
        + ", ".join(f"{dtype} {mean:.4f}" for dtype, mean in means.items())
        + f"; largest shift {shift:.4f}; beside busy loops {'bit-equal' if equal else 'not equal'}",
        flush=True,
    )
    return shift


def print_known(folder: Path) -> None:
    """Print the value of the calibration's known shape in both number types, by threads."""
    plan = EXPERIMENT.calibration
    assert plan is not None
    shape = plan.shapes[plan.known_shape]
    params = {**shape.params, "max_steps": shape.steps, "seed": CALIBRATION_SEED}
    params |= data_of(folder, english_like_corpus.generate())
    for held, threads in product((False, True), (1, 2)):
        result = train(folder, params, held=held, threads=threads)
        print(f"{result['dtype']}, {threads} threads: {result['val_bpb']:.4f}", flush=True)


def data_of(folder: Path, text: bytes) -> dict[str, Any]:
    """Return what a config says of its data and its budget; puts the data into the folder."""
    sha256 = hashlib.sha256(text).hexdigest()
    (folder / catalog.dataset_cache_name("text", sha256)).write_bytes(text)
    return {"dataset": "text", "dataset_sha256": sha256, "time_budget_seconds": 600}


def main() -> int:
    """Return 0 when no value moved further than its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset-file", type=Path, help="TinyShakespeare")
    parser.add_argument("--configs", type=int, default=len(CONFIGS), help="so many of them (5)")
    parser.add_argument("--known", action="store_true", help="the values for the catalog")
    options = parser.parse_args()
    # SIGTERM as Ctrl-C, or the busy loops would stay.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.known:
            print_known(folder)
            return 0
        file = options.dataset_file
        text = file.read_bytes() if file else english_like_corpus.generate()
        common = data_of(folder, text[:DATA_BYTES]) | {"seed": SEED}
        shifts = [shift_of(folder, each | common) for each in CONFIGS[: options.configs]]
    seconds, load = time.monotonic() - began, os.getloadavg()[0]
    print(f"largest shift {max(shifts):.4f}, {seconds:.0f} s, load average {load:.1f} at the end")
    return 0 if max(shifts) <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
