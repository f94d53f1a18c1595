"""``make packages``: what was built is installed where nothing is, and runs real tasks.

The wheel by `uv tool install` and by pipx, and the folder, each with its own home and a PATH of
the system's programs alone, as after ``env -i``: torch is taken by ``setup --python``, then one
task runs in T0 and one in T1, for a real server. With the folder also ``status``, ``limits`` and
``open``, and a machine without a Python. Both wheels are installed together, and the agent outlives
the server's removal. The last lines are sizes and times.

Exit status: 0 if everything worked, 1 if not. A tier that this machine does not have is named.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.packages.installed import Failed, Installed, as_folder, by_pipx, by_uv, run, size_of
from tests.packages.lab import Lab
from workers.agent.exits import EXIT_CANNOT_RUN

WAYS: Final[dict[str, Callable[[Path, Path], Installed]]] = {
    "uv tool": by_uv,
    "pipx": by_pipx,
    "folder": as_folder,
}
TIERS: Final = ("T0", "T1")
# What must not lie in the folder: too large, or under a licence that forbids it there.
ABSENT: Final = ("torch/**/*", "pystray/**/*", "readline.*", "libreadline*", "libtorch*")
LOOKS: Final = (("status",), ("limits",), ("open", "--print"))
START_SECONDS: Final = 120.0
_HAND_OUT: Final = """
import pathlib, sys
from workers.joining.program import program
pathlib.Path(sys.argv[1]).write_bytes(program().content)
"""


@dataclass(frozen=True)
class Row:
    """What one way of installing took."""

    installed: Installed
    set_up_seconds: float
    task_seconds: dict[str, float]  # from the agent's start to its first result, by tier

    def line(self) -> str:
        """Return the figures for people."""
        tasks = [
            f"{self.task_seconds[tier]:8.1f} s" if tier in self.task_seconds else f"{'-':>10}"
            for tier in TIERS
        ]
        size = self.installed.bytes_on_disk / 1e6
        return (
            f"{self.installed.name:<10}{size:>8.1f} MB{self.installed.seconds:>9.1f} s"
            f"{self.set_up_seconds:>9.1f} s{''.join(tasks)}"
        )


def _contents(path: Path) -> dict[str, bytes]:
    """Return the files of a wheel, without the list of them."""
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if not name.endswith("/RECORD")]
        return {name: wheel.read(name) for name in names}


class Check:
    """The steps, in one temporary folder."""

    def __init__(self, options: argparse.Namespace, place: Path) -> None:
        self._options = options
        self._place = place
        (place / "server").mkdir()
        self.lab = Lab(place / "server")

    def both_wheels(self) -> None:
        """Install both wheels; see what such a server hands out; start the agent without xeenet."""
        folder = self._place / "both"
        run(sys.executable, "-m", "venv", folder)
        python, agent = folder / "bin" / "python", folder / "bin" / "xeenet-worker"
        pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "install", self._options.agent, self._options.server)
        run(python, "-c", _HAND_OUT, folder / "again.whl")
        handed_out, built = map(_contents, (folder / "again.whl", self._options.agent))
        if handed_out != built:
            raise Failed(f"a server hands out other files: {handed_out.keys() ^ built.keys()}")
        run(*pip, "uninstall", "--yes", "xeenet")
        for module in ("campaigns", "workers.tokens"):
            found = f"import importlib.util as u; assert not u.find_spec({module!r})"
            run(python, "-c", found)
        print(f"both wheels, then without xeenet: {run(agent, '--version').strip()}", flush=True)

    def way(self, name: str) -> Row:
        """Install in one way, set up torch, and run a task in each tier."""
        source = self._options.archive if name == "folder" else self._options.agent
        place = self._place / name.replace(" ", "-")
        installed = WAYS[name](source, place)
        print(f"{name}: {installed.run('--version')[0].strip()}", flush=True)
        if name == "folder":
            self._without_python(installed)
        output, set_up = installed.run("setup", "--python", self._options.python)
        print(output.strip(), flush=True)
        seconds = {}
        for tier in TIERS:
            if tier == "T1" and shutil.which("bwrap") is None:
                print("T1 was not tried: bubblewrap is not installed", flush=True)
                continue
            seconds[tier] = self._task(installed, tier, looks=name == "folder" and tier == "T0")
        return Row(installed, set_up, seconds)

    def _without_python(self, installed: Installed) -> None:
        """See what the folder has in it, and what it says on a machine that has no Python."""
        folder = installed.program.parent
        there = [path for name in ABSENT for path in folder.rglob(name)]
        if there:
            raise Failed(f"the folder must not have {there}")
        for path in ("bin/uv", "workers/agent/processes/guardian.py"):
            if not (folder / "_internal" / path).is_file():
                raise Failed(f"the folder lacks {path}")
        words = ("--check", "--isolation", "T0")
        output, _ = installed.run(*words, path=str(folder), expect=EXIT_CANNOT_RUN)
        print(output.strip().splitlines()[-1], flush=True)
        if "no Python" not in output:
            raise Failed(f"it does not say that there is no Python:\n{output}")
        print(installed.run("setup", "--plan")[0].strip(), flush=True)

    def _task(self, installed: Installed, tier: str, *, looks: bool) -> float:
        """Run one task; return the seconds from the start to the end. Raises `Failed`."""
        name = f"{installed.name.replace(' ', '-')}-{tier}"
        token = self.lab.token(name)
        words = ["--server", self.lab.url, "--isolation", tier, "--no-simulate", "--log"]
        words += ["--priority", "normal"]  # else a busy machine leaves the script no time
        started = time.monotonic()
        agent = installed.start(*words, "--max-tasks", "1", token=token)
        try:
            if looks:
                self._look(installed)
            output, _ = agent.communicate(timeout=600)
        finally:
            if agent.poll() is None:
                agent.terminate()
                agent.wait()
        seconds = time.monotonic() - started
        print(output.strip(), flush=True)
        if agent.returncode != 0 or len(self.lab.results_of(name)) != 1:
            raise Failed(f"{name}: {agent.returncode}, the server has no result of it")
        return seconds

    def _look(self, installed: Installed) -> None:
        """Ask the running agent as a person does from another terminal."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                installed.run("status")
                break
            except Failed:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
        for words in LOOKS:
            print(f"{' '.join(words)}: {installed.run(*words)[0].strip()}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Check all ways, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make packages", allow_abbrev=False)
    add = parser.add_argument
    for name in ("agent", "server", "archive", "folder"):
        add(f"--{name}", type=Path, required=True, help=argparse.SUPPRESS)
    python = "a Python with torch, for the scripts (default: the checkout's)"
    add("--python", default=sys.executable, metavar="PATH", help=python)
    add("--budget", type=float, default=8.0, metavar="SECONDS", help="of each task (default 8)")
    add("--only", choices=WAYS, action="append", help="one way of installing (default: all)")
    options = parser.parse_args(arguments)
    ways = options.only or list(WAYS)
    rows: list[Row] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="xeenet-packages-") as folder:
        check = Check(options, Path(folder))
        try:
            check.both_wheels()
            with check.lab.serving(4 * len(ways), options.budget):
                for name in ways:
                    rows.append(check.way(name))
        except (Failed, subprocess.TimeoutExpired) as error:
            print(f"FAILED: {error}", file=sys.stderr)
            failed = True
    sizes = {path.name: path.stat().st_size for path in (options.agent, options.archive)}
    print("\nto download")
    for name, size in sizes.items():
        print(f"  {name}: {size / 1e6:.1f} MB")
    print(f"  unpacked: {size_of(options.folder) / 1e6:.1f} MB")
    print(f"\n{'':<10}{'on disk':>11}{'install':>11}{'set-up':>11}{'task T0':>10}{'task T1':>10}")
    print("\n".join(row.line() for row in rows))
    print(f"(a task: from the agent's start to its end, {options.budget:g} s of it the script's)")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
