"""The training script as a process of its own, as an agent starts it.

The data is the generated corpus, so nothing is fetched from outside.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from experiments import catalog
from tests.english_like import corpus
from tests.standstills import Standstills

SCRIPT = catalog.get("train_char_lm").script_path
CORPUS = catalog.get_dataset("english_like")
SMALL: dict[str, Any] = {
    "lr": 0.01,
    "lr_schedule": "cosine",
    "n_layers": 1,
    "n_heads": 2,
    "d_model": 32,
    "d_ff": 64,
    "batch_size": 16,
    "context_length": 32,
    "seed": 42,
    "time_budget_seconds": 30,
    "threads": 1,
    "device": "cpu",
    "dataset": CORPUS.name,
    "dataset_sha256": CORPUS.sha256,
}

Run = subprocess.CompletedProcess[str]


def fill_cache(folder: Path) -> Path:
    """Put the corpus into a cache folder; return the folder."""
    cached_file(folder).write_bytes(corpus())
    return folder


def cached_file(folder: Path) -> Path:
    """Return the path of the corpus in a cache folder."""
    return folder / catalog.dataset_cache_name(CORPUS.name, CORPUS.sha256)


def start(
    folder: Path, data: Path, config: dict[str, Any], *options: str, script: Path = SCRIPT
) -> subprocess.Popen[str]:
    """Start the script on a config; of the environment it gets only the data folder."""
    folder.mkdir(exist_ok=True)
    config_file = folder / "config.json"
    config_file.write_text(json.dumps(config))
    return subprocess.Popen(
        [sys.executable, str(script), "--config-file", str(config_file), *options],
        env={"XEENET_DATA_DIR": str(data), "PATH": ""},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Run:
    """Wait for the script and return exit code, stdout and stderr."""
    try:
        stdout, stderr = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def result_of(run: Run) -> dict[str, Any]:
    """Return the result line. Asserts exit code 0 and exactly one line on stdout."""
    assert run.returncode == 0, run.stderr
    (line,) = run.stdout.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def train(folder: Path, data: Path, **changes: Any) -> dict[str, Any]:
    """Run the small config with some changes and return its result."""
    return result_of(finish(start(folder, data, SMALL | changes)))


def train_inside_its_budget(
    folder: Path, data: Path, *, min_steps: int = 0, attempts: int = 6, **changes: Any
) -> dict[str, Any]:
    """Train under a time budget and return the result, which came inside the budget.

    No script foresees that the machine stands still in the middle of a step or needs the budget's
    half for the import of torch. A run that is late for that reason says nothing, and runs again; a
    run that is late on a machine that worked is a fault. On an overloaded machine the import alone
    may take the budget: the answer then comes right after it. With `min_steps` a run of fewer, or
    without time left to evaluate them, runs again, too.
    """
    budget = float(changes["time_budget_seconds"])
    for _ in range(attempts):
        standstills, began = Standstills(), time.monotonic()
        with standstills.watched():
            result = train(folder, data, **changes)
        seconds = time.monotonic() - began
        allowed = max(budget, result["setup_seconds"] + 0.5)
        # The interpreter starts before the script's clock.
        if result["wall_time_seconds"] < allowed and seconds < allowed + 1.0:
            is_evaluated = result["stop_reason"] != "no_time_to_evaluate"
            if not min_steps or (result["steps_completed"] >= min_steps and is_evaluated):
                return result
            continue
        slow = result["setup_seconds"] > budget / 2
        if not slow and not standstills.seconds:
            break
    message = f"{seconds:.1f} s of {budget} s, standstill {standstills.seconds:.1f} s"
    raise AssertionError(f"a run came late or made too few steps: {message}: {result}")
