"""Makes an environment with torch by uv: the base Python, the environment, torch in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.agent.executables import own_python
from workers.agent.setup.detect import (
    AMD_ARCHITECTURE_VARIABLE,
    CUDA_DRIVER_VARIABLE,
    Gpu,
    Vendor,
)
from workers.agent.setup.environments import Environments, python_of
from workers.agent.setup.plan import TORCH_PIN, Build, wheel_label
from workers.agent.setup.progress import Reporter
from workers.agent.setup.uv import Cause, Failure, Uv, failure
from workers.agent.status.model import SetUpStep

# For which Pythons the pin has wheels, and the one that is fetched where there is none.
PYTHONS: Final = ">=3.11,<3.15"
FETCHED_PYTHON: Final = "3.13"
_NEWEST: Final = (3, 15)
_BLOCK_BYTES: Final = 512


@dataclass(frozen=True)
class Base:
    """The Python from which environments are made; "" where one has to be fetched."""

    path: str


def hardware_variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """Return what uv should know of the GPUs, so that it sees what the plan saw."""
    for gpu in gpus:
        if gpu.vendor is Vendor.NVIDIA and gpu.driver:
            return {CUDA_DRIVER_VARIABLE: gpu.driver}
        if gpu.vendor is Vendor.AMD and gpu.architecture:
            return {AMD_ARCHITECTURE_VARIABLE: gpu.architecture}
    return {}


def find_base(uv: Uv) -> Base:
    """Return the agent's own Python, else one that uv finds on this machine. Raises OSError."""
    own = own_python()
    if own and sys.version_info[:2] < _NEWEST and _has_gil():
        return Base(str(getattr(sys, "_base_executable", "") or own))
    words = ("python", "find", PYTHONS, "--no-project", "--no-python-downloads")
    answer = uv.run(*words)
    return Base(answer.stdout.strip() if answer.exit_code == 0 else "")


def _has_gil() -> bool:
    """Return whether this is the usual Python; wheels for the one without a lock are others."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def fetch_python(uv: Uv, reporter: Reporter) -> tuple[Base, Failure | None]:
    """Let uv fetch a Python beside the environments. Raises OSError."""
    reporter.step(SetUpStep.PYTHON, f"fetches Python {FETCHED_PYTHON}")
    answer = uv.run("python", "install", FETCHED_PYTHON, "--no-bin")
    if answer.exit_code == 0:
        only = ("--no-project", "--managed-python", "--no-python-downloads")
        answer = uv.run("python", "find", FETCHED_PYTHON, *only)
    if answer.exit_code != 0:
        return Base(""), failure(answer.stderr)
    return Base(answer.stdout.strip()), None


def make_environment(
    uv: Uv,
    base: Base,
    build: Build,
    folder: Path,
    reporter: Reporter,
    environments: Environments,
    wheels: Path | None = None,
) -> Failure | None:
    """Make an environment in ``folder`` with the pinned torch; return why that failed, or None.

    With ``wheels`` nothing is fetched: all packages come from that folder. Raises OSError.
    """
    requirement = f"torch=={TORCH_PIN}"
    source: list[str] = []
    if wheels is not None:
        label = wheel_label([path.name for path in wheels.iterdir()], build)
        if label is None:
            words = f"{wheels} has no wheel of torch {TORCH_PIN} for it"
            return Failure(Cause.NO_BUILD, words)
        # uv tells builds apart by their index. In a folder it would take the last in the alphabet.
        requirement += f"+{label}" if label else ""
        source = ["--no-index", "--find-links", str(wheels)]
    reporter.step(SetUpStep.ENVIRONMENT, f"makes an environment in {folder.name}")
    answer = uv.run("venv", "--no-project", "--python", base.path, str(folder))
    if answer.exit_code != 0:
        return failure(answer.stderr)
    where = "" if wheels is None else f" from {wheels}"
    sentence = f"fetches torch {TORCH_PIN} for {build.name}{where}"
    reporter.step(SetUpStep.TORCH, sentence, build.disk_bytes if wheels is None else 0)
    meter = _Meter(folder, environments)
    answer = uv.run(
        *("pip", "install", "--python", str(python_of(folder)), "--no-build"),
        *(f"--torch-backend={build.backend}", *source, requirement),
        tick=lambda: reporter.bytes_done(meter.grown()),
    )
    return None if answer.exit_code == 0 else failure(answer.stderr)


class _Meter:
    """Measures by how much an environment and what uv fetched for it have grown."""

    def __init__(
        self, folder: Path, environments: Environments, variables: Mapping[str, str] = os.environ
    ) -> None:
        # A cache of the owner's own may be large, and is not ours to walk through.
        self._folder = folder if "UV_CACHE_DIR" in variables else environments.cache
        self._before = disk_usage(self._folder)

    def grown(self) -> int:
        """Return the bytes that came since the beginning."""
        return disk_usage(self._folder) - self._before


def disk_usage(folder: Path) -> int:
    """Return the bytes that a folder takes on disk; 0 where there is none. Follows no links."""
    used, waiting, seen = 0, [str(folder)], set()
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                for entry in listing:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif status.st_nlink == 1 or status.st_ino not in seen:
                        seen.add(status.st_ino)
                        blocks = getattr(status, "st_blocks", None)
                        used += status.st_size if blocks is None else blocks * _BLOCK_BYTES
        except OSError:  # gone meanwhile
            continue
    return used
