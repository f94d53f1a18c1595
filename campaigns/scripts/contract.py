"""The contract of a training script, checked rule by rule by running the script.

The script is copied alone into an empty folder and run there a few times, as an agent would run it,
on the generated corpus. Each rule is one function of the outcomes of those runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from campaigns.scripts.source import source_problems
from experiments import catalog, english_like_corpus
from workers.protocol import metrics_problems, with_whole_numbers

# Of the experiment whose contract this is.
METRIC: Final = catalog.all()[0].metric_spec
SEED: Final = 42
REPLAY_STEPS: Final = 3
EXIT_CONFIG_ERROR: Final = 2
# How long an agent waits after SIGTERM; a run that hangs takes this long beyond its budget here.
KILL_GRACE_SECONDS: Final = 15.0
_MAX_OUTPUT_CHARACTERS: Final = 1024 * 1024
# Small enough for a step in a few seconds on a slow machine.
DEFAULT_CONFIG: Final[dict[str, Any]] = {
    "lr": 0.003,
    "lr_schedule": "cosine",
    "n_layers": 2,
    "n_heads": 2,
    "d_model": 64,
    "d_ff": 256,
    "batch_size": 32,
    "context_length": 128,
}


@dataclass(frozen=True)
class Verdict:
    """One rule of the contract and whether the script keeps it."""

    rule: str
    kept: bool
    detail: str


@dataclass(frozen=True)
class Run:
    """The outcome of one run; `exit_code` is None when it had to be killed."""

    exit_code: int | None
    stdout: str
    stderr: str
    wall_seconds: float

    @property
    def result(self) -> dict[str, Any] | None:
        """The result line, when stdout is exactly one line and that line a JSON object."""
        lines = self.stdout.splitlines()
        if len(lines) != 1 or not self.stdout.endswith("\n"):
            return None
        try:
            value = json.loads(lines[0])
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    @property
    def last_words(self) -> str:
        """The last line of stderr, for the detail of a verdict."""
        lines = self.stderr.strip().splitlines()
        return lines[-1][:200] if lines else "nothing on stderr"


class Workbench:
    """A folder with a copy of the script and the data set, in which runs take place."""

    def __init__(self, script: bytes, folder: Path, params: dict[str, Any]) -> None:
        self._script = folder / "script.py"
        self._script.write_bytes(script)
        self._folder = folder
        info = catalog.get_dataset("english_like")
        self.dataset_sha256 = info.sha256
        self.dataset_bytes = info.size_bytes
        data = folder / "data"
        data.mkdir()
        cache_name = catalog.dataset_cache_name(info.name, info.sha256)
        (data / cache_name).write_bytes(english_like_corpus.generate())
        self._params = params | {
            "seed": SEED,
            "dataset": info.name,
            "dataset_sha256": info.sha256,
        }
        # No PYTHONPATH, and a home of its own: the script must bring what it needs, except torch.
        names = ("PATH", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SYSTEMROOT")
        self._environment = {name: os.environ[name] for name in names if name in os.environ} | {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "XEENET_DATA_DIR": str(data),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, budget: float, *, terminate_after: float | None = None, **extra: Any) -> Run:
        """Run the script with a budget in seconds and extra keys in its config.

        With `terminate_after` it gets SIGTERM that many seconds after its start.
        """
        config = self._folder / "config.json"
        config.write_text(json.dumps(self._params | {"time_budget_seconds": budget} | extra))
        command = [sys.executable, "-u", str(self._script), "--config-file", str(config)]
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            began = time.monotonic()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
            exit_code: int | None
            try:
                if terminate_after is not None:
                    _wait(process, terminate_after)
                    began = time.monotonic()
                    process.terminate()
                    budget = 0.0
                exit_code = process.wait(budget + KILL_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                exit_code = None
            finally:
                wall_seconds = time.monotonic() - began
                _kill_group(process)
            texts = []
            for stream in (stdout, stderr):
                stream.seek(0)
                texts.append(stream.read(_MAX_OUTPUT_CHARACTERS).decode(errors="replace"))
        return Run(exit_code, texts[0], texts[1], wall_seconds)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def check_script(
    script: bytes, *, budget: float, params: dict[str, Any] | None = None
) -> Iterator[Verdict]:
    """Yield a verdict per rule, each as soon as the runs it needs are over.

    `budget` is in seconds; `params` replaces the small char-LM config of the runs.
    """
    yield judge_source(script)
    with tempfile.TemporaryDirectory(prefix="xeenet-check-") as folder:
        bench = Workbench(script, Path(folder), dict(params or DEFAULT_CONFIG))
        yield judge_unknown_key(bench.run(budget, no_script_knows_this_key=1))
        measured = bench.run(budget)
        yield judge_budget(measured, budget)
        yield judge_stdout(measured)
        yield judge_keys(measured)
        yield judge_identity(measured, bench.dataset_sha256)
        yield judge_denominator(measured, bench.dataset_bytes)
        # More time than needed, so that a slow moment does not cut the fixed number of steps short.
        replays = [bench.run(6 * budget, max_steps=REPLAY_STEPS) for _ in range(2)]
        yield judge_replay(replays[0], replays[1])
        yield judge_sigterm(bench.run(10 * budget, terminate_after=budget / 2))


def judge_source(script: bytes) -> Verdict:
    """The file is plain readable Python that imports only the standard library and torch."""
    problems = source_problems(script)
    detail = " ".join(problems) or "plain Python text"
    return Verdict("self-contained: standard library and torch only", not problems, detail)


def judge_unknown_key(run: Run) -> Verdict:
    """An unknown key is a config error: exit code 2 and a line on stderr."""
    rule = "refuses a config with an unknown key (exit code 2)"
    kept = run.exit_code == EXIT_CONFIG_ERROR and not run.stdout and bool(run.stderr.strip())
    return Verdict(rule, kept, f"exit code {run.exit_code}; {run.last_words}")


def judge_budget(run: Run, budget: float) -> Verdict:
    """The run ends by itself, without error, before its budget is over."""
    rule = f"ends inside its budget of {budget:g} s"
    if run.exit_code is None:
        return Verdict(rule, kept=False, detail=f"still running after {run.wall_seconds:.1f} s")
    if run.exit_code:
        return Verdict(rule, kept=False, detail=f"exit code {run.exit_code}; {run.last_words}")
    return Verdict(rule, run.wall_seconds <= budget, f"{run.wall_seconds:.1f} s")


def judge_stdout(run: Run) -> Verdict:
    """Standard output is one JSON object on one line and nothing else."""
    rule = "one JSON line on stdout, everything else on stderr"
    lines = len(run.stdout.splitlines())
    kept = run.result is not None
    return Verdict(rule, kept, "one object" if kept else f"{lines} lines, or no JSON object")


def judge_keys(run: Run) -> Verdict:
    """The result has every key, and its value follows from its counters."""
    rule = f"result keys complete, {METRIC.name} follows from its counters"
    problems = metrics_problems(run.result and with_whole_numbers(run.result), METRIC)
    if problems:
        return Verdict(rule, kept=False, detail="; ".join(problems))
    value = (run.result or {})[METRIC.name]
    if value is None:
        reason = (run.result or {}).get("stop_reason")
        return Verdict(rule, kept=False, detail=f"no value ({reason}); try a larger --budget")
    return Verdict(rule, kept=True, detail=f"{METRIC.name} {METRIC.text(value)}")


def judge_identity(run: Run, dataset_sha256: str) -> Verdict:
    """The result says which seed and which data it belongs to."""
    result = run.result or {}
    kept = result.get("seed") == SEED and result.get("dataset_sha256") == dataset_sha256
    detail = f"seed {result.get('seed')}, data set {str(result.get('dataset_sha256'))[:12]}"
    return Verdict("names the seed and the data set it was given", kept, detail)


def judge_denominator(run: Run, dataset_bytes: int) -> Verdict:
    """The evaluation covers the bytes that make values comparable."""
    allowed = catalog.all()[0].eval_bytes_allowed(dataset_bytes)
    eval_bytes = (run.result or {}).get("eval_bytes")
    agreed = " or ".join(f"{number:,} ({name})" for name, number in allowed.items())
    return Verdict(
        "evaluates the whole last tenth of the data, or the agreed subset",
        eval_bytes in allowed.values(),
        f"eval_bytes {eval_bytes}, agreed: {agreed}",
    )


def judge_replay(first: Run, second: Run) -> Verdict:
    """With max_steps the same seed gives the same value, bit for bit."""
    rule = f"replays: the same seed with max_steps {REPLAY_STEPS} gives the same {METRIC.name}"
    if first.exit_code or first.result is None:
        return Verdict(rule, kept=False, detail=f"exit code {first.exit_code}; {first.last_words}")
    values = [(run.result or {}).get(METRIC.name) for run in (first, second)]
    steps = first.result.get("steps_completed")
    kept = values[0] is not None and values[0] == values[1] and steps == REPLAY_STEPS
    return Verdict(rule, kept, f"{values[0]} and {values[1]} after {steps} steps")


def judge_sigterm(run: Run) -> Verdict:
    """SIGTERM ends the run before an agent would kill it."""
    rule = f"ends within {KILL_GRACE_SECONDS:g} s after SIGTERM"
    if run.exit_code is None:
        return Verdict(rule, kept=False, detail="it had to be killed")
    printed = "with a result line" if run.result else "without a result line"
    return Verdict(rule, kept=True, detail=f"after {run.wall_seconds:.1f} s, {printed}")
