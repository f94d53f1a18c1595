"""The agent as a person installs it, and its commands in an environment with nothing in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.processes import ROOT
from workers.agent.secrecy import TOKEN_VARIABLE

PINS: Final = ROOT / "requirements" / "dev.txt"
PIPX: Final = "pipx==1.18.4"
PATH: Final = "/usr/bin:/bin"


class Failed(Exception):
    """A command did not do what it should; the message has what it printed."""


@dataclass(frozen=True)
class Installed:
    """A program, the home of who installed it, and what that took."""

    name: str
    program: Path
    home: Path
    bytes_on_disk: int
    seconds: float

    def run(
        self, *words: str, token: str = "", path: str = PATH, expect: int = 0
    ) -> tuple[str, float]:
        """Run the program with nothing of ours around it; return its output and seconds.

        Raises `Failed` when it does not end as expected.
        """
        started = time.monotonic()
        process = self.start(*words, token=token, path=path)
        output, _ = process.communicate(timeout=600)
        if process.returncode != expect:
            raise Failed(f"{self.name} {' '.join(words)}: {process.returncode}\n{output}")
        return output, time.monotonic() - started

    def start(self, *words: str, token: str = "", path: str = PATH) -> subprocess.Popen[str]:
        """Start the program with nothing of ours around it."""
        variables = {"HOME": str(self.home), "PATH": path}
        return subprocess.Popen(
            [self.program, *words],
            cwd="/",
            env=variables | ({TOKEN_VARIABLE: token} if token else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def run(*words: str | Path, **variables: str) -> str:
    """Run an installer, which may need the caller's settings for indexes. Raises `Failed`."""
    answer = subprocess.run(
        list(map(str, words)),
        cwd="/",
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}: {answer.returncode}\n{answer.stdout}")
    return answer.stdout


def by_uv(wheel: Path, place: Path) -> Installed:
    """Install the wheel by `uv tool install`."""
    places = {"UV_TOOL_DIR": str(place / "tools"), "UV_TOOL_BIN_DIR": str(place / "bin")}
    words = [_uv(), "tool", "install", "--python", sys.executable, "--constraints", PINS]
    return _timed("uv tool", place, place / "tools", [*words, _with_extra(wheel)], **places)


def by_pipx(wheel: Path, place: Path) -> Installed:
    """Install the wheel by pipx, which uv starts without installing it."""
    places = {"PIPX_HOME": str(place / "pipx"), "PIPX_BIN_DIR": str(place / "bin")}
    places["UV_TOOL_DIR"] = str(place / "pipx-itself")
    words = [_uv(), "tool", "run", PIPX, "install", "--python", sys.executable]
    words += [f"--pip-args=--constraint {PINS}"]
    return _timed("pipx", place, place / "pipx" / "venvs", [*words, _with_extra(wheel)], **places)


def as_folder(archive: Path, place: Path) -> Installed:
    """Unpack the folder at a place that it was not built for."""
    started = time.monotonic()
    (place / "home").mkdir(parents=True)
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")
    seconds = time.monotonic() - started
    folder = place / "xeenet-worker"
    program = folder / "xeenet-worker"
    return Installed("folder", program, place / "home", size_of(folder), seconds)


def _timed(
    name: str, place: Path, folder: Path, words: list[str | Path], **places: str
) -> Installed:
    started = time.monotonic()
    (place / "home").mkdir(parents=True)
    run(*words, **places)
    seconds = time.monotonic() - started
    program = place / "bin" / "xeenet-worker"
    return Installed(name, program, place / "home", size_of(folder), seconds)


def _with_extra(wheel: Path) -> str:
    return f"xeenet-worker[setup] @ {wheel.absolute().as_uri()}"


def _uv() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, those of its links not counted."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in paths)
