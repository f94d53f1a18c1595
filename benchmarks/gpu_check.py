"""Check the agent on a machine with a GPU, in less than eight minutes, without a server of ours.

    pip install --target build/gpu-agent httpx2 psutil stamina     # where there is a network
    PYTHONPATH=build/gpu-agent python -m benchmarks.gpu_check --python PATH-OF-A-PYTHON-WITH-TORCH

It fetches nothing. `xeenet-worker setup --python` tries that torch; `--check` names the devices;
then the catalog's script runs as a task of a small server in this process: in T0, in T1 where
bubblewrap works (otherwise the reason is told), and two at a time on one GPU. The last line is one
JSON object with the figures, also written to $OUT/gpu_check.json where OUT is set. The exit code is
1 when a step failed. `--device cpu` goes the same way on a machine without a GPU.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from experiments import catalog, english_like_corpus
from experiments.calibration import CALIBRATION_DATASET
from tests.agent.server import WORKER_TOKEN, AgentServer, make_lease, running_server
from workers.agent.secrecy import TOKEN_VARIABLE

ROOT: Final = Path(__file__).resolve().parent.parent
EXPERIMENT: Final = "train_char_lm"
PARAMS: Final = {
    "d_model": 256,
    "n_layers": 4,
    "n_heads": 4,
    "d_ff": 1024,
    "batch_size": 64,
    "context_length": 256,
    "lr": 0.002,
    "lr_schedule": "cosine",
}
# A processor makes a few steps of it in its time; a GPU hundreds of the larger one.
SMALL: Final = {"d_model": 64, "n_layers": 2, "d_ff": 256, "batch_size": 16, "context_length": 128}
LIMIT_SECONDS: Final = 450.0  # of all steps together
START_SECONDS: Final = 90.0  # of an agent, with its checks of torch in and out of the sandbox


class Check:
    """The steps, in one temporary state folder, against one deadline."""

    def __init__(self, python: str, device: str, budget_seconds: float, folder: Path) -> None:
        self.device = device
        self.figures: dict[str, Any] = {}
        self.failed: list[str] = []
        self._python = python
        self._budget = budget_seconds
        self._folder = folder
        self._ends_at = time.monotonic() + LIMIT_SECONDS
        self._text = english_like_corpus.generate()
        self._source = catalog.get(EXPERIMENT).script_path.read_bytes()

    def agent(self, *words: str, most: float) -> subprocess.CompletedProcess[str]:
        """Run the agent's program to its end. Raises TimeoutExpired."""
        command = [sys.executable, "-m", "workers.agent", *words]
        command += ["--state-dir", str(self._folder / "state")]
        left = max(1.0, min(most, self._ends_at - time.monotonic()))
        variables = {**os.environ, TOKEN_VARIABLE: WORKER_TOKEN}
        return subprocess.run(
            command,
            cwd=ROOT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=left,
            check=False,
        )

    def step(self, name: str, *words: str, most: float) -> str:
        """Run one command of the agent, print and return its output, and note how it did."""
        started = time.monotonic()
        try:
            run = self.agent(*words, most=most)
            code, text = run.returncode, run.stdout
        except subprocess.TimeoutExpired as error:
            code, text = -1, f"{(error.stdout or b'').decode()}\nno end within its time"
        seconds = round(time.monotonic() - started, 1)
        print(f"--- {name}: {' '.join(words)} ({seconds} s, exit code {code})\n{text}", flush=True)
        self.figures[name] = {"seconds": seconds, "exit_code": code}
        if code != 0:
            self.failed.append(name)
        return text

    def tasks(self, name: str, count: int, *words: str) -> None:
        """Run so many tasks of the catalog's script at a time, and note what came of them."""
        with running_server(AgentServer) as server:
            server.files[hashlib.sha256(self._text).hexdigest()] = self._text
            leases = [self._lease(seed) for seed in range(count)]
            server.leases += leases
            most = START_SECONDS + 2 * self._budget
            options = ["--server", server.url, "--once", "--no-simulate", "--no-setup"]
            options += ["--slots", str(count), "--priority", "normal", *words]
            text = self.step(name, *options, most=most)
            runs = [_figures(server.results.get(lease["lease_id"])) for lease in leases]
        self.figures[name]["runs"] = runs
        self.figures[name]["tier"] = "T1" if "isolation T1" in text else "T0"
        if not all(run.get("device") == self.device and run.get("value") for run in runs):
            self.failed.append(f"{name}: a run has no value, or not on {self.device}")

    def _lease(self, seed: int) -> Any:
        params = PARAMS | (SMALL if self.device == "cpu" else {})
        changes = {
            "code_package_ref": EXPERIMENT,
            "dataset": {
                "name": CALIBRATION_DATASET,
                "sha256": hashlib.sha256(self._text).hexdigest(),
                "size_bytes": len(self._text),
            },
            "config": {**params, "seed": 40 + seed, "device": "auto"},
            "time_budget_seconds": self._budget,
            "kill_grace_seconds": 15.0,
            "deadline_seconds": self._budget + 180.0,
        }
        return make_lease(self._source, **changes)


def _figures(result: Any) -> dict[str, Any]:
    """Return what counts of a submission."""
    if result is None:
        return {"problem": "no submission came"}
    metrics = result.get("metrics") or {}
    return {
        "outcome": result.get("outcome"),
        "value": metrics.get("val_bpb"),
        "steps": metrics.get("steps_completed"),
        "device": metrics.get("device_used"),
        "setup_seconds": metrics.get("setup_seconds"),
        "peak_memory_mb": metrics.get("peak_memory_mb"),
        "failure": result.get("failure_class"),
    }


def main() -> int:
    """Run all steps; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--python", default=sys.executable, help="a Python with torch")
    parser.add_argument("--device", choices=("cuda", "mps", "cpu"), default="cuda")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of each task")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as name:
        check = Check(options.python, options.device, options.budget, Path(name))
        check.step("setup", "setup", "--python", options.python, most=180.0)
        report = check.step("check", "--check", most=START_SECONDS)
        if f'"{options.device}"' not in report:
            check.failed.append(f"--check does not name {options.device}")
        check.tasks("T0", 1, "--isolation", "T0")
        check.tasks("T1", 1)  # auto: the log says why, where T1 does not work
        check.tasks("two slots", 2, "--isolation", "T0")
    alone = check.figures["T0"]["runs"][0].get("steps") or 0
    together = sum(run.get("steps") or 0 for run in check.figures["two slots"]["runs"])
    check.figures["steps of two together / of one alone"] = (
        round(together / alone, 2) if alone else None
    )
    check.figures["seconds"] = round(time.monotonic() - started, 1)
    check.figures["failed"] = check.failed
    answer = json.dumps(check.figures)
    if folder := os.environ.get("OUT"):
        (Path(folder) / "gpu_check.json").write_text(answer)
    print(answer)
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
