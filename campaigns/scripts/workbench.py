"""Where `check_experiment` runs a script: alone in a folder, as an agent would, cold or warm."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from experiments import catalog, english_like_corpus
from workers import warm_start

SEED: Final = 42
# How long an agent waits after SIGTERM; a run that hangs takes this long beyond its budget here.
KILL_GRACE_SECONDS: Final = 15.0
# What an agent's spare runs; see `workers.agent.running.spare`.
WARM_START: Final = Path(warm_start.__file__)
WARM_WORD: Final = "ready"
IMPORT_SECONDS: Final = 60.0
_IMPORT_THREADS: Final = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": warm_start.SPIN_COUNT,
}
_THREADS: Final = os.cpu_count() or 1
_MAX_OUTPUT_CHARACTERS: Final = 1024 * 1024


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
    """A folder with a copy of the script and the data set, in which runs take place.

    A bare one has no data set, and torch cannot be imported.
    """

    def __init__(
        self, script: bytes, folder: Path, params: dict[str, Any], *, bare: bool = False
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._script = folder / "script.py"
        self._script.write_bytes(script)
        self._folder = folder
        info = catalog.get_dataset("english_like")
        self.dataset_sha256 = info.sha256
        self.dataset_bytes = info.size_bytes
        data = folder / "data"
        data.mkdir()
        cache_name = catalog.dataset_cache_name(info.name, info.sha256)
        if bare:
            (folder / "torch.py").write_text('raise ImportError("torch is not needed for this")\n')
        else:
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
            # The same number in both ways of starting: with another, sums are rounded otherwise.
            "OMP_NUM_THREADS": str(_THREADS),
            "MKL_NUM_THREADS": str(_THREADS),
        }

    def run(
        self,
        budget: float,
        *options: str,
        terminate_after: float | None = None,
        warm: bool = False,
        **extra: Any,
    ) -> Run:
        """Run the script with a budget in seconds and extra keys in its config.

        With `terminate_after` it gets SIGTERM that many seconds after its start. With `warm` it
        runs in a process that has imported torch before, and its time begins with the hand-over.
        """
        config = self._folder / "config.json"
        config.write_text(json.dumps(self._params | {"time_budget_seconds": budget} | extra))
        words = [str(self._script), "--config-file", str(config), *options]
        command = [sys.executable, "-u", *words]
        if warm:
            command = [sys.executable, "-u", str(WARM_START), WARM_WORD]
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            began = time.monotonic()
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if warm else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self._folder,
                env=self._environment | (_IMPORT_THREADS if warm else {}),
                start_new_session=True,
            )
            exit_code: int | None
            try:
                if warm:
                    self._hand_over(process, words, Path(f"/proc/self/fd/{stdout.fileno()}"))
                    began = time.monotonic()
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
        if warm:  # the first line is the spare's own
            texts[0] = texts[0].partition("\n")[2]
        return Run(exit_code, texts[0], texts[1], wall_seconds)

    def _hand_over(
        self, process: subprocess.Popen[bytes], words: Sequence[str], output: Path
    ) -> None:
        """Wait until torch is imported, and hand the script over as an agent does."""
        end = time.monotonic() + IMPORT_SECONDS
        while b"\n" not in output.read_bytes() and process.poll() is None:
            if time.monotonic() > end:
                return
            time.sleep(0.02)
        order = {
            "script": words[0],
            "arguments": words[1:],
            "environment": self._environment,
            "threads": _THREADS,
        }
        assert process.stdin is not None  # noqa: S101 (a pipe)
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(json.dumps(order).encode() + b"\n")


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
