"""``dev.py packages``: build what people install on a worker's machine, then try it out.

The two wheels are built with what is installed. The folder needs PyInstaller, in an environment of
its own; pip fetches that once, with the pins of ``requirements/dev.txt`` for everything that goes
into the folder. Everything lies in ``build/packages``.
"""

from __future__ import annotations

import shutil
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools.environment import Environment, SetupError, child_variables, run, say
from devtools.wheels import AGENT, AGENT_FOLDER, build_wheel, project

# Not in the locks: nobody needs it but this command.
PYINSTALLER = "pyinstaller==6.22.3"
PLACE = "build/packages"


@dataclass(frozen=True)
class Built:
    """What was built, to be installed elsewhere."""

    place: Path
    agent: Path
    server: Path
    folder: Path
    archive: Path


def build(environment: Environment) -> Built:
    """Build both wheels, the folder with its licences, and its archive. Raises SetupError."""
    place = environment.root / PLACE
    wheels = place / "wheels"
    agent = build_wheel(environment, environment.root / AGENT_FOLDER, wheels)
    server = build_wheel(environment, environment.root, wheels)
    started = time.monotonic()
    python = _tools(environment, place / "tools", agent)
    spec = environment.root / AGENT_FOLDER / "folder" / f"{AGENT}.spec"
    work = place / "work"
    words: list[str | Path] = [python, "-m", "PyInstaller", "--noconfirm", "--clean"]
    words += ["--log-level", "WARN", "--distpath", place, "--workpath", work, spec]
    _succeed(words, "PyInstaller")
    folder = place / AGENT
    licences = environment.root / AGENT_FOLDER / "folder" / "licences.py"
    _succeed([python, licences, folder, work / AGENT], "the search for licences")
    version = project(environment.root)["version"]
    archive = place / f"{AGENT}-{version}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    say(f"the folder was made in {time.monotonic() - started:.0f} s")
    return Built(place, agent, server, folder, archive)


def packages(environment: Environment, arguments: Sequence[str]) -> int:
    """Build, then install each into an environment with nothing in it and let it run real tasks."""
    built = build(environment)
    check: list[str | Path] = [environment.python, "-m", "tests.packages"]
    check += ["--agent", built.agent]
    check += ["--server", built.server, "--folder", built.folder, "--archive", built.archive]
    return run([*check, *arguments], cwd=environment.root)


def _tools(environment: Environment, folder: Path, agent: Path) -> Path:
    """Return a Python with PyInstaller, the agent and what it needs; made anew each time."""
    shutil.rmtree(folder, ignore_errors=True)
    python = Environment(folder.parent, folder.name).python
    _succeed([environment.python, "-m", "venv", folder], "a virtual environment")
    pins = environment.lock_file("dev")
    words: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
    words += ["--disable-pip-version-check", "--constraint", pins, PYINSTALLER]
    _succeed([*words, f"{agent}[setup]"], "pip")
    return python


def _succeed(words: Sequence[str | Path], what: str) -> None:
    code = run(words, variables=child_variables())
    if code != 0:
        raise SetupError(f"{what} failed (status {code}, its reason is above).")
