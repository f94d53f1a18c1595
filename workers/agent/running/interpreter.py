"""Which Python runs the scripts: the agent's own, or the one that `xeenet-worker setup` chose.

Only scripts, and what checks torch for them, run with it. The guardian and the way into the sandbox
run with the agent's own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from workers.agent.executables import own_python

MIN_VERSION: Final = (3, 11)
_ANSWER_SECONDS: Final = 60.0  # a cold disk, a busy machine
# What a Python needs to start, and nothing of the owner's beside it.
_VARIABLES: Final = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "USERPROFILE", "TEMP")
_QUERY: Final = """
import json, os, platform, site, sys
user = site.getuserbase() if site.ENABLE_USER_SITE else ""
print(json.dumps({
    "version": platform.python_version(),
    "base": os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
    "folders": [sys.prefix, sys.exec_prefix, sys.base_prefix, *site.getsitepackages()],
    "user_base": user,
    "user_packages": site.getusersitepackages() if user else "",
}))
"""


class InterpreterError(Exception):
    """This Python cannot run scripts; the message says why."""


@dataclass(frozen=True)
class Interpreter:
    """A Python for scripts: how it is called, and what it must be able to read."""

    executable: str
    version: str
    folders: tuple[Path, ...]  # it and its packages, outside /usr; none lies in another
    links: tuple[Path, ...] = ()  # files outside of them through which it is called
    user_base: str = ""  # where its user's packages lie; "" where it looks for none


def own_interpreter() -> Interpreter:
    """Return the Python that runs this agent; for a frozen agent, `NO_PYTHON` or one on PATH."""
    if not own_python():
        return _on_path()
    folders = [Path(sys.prefix), Path(sys.exec_prefix), Path(sys.base_prefix)]
    folders.append(Path(own_python()).resolve().parent.parent)
    folders += map(Path, site.getsitepackages())
    user_base = ""
    if site.ENABLE_USER_SITE:
        user_base = site.getuserbase()
        folders.append(Path(site.getusersitepackages()))
    return Interpreter(
        own_python(), platform.python_version(), outermost(folders), user_base=user_base
    )


NO_PYTHON: Final = Interpreter("", "", ())


@functools.cache
def _on_path() -> Interpreter:
    """Return the first Python on PATH that could run scripts, with torch or without."""
    for name in ("python3", "python"):
        with contextlib.suppress(InterpreterError):
            if found := shutil.which(name):
                return inspect_interpreter(Path(found))
    return NO_PYTHON


def inspect_interpreter(executable: Path) -> Interpreter:
    """Return what there is to know of another Python, by asking it. Raises `InterpreterError`."""
    path = Path(os.path.abspath(executable.expanduser()))  # noqa: PTH100 (keeps links)
    report = _ask(path)
    try:
        version = str(report["version"])
        folders = [Path(str(folder)) for folder in report["folders"]]
        folders.append(Path(str(report["base"])).parent.parent)
        user_base = str(report["user_base"])
        if user_base:
            folders.append(Path(str(report["user_packages"])))
        is_old = tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION
    except (KeyError, TypeError, ValueError) as error:
        raise InterpreterError(f"{path} does not answer like a Python") from error
    if is_old:
        needed = ".".join(map(str, MIN_VERSION))
        raise InterpreterError(f"{path} is Python {version}; scripts need {needed} or newer")
    kept = outermost(folders)
    return Interpreter(str(path), version, kept, _links(path, kept), user_base)


def _ask(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InterpreterError(f"{path} is no file")
    environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    try:
        answer = subprocess.run(
            [str(path), "-E", "-c", _QUERY],
            cwd=path.anchor,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InterpreterError(f"{path} does not answer") from error
    except OSError as error:
        raise InterpreterError(f"{path} cannot be started: {error.strerror}") from error
    try:
        report = json.loads(answer.stdout)
    except ValueError as error:
        words = answer.stderr.strip().splitlines()[-1:] or [f"it ended with {answer.returncode}"]
        raise InterpreterError(f"{path} is no Python that works: {words[0]}") from error
    if not isinstance(report, dict):
        raise InterpreterError(f"{path} does not answer like a Python")
    return report


def outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Return the folders without those that lie in another one of them or in /usr.

    Links are kept as they are: a Python looks for its files under the names that it knows.
    """
    kept: list[Path] = []
    for folder in sorted(set(folders), key=lambda folder: len(folder.parts)):
        if not any(folder.is_relative_to(parent) for parent in (Path("/usr"), *kept)):
            kept.append(folder)
    return tuple(kept)


def _links(path: Path, folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the links from ``path`` to the program that lie outside of ``folders`` and /usr."""
    links = []
    for _ in range(40):  # as many as Linux follows
        covered = any(path.is_relative_to(folder) for folder in (Path("/usr"), *folders))
        if not covered:
            links.append(path)
        if not path.is_symlink():
            break
        path = Path(os.path.normpath(path.parent / path.readlink()))
    return tuple(links)
